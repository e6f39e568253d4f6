"""Carried values between Avro and JSON.

Rule: nothing is lost that the target can hold. JSON has decimals as text with their exact digits, bytes as
base64 text, dates and times as their integers, and null for a NaN or infinite number; the way back is
`write.writer`, which takes these forms.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from stream_infer.codecs.faults import BadEvent, Fault, fail
from stream_infer.codecs.schema import Node
from stream_infer.codecs.walk import reader
from stream_infer.codecs.write import writer
from stream_infer.types import Status

MAX_DECIMAL_BYTES = 1024
"""Longest decimal that is spelt in digits. 416 bytes hold the longest that a schema may declare."""

Transcode: TypeAlias = Callable[[bytes], bytes]


def avro_to_json(node: Node) -> Transcode:
    """Compile the way from one Avro-encoded value to JSON text."""
    read = reader(node, _decimal_text)
    encode = msgspec.json.encode
    return lambda span: encode(read(span, 0)[0])


def _decimal_text(node: Node) -> Callable[[bytes], str] | None:
    if node.logical != "decimal":
        return None
    scale = node.scale

    def text(value: bytes) -> str:
        if len(value) > MAX_DECIMAL_BYTES:
            raise BadEvent(Status.OUT_OF_RANGE, f"the decimal has more than {MAX_DECIMAL_BYTES} bytes")
        number = int.from_bytes(value, "big", signed=True)
        digits = str(abs(number)).rjust(scale + 1, "0")
        whole, fraction = (digits[:-scale], "." + digits[-scale:]) if scale else (digits, "")
        return f"{'-' if number < 0 else ''}{whole}{fraction}"

    return text


def json_to_avro(node: Node) -> Transcode:
    """Compile the way from JSON text to the Avro encoding of a type.

    The result raises BadEvent for a value that does not fit the type, or a number that nothing can hold.
    """
    decode = json_decoder(exact=has_decimal(node)).decode
    write = writer(node)

    def transcode(text: bytes) -> bytes:
        try:
            value = decode(text)
        except (msgspec.ValidationError, InvalidOperation) as error:
            return fail(number_fault(error))
        return write(value)

    return transcode


def number_fault(error: Exception) -> Fault:
    """What it means that the JSON parser refused a number of valid JSON."""
    if isinstance(error, msgspec.ValidationError) and str(error).startswith("Number"):
        return Fault(Status.NOT_FINITE, "expected a finite number, found one beyond a double")
    return Fault(Status.OUT_OF_RANGE, "the number has too many digits")


def json_decoder(exact: bool) -> msgspec.json.Decoder[Any]:
    """A decoder of any JSON value; ``exact`` keeps the digits of numbers with a point or exponent (Decimal)."""
    return msgspec.json.Decoder(float_hook=Decimal) if exact else msgspec.json.Decoder()


def has_decimal(node: Node) -> bool:
    """True where a decimal is found anywhere in a type."""
    inner = (*node.children, *(field.node for field in node.fields))
    return node.logical == "decimal" or any(map(has_decimal, inner))


def transcoder(node: Node, source: str, target: str) -> Transcode | None:
    """The way between two encodings (``avro``, ``json``) of one type; None where the bytes can be copied."""
    if source == target:
        return None
    return avro_to_json(node) if target == "json" else json_to_avro(node)

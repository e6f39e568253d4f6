"""What a dead letter says: the event as it came, and why it was not scored. Written here, and read back here.

Rule: key, value and headers are the original bytes. What is added are headers of one family, chosen by
``dead_letter.headers``; none of them holds any part of the payload.

    native    __stream_infer.errors.*   UTF-8 text, after Kafka Connect's names where it has one
    connect   __connect.errors.*        UTF-8 text, as Kafka Connect writes them
    streams   __streams.errors.*        UTF-8 text, as Kafka Streams writes them (KIP-1034)
    spring    kafka_dlt-*               as Spring writes them: numbers big-endian, partition 4 bytes, the others 8

The last three come with the native ``reason``, ``stage``, ``failed_at`` and ``attempts``, which they have no words
for. Not written, because nobody knows them here: stack traces, and Spring's type of the timestamp.

An event that was sent back to the input carries `ATTEMPTS_HEADER`: how often it was tried before. Rejected again, it
loses that header, and its dead letter says one attempt more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from stream_infer.types import NO_TIMESTAMP, Reject, ScoredBatch, Status

ClientHeaders: TypeAlias = list[tuple[str, str | bytes | None]]
"""Headers as the client takes them."""
ReadHeaders: TypeAlias = Sequence[tuple[str, bytes | None]]
"""Headers as the client gives them."""
HeaderStyle: TypeAlias = Literal["native", "connect", "streams", "spring"]

PREFIX = "__stream_infer.errors."
"""What the name of every native header begins with."""
CONNECT_PREFIX = "__connect.errors."
STREAMS_PREFIX = "__streams.errors."
SPRING_PREFIX = "kafka_dlt-"
ATTEMPTS_HEADER = "__stream_infer.attempts"
"""On an event that was sent back: how often it was tried before, as UTF-8 digits."""

_ALWAYS = ("reason", "stage", "failed_at", "attempts")
"""Native headers that every style has."""
_CONNECT_STAGES = {"decode": "VALUE_CONVERTER", "infer": "TRANSFORMATION", "encode": "KAFKA_PRODUCE"}
"""Our stages in the words of Connect's ``ProcessingStage``; anything else is ``TASK_PUT``."""
_ROOMS = {"decode": "stream_infer.codecs", "infer": "stream_infer.scoring", "encode": "stream_infer.codecs"}
"""The room in which a stage runs, where other tools name a class."""
_MAX_DIGITS = 19
_MAX_NUMBER = 2**63 - 1
"""What a header's number may be; the largest has 19 digits."""


def dead_letter_headers(
    batch: ScoredBatch, reject: Reject, *, group_id: str, failed_at_ms: int, style: HeaderStyle = "native"
) -> ClientHeaders:
    """The original headers of the rejected row, followed by ours.

    In the native style ``topic``, ``partition``, ``offset`` and ``timestamp`` (milliseconds, absent where the record
    had none) say where it came from; ``stage``, ``reason`` and ``message`` what happened; ``group``, ``model.name``,
    ``model.version``, ``model.digest``, ``failed_at`` (milliseconds) and ``attempts`` who tried, when and how often.

    Args:
        batch: holds the event.
        reject: which row, and why.
        group_id: the consumer group of the service.
        failed_at_ms: now, in milliseconds since the epoch.
        style: names of the added headers.
    """
    records, row = batch.records, reject.row
    original: ReadHeaders = [] if records.headers is None else records.headers[row]
    kept: ClientHeaders = [(name, value) for name, value in original if name != ATTEMPTS_HEADER]
    facts = _facts(batch, reject, group_id)
    facts["failed_at"] = failed_at_ms
    facts["attempts"] = _attempts_before(original) + 1
    if style == "native":
        return kept + _native(facts)
    foreign = {"connect": _connect, "streams": _streams, "spring": _spring}[style](facts, reject.status)
    return kept + foreign + _native({name: facts[name] for name in _ALWAYS})


def _facts(batch: ScoredBatch, reject: Reject, group_id: str) -> dict[str, str | int]:
    records, row = batch.records, reject.row
    split = records.split(row)
    model = batch.scored.models[int(batch.scored.model_index[row])]
    facts: dict[str, str | int] = {
        "topic": split.source,
        "partition": split.partition,
        "offset": int(records.offset[row]),
        "timestamp": int(records.timestamp_ms[row]),
        "stage": reject.status.stage,
        "reason": reject.status.reason,
        "message": reject.message,
        "group": group_id,
        "model.name": model.name,
        "model.version": model.version,
        "model.digest": model.digest,
    }
    if facts["timestamp"] == NO_TIMESTAMP:
        del facts["timestamp"]
    return facts


def _native(facts: Mapping[str, str | int]) -> ClientHeaders:
    return _text(PREFIX, facts)


def _connect(facts: Mapping[str, str | int], status: Status) -> ClientHeaders:
    said = {name: facts[name] for name in ("topic", "partition", "offset")} | {
        "connector.name": facts["group"],
        "task.id": 0,
        "stage": _CONNECT_STAGES.get(status.stage, "TASK_PUT"),
        "class.name": _ROOMS.get(status.stage, "stream_infer"),
        "exception.class.name": _class_name(status),
        "exception.message": facts["message"],
    }
    return _text(CONNECT_PREFIX, said)


def _streams(facts: Mapping[str, str | int], status: Status) -> ClientHeaders:
    said = {"exception": _class_name(status), "message": facts["message"]}
    return _text(STREAMS_PREFIX, said | {name: facts[name] for name in ("topic", "partition", "offset")})


def _spring(facts: Mapping[str, str | int], status: Status) -> ClientHeaders:
    numbers = {"partition": 4, "offset": 8, "timestamp": 8}
    binary = {name: int(facts[name]).to_bytes(width, "big") for name, width in numbers.items() if name in facts}
    said = {"original-topic": facts["topic"], "original-consumer-group": facts["group"]}
    said |= {"exception-fqcn": _class_name(status), "exception-message": facts["message"]}
    return _text(SPRING_PREFIX, said) + [(f"{SPRING_PREFIX}original-{name}", value) for name, value in binary.items()]


def _class_name(status: Status) -> str:
    """What stands where other tools name an exception's class."""
    return f"{Status.__module__}.{Status.__name__}.{status.name}"


def _text(prefix: str, facts: Mapping[str, str | int]) -> ClientHeaders:
    return [(prefix + name, str(value).encode()) for name, value in facts.items()]


# ------------------------------------------------------------------ read


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the headers of a dead letter say, whichever family they are of. None or empty: not said.

    ``style`` is the family, or ``unknown``. ``reason`` is ours where it is there, else the class of the exception,
    else ``unknown``. ``attempts`` is at least 1.
    """

    style: str = "unknown"
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    timestamp_ms: int | None = None
    reason: str = "unknown"
    stage: str = ""
    message: str = ""
    group: str = ""
    model: str = ""
    failed_at_ms: int | None = None
    attempts: int = 1


class _Family(NamedTuple):
    """How a family of headers is called: the prefix of all, then single names without it (empty: there is none)."""

    prefix: str
    exception: str
    message: str
    group: str
    origin: str = ""
    """What stands before ``topic``, ``partition``, ``offset`` and ``timestamp``."""
    binary: bool = False
    """Numbers may be big-endian bytes."""


_FAMILIES: Mapping[str, _Family] = {
    "native": _Family(PREFIX, "", "message", "group"),
    "connect": _Family(CONNECT_PREFIX, "exception.class.name", "exception.message", "connector.name"),
    "streams": _Family(STREAMS_PREFIX, "exception", "message", ""),
    "spring": _Family(
        SPRING_PREFIX, "exception-fqcn", "exception-message", "original-consumer-group", "original-", True
    ),
}
_PREFIXES = tuple(family.prefix for family in _FAMILIES.values())
_NO_FAMILY = _Family("", "", "", "")


def read_verdict(headers: ReadHeaders) -> Verdict:
    """What these headers say. Of what stands there twice the last counts: whoever rejects an event appends."""
    style = _style(headers)
    family = _FAMILIES.get(style, _NO_FAMILY)
    said = _Said(headers, family)
    ours = _Said(headers, _FAMILIES["native"])
    return Verdict(
        style=style,
        topic=said.text(f"{family.origin}topic") or None,
        partition=said.number(f"{family.origin}partition"),
        offset=said.number(f"{family.origin}offset"),
        timestamp_ms=said.number(f"{family.origin}timestamp"),
        reason=ours.text("reason") or said.text(family.exception) or "unknown",
        stage=ours.text("stage") or said.text("stage"),
        message=said.text(family.message),
        group=said.text(family.group),
        model=f"{ours.text('model.name')} {ours.text('model.version')}".strip(),
        failed_at_ms=ours.number("failed_at"),
        attempts=max(1, ours.number("attempts") or _attempts_before(headers) + 1),
    )


def original_headers(headers: ReadHeaders) -> ClientHeaders:
    """The headers without those of any family of dead letters, and without `ATTEMPTS_HEADER`."""
    return [(name, value) for name, value in headers if name != ATTEMPTS_HEADER and not name.startswith(_PREFIXES)]


class _Said:
    """The headers of one family by their names without its prefix. The empty name stands for nothing."""

    def __init__(self, headers: ReadHeaders, family: _Family) -> None:
        prefix = family.prefix
        self._binary = family.binary
        self._values = {
            name.removeprefix(prefix): value for name, value in headers if prefix and name.startswith(prefix)
        }

    def text(self, name: str) -> str:
        """A header's text; empty where it is missing."""
        return (self._values.get(name) or b"").decode("utf-8", "replace") if name else ""

    def number(self, name: str) -> int | None:
        """A header's number."""
        return _number(self._values.get(name), binary=self._binary)


def _style(headers: ReadHeaders) -> str:
    """The family of whoever rejected the event last; of ours, those that every style has say nothing of it."""
    found = "unknown"
    for name, _ in reversed(headers):
        style = next((style for style, family in _FAMILIES.items() if name.startswith(family.prefix)), "")
        if style and name.removeprefix(PREFIX) not in _ALWAYS:
            return style
        found = style or found
    return found


def _attempts_before(headers: ReadHeaders) -> int:
    return _number(dict(headers).get(ATTEMPTS_HEADER)) or 0


def _number(value: bytes | None, *, binary: bool = False) -> int | None:
    """A number of 0 to 2**63 - 1: decimal digits or, where allowed, 4 or 8 bytes big-endian. None for anything else.

    Tools in other languages write digits where Spring writes bytes. Bytes that are all digits are taken for digits: as
    a binary offset they would mean one above 3 * 10**18.
    """
    if not value:
        return None
    if value.isdigit() and len(value) <= _MAX_DIGITS:
        number = int(value)
    elif binary and len(value) in (4, 8):
        number = int.from_bytes(value, "big", signed=True)
    else:
        return None
    return number if 0 <= number <= _MAX_NUMBER else None


__all__ = [
    "ATTEMPTS_HEADER",
    "CONNECT_PREFIX",
    "PREFIX",
    "SPRING_PREFIX",
    "STREAMS_PREFIX",
    "ClientHeaders",
    "HeaderStyle",
    "ReadHeaders",
    "Verdict",
    "dead_letter_headers",
    "original_headers",
    "read_verdict",
]

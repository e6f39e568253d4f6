"""What every decoder must do, as one function that authors of codecs call from a test.

    def test_my_decoder_conforms():
        check_decoder(lambda projection: MyDecoder(projection, ...), encode=my_encode)

Rule: it checks what the pipeline relies on, and nothing about how events are spelt: that is known only to the
``encode`` function that comes with the decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stream_infer.ports import Decoder
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing.fakes import records
from stream_infer.types import Decoded, Status

CONFORMANCE_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "site", "type": "string"},
        {"name": "level", "type": ["null", "double"], "default": None},
    ],
}
"""The schema of the events that `check_decoder` has encoded."""

CONFORMANCE_PROJECTION = Projection(
    inputs=(
        ModelInput("numbers", "float32", (Feature("level", "level"), Feature("id", "id", scale=0.5))),
        ModelInput("ids", "int64", (Feature("id", "id"),)),
        ModelInput("sites", "string", (Feature("site", "site"),)),
    ),
    carried=("site", "id"),
    reader_schema=CONFORMANCE_SCHEMA,
)
_EVENTS = tuple(
    {"id": 2**53 + 1 + number, "site": f"Süd {number}", "level": None if number % 3 == 0 else number / 4}
    for number in range(40)
)
_MARK = "Geheimnis"


def check_decoder(make: Callable[[Projection], Decoder], encode: Callable[[Mapping[str, Any]], bytes]) -> None:
    """Check a decoder against `stream_infer.ports.Decoder`.

    Args:
        make: builds the decoder for a projection.
        encode: one event of `CONFORMANCE_SCHEMA` as the decoder takes it.

    Raises:
        AssertionError: the decoder does not conform; the message says in what.
    """
    decoder = make(CONFORMANCE_PROJECTION)
    good = [encode(event) for event in _EVENTS]
    _check_columns(decoder.decode(records(good)))
    _check_neighbours(decoder, good)
    _check_slices(decoder, good)
    _check_details(decoder, encode)


def _check_columns(decoded: Decoded) -> None:
    assert decoded.status.dtype == np.uint8, "status is uint8"
    assert not decoded.status.any(), "good events are OK"
    numbers = decoded.inputs["numbers"]
    assert numbers.dtype == np.float32, "a float32 input is float32"
    assert numbers.flags.c_contiguous, "inputs are C-contiguous"
    levels = [np.nan if event["level"] is None else event["level"] for event in _EVENTS]
    np.testing.assert_array_equal(numbers[:, 0], np.array(levels, np.float32), "a null is NaN")
    assert decoded.inputs["ids"][:, 0].tolist() == [event["id"] for event in _EVENTS], "int64 is exact"
    assert decoded.inputs["sites"][:, 0].tolist() == [event["site"] for event in _EVENTS], "text stays text"
    assert [column.name for column in decoded.carried] == ["site", "id"], "carried columns keep their order"
    assert all(len(column.values) == len(_EVENTS) for column in decoded.carried), "carried columns have n rows"
    assert {column.encoding for column in decoded.carried} <= {"avro", "json"}, "the encoding is known"


def _check_neighbours(decoder: Decoder, good: list[bytes]) -> None:
    bad = [(None, Status.TOMBSTONE), (b"", Status.EMPTY), (good[0][:-1], Status.TRUNCATED)]
    mixed = [part for value, _ in bad for part in (good[1], value)] + [good[1]]
    decoded = decoder.decode(records(mixed))
    expected = [part for _, status in bad for part in (Status.OK, status)] + [Status.OK]
    assert decoded.status.tolist() == expected, "a bad event costs its own row only"
    for column in decoded.carried:
        spans = column.values.to_list()
        assert not any(spans[1::2]), "rejected rows carry no bytes"
        assert len(set(spans[::2])) == 1, "equal events carry equal bytes"


def _check_slices(decoder: Decoder, good: list[bytes]) -> None:
    run = records(good)
    whole = decoder.decode(run)
    for start, stop in ((0, 1), (1, 18), (18, len(good)), (0, 0)):
        part = decoder.decode(run.slice(start, stop))
        for name, array in part.inputs.items():
            np.testing.assert_array_equal(array, whole.inputs[name][start:stop], "a slice decodes as its rows do")


def _check_details(decoder: Decoder, encode: Callable[[Mapping[str, Any]], bytes]) -> None:
    value = encode({"id": 1, "site": _MARK, "level": float(2**20)})
    decoded = decoder.decode(records([value[:-1], value + b"\0\0"]))
    assert decoded.status.all(), "cut and prolonged events are rejected"
    assert not any(_MARK in detail for detail in decoded.details.values()), "details hold no value of the event"

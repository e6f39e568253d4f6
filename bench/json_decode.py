"""The JSON decoder against one event after the other, msgspec and json: CPU per event, on events that none has seen.

Rule: all variants decode the same events, one after the other within a round, and no event comes twice: repeated events
teach the branch predictor. Only the ratio within a round means something; the median of all rounds is reported.

    python -m bench.json_decode

``decoder`` is the whole of `JsonDecoder.decode`: from records to the model's input, carried columns and a status for
each. ``rows`` is the path that its doubtful events take, to the same columns. ``msgspec`` and ``json`` only parse, the
first to structs of the needed fields, the second to dicts: no features, no cells (but the numbers of a list in text).
``cells`` goes on from the structs to the model's input, the shortest way in Python: what a decoder on msgspec costs at
least, without a check of UTF-8, nesting and types, and without the carried columns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stream_infer.codecs import JsonDecoder
from stream_infer.codecs.json_rows import RowDecoder
from stream_infer.codecs.layout import Layout
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing import records
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_patterns import CHANNELS
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.testing.payments_world import CATEGORY_NAMES
from stream_infer.types import Decoded, Records

_MAX_EVENT_BYTES = 1_000_000
_PIXELS = 784
_VARIANTS = ("decoder", "rows", "msgspec", "cells", "json")
_NUMBERS = (
    "amount", "event_time", "geo.lat", "geo.lon", "local_hour", "card_age_days", "credit_limit", "device_age_days",
    "authenticated", "cross_border", "seconds_since_last", "payments_last_hour", "amount_ratio",
    "distance_from_home_km",
)  # fmt: skip
_CATEGORIES = {
    "merchant_category": CATEGORY_NAMES,
    "channel": CHANNELS,
    "country": ("DE", "FR", "GB", "ES", "IT", "NL", "US"),
    "currency": ("EUR", "GBP", "USD", "CHF"),
}


class Workload(NamedTuple):
    """Events of one kind, and what is wanted of them."""

    projection: Projection
    list_in_text: str
    """The field that is comma-joined text, or nothing."""
    draw: Callable[[int], list[bytes]]
    """The next n events."""


def payment() -> Workload:
    """The payment: 18 features, 4 of them categories, and three carried fields."""
    features = [Feature(name, name) for name in _NUMBERS]
    features += [Feature(name, name, categories=tuple(known)) for name, known in _CATEGORIES.items()]
    projection = Projection(
        (ModelInput("X", "float32", tuple(features)),), ("transaction_id", "card_id", "amount"), PAYMENT_SCHEMA
    )
    stream = PaymentStream(1)
    return Workload(projection, "", lambda count: stream.columns(count).to_json())


def image(as_text: bool, double: bool = False) -> Workload:
    """784 numbers as text or as an array, those of a float32 or of a double: the event of the Crayfish study."""
    type_: Any = "string" if as_text else {"type": "array", "items": "float"}
    fields = [{"name": "created", "type": "long"}, {"name": "pixels", "type": type_}]
    schema = {"type": "record", "name": "Image", "fields": fields}
    feature = Feature("pixels", "pixels", length=_PIXELS, format="csv" if as_text else "array")
    random = np.random.default_rng(1)
    template = '{"created":%d,"pixels":"%s"}' if as_text else '{"created":%d,"pixels":[%s]}'

    def draw(count: int) -> list[bytes]:
        rows = random.random((count, _PIXELS), dtype=np.float64 if double else np.float32)
        return [(template % (number, ",".join(map(str, row)))).encode() for number, row in enumerate(rows)]

    projection = Projection((ModelInput("X", "float32", (feature,)),), ("created",), schema)
    return Workload(projection, "pixels" if as_text else "", draw)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "payment": payment,
    "784 floats as text": lambda: image(as_text=True),
    "784 floats as array": lambda: image(as_text=False),
    "784 doubles as array": lambda: image(as_text=False, double=True),
}


def variants(workload: Workload) -> dict[str, Callable[[Records, list[bytes]], Any]]:
    """What is measured, by name."""
    decoder = JsonDecoder(workload.projection, max_event_bytes=_MAX_EVENT_BYTES)
    rows = RowDecoder(Layout(workload.projection), _MAX_EVENT_BYTES)
    parse = msgspec.json.Decoder(_struct(workload.projection)).decode
    text = workload.list_in_text
    row_of = _row_of(workload)

    def as_struct(event: bytes) -> Any:
        found = parse(event)
        return [float(item) for item in getattr(found, text).split(",")] if text else found

    def as_dict(event: bytes) -> Any:
        found = json.loads(event)
        return [float(item) for item in found[text].split(",")] if text else found

    def as_cells(events: list[bytes]) -> Any:
        found = list(map(as_struct, events))
        return np.array(list(map(row_of, found)), np.float32)

    return {
        "decoder": lambda batch, _: decoder.decode(batch),
        "rows": lambda batch, _: rows.decode(batch),
        "msgspec": lambda _, events: list(map(as_struct, events)),
        "cells": lambda _, events: as_cells(events),
        "json": lambda _, events: list(map(as_dict, events)),
    }


def _struct(projection: Projection) -> type[msgspec.Struct]:
    paths = [feature.path for model_input in projection.inputs for feature in model_input.features]
    names = dict.fromkeys([path.partition(".")[0] for path in paths] + list(projection.carried))
    return msgspec.defstruct("Event", [(name, Any) for name in names])


def _row_of(workload: Workload) -> Callable[[Any], Any]:
    """From a struct, or from the numbers of a list in text, to numbers (not in the order of the features)."""
    (model_input,) = workload.projection.inputs
    features = model_input.features
    if workload.list_in_text:
        return lambda numbers: numbers
    if features[0].format == "array":
        return attrgetter(features[0].path)
    plain = attrgetter(*(f.path for f in features if f.categories is None and "." not in f.path))
    nested = [f.path.split(".") for f in features if "." in f.path]
    coded = [(f.path, {t: code for code, t in enumerate(f.categories)}) for f in features if f.categories is not None]

    def row(found: Any) -> Any:
        below = [(getattr(found, name) or {}).get(step) for name, step in nested]
        return *plain(found), *below, *[known.get(getattr(found, name), -1) for name, known in coded]

    return row


def rounds(workload: Workload, batch_rows: int, count: int, calls: int) -> Iterator[dict[str, float]]:
    """Microseconds of CPU per event, by variant, of each round.

    Raises:
        SystemExit: the decoder and the rows differ.
    """
    measured = variants(workload)
    for turn in range(count):
        events = [workload.draw(batch_rows) for _ in range(calls)]
        batches = [records(batch) for batch in events]
        spent: dict[str, float] = {}
        answers: dict[str, list[Any]] = {}
        for name in list(measured)[:: 1 if turn % 2 else -1]:
            variant = measured[name]
            began = time.process_time()
            answers[name] = [variant(batch, values) for batch, values in zip(batches, events, strict=True)]
            spent[name] = (time.process_time() - began) / (calls * batch_rows) * 1e6
        if not all(map(same, answers["decoder"], answers["rows"])):
            raise SystemExit("the decoder and the rows differ")
        yield spent


def same(left: Decoded, right: Decoded) -> bool:
    """Whether two decoders said the same."""
    cells = all(left.inputs[name].tobytes() == right.inputs[name].tobytes() for name in right.inputs)
    pairs = zip(left.carried, right.carried, strict=True)
    carried = all(ours.values.to_list() == theirs.values.to_list() for ours, theirs in pairs)
    return cells and carried and left.status.tolist() == right.status.tolist()


def main() -> None:
    """Print a line for each workload and batch size."""
    parser = argparse.ArgumentParser(prog="python -m bench.json_decode", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-rows", type=int, nargs="*", default=[16, 256])
    parser.add_argument("--events", type=int, default=1024, help="of each round")
    arguments = parser.parse_args()
    columns = "".join(f"{name:>9}" for name in _VARIANTS)
    print(f"{'us of CPU per event':24}{'batch':>6}{columns}   ratios to decoder")
    for name, make in WORKLOADS.items():
        workload = make()
        list(rounds(workload, 16, 1, 1))  # compiles
        for batch_rows in arguments.batch_rows:
            found = list(rounds(workload, batch_rows, arguments.rounds, max(1, arguments.events // batch_rows)))
            figures = "".join(f"{statistics.median(turn[variant] for turn in found):9.2f}" for variant in _VARIANTS)
            ratios = [statistics.median(turn[other] / turn["decoder"] for turn in found) for other in _VARIANTS[1:]]
            print(f"{name:24}{batch_rows:6}{figures}   " + "".join(f"{ratio:7.1f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    main()

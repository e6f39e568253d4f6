"""What all subjects are given: events, a model, and the scores that it must give them.

Rule: made once from fixed seeds and kept in a folder of its own; the reference scores come from fastavro, dicts and a
plain session of ONNX Runtime, so from nothing that stream_infer decodes or computes itself.

``payment``: the made-up payment of `stream_infer.testing` (22 fields, strings among them), 17 features of it, four of
them categories. ``floats``: an id and twenty floats. Both in Avro, scored by LightGBM with 100 trees of 31 leaves.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fastavro
import lightgbm
import numpy as np
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from bench.rivals.avro_scorer import AvroScorer, cell
from bench.rivals.contract import INPUT_FRAME, Task
from bench.rivals.contract import Workload as Name
from stream_infer.export import export_onnx
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_patterns import CHANNELS
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.testing.payments_world import CATEGORY_NAMES
from stream_infer.types import Float32Array

OUTPUT_SCHEMA = {
    "type": "record",
    "name": "Scored",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "score", "type": "float"},
        {"name": "flagged", "type": "boolean"},
    ],
}
_TRAINING_EVENTS = 50_000
_SAMPLE_EVENTS = 5_000
_SCORED_AT_ONCE = 1024
_FLOATS = 20
_PAYMENT_NUMBERS = (
    "amount", "geo.lat", "geo.lon", "local_hour", "card_age_days", "credit_limit", "device_age_days", "authenticated",
    "cross_border", "seconds_since_last", "payments_last_hour", "amount_ratio", "distance_from_home_km",
)  # fmt: skip
_PAYMENT_TEXTS: Mapping[str, Sequence[str]] = {
    "merchant_category": CATEGORY_NAMES,
    "channel": CHANNELS,
    "country": ("DE", "FR", "GB", "ES", "IT", "NL", "US"),
    "currency": ("EUR", "GBP", "USD", "CHF"),
}


@dataclass(frozen=True, slots=True)
class Events:
    """n events: what goes into the topic, and what is known of them."""

    values: list[bytes]
    """Framed."""
    keys: list[bytes]
    labels: Sequence[bool]


@dataclass(frozen=True, slots=True)
class Workload:
    """Events of one kind and the model for them.

    Attributes:
        id_field: the field that names an event.
        numbers: paths of the features that are numbers; the categories follow them.
        texts: categories of the features that are text.
        draw: the first n events.
    """

    name: Name
    id_field: str
    schema: Mapping[str, Any]
    numbers: Sequence[str]
    texts: Mapping[str, Sequence[str]]
    draw: Callable[[int], Events]

    @property
    def features(self) -> list[str]:
        """Paths, in the order of the model's columns."""
        return [*self.numbers, *self.texts]


def _payments(count: int) -> Events:
    columns = PaymentStream(seed=7).columns(count)
    return Events(columns.to_avro(INPUT_FRAME), columns.keys(), columns.is_fraud.tolist())


def _float_events(count: int) -> Events:
    random = np.random.default_rng(7)
    cells = random.normal(size=(count, _FLOATS)).astype("<f4")
    signal = cells[:, 0] + cells[:, 1] * cells[:, 2] + np.sin(3 * cells[:, 3]) + random.normal(size=count)
    keys = [b"%016d" % number for number in range(count)]
    values = [INPUT_FRAME + b"\x20" + key + row.tobytes() for key, row in zip(keys, cells, strict=True)]
    return Events(values, keys, (signal > 1).tolist())


_FLOATS_SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [{"name": "id", "type": "string"}, *({"name": f"f{i}", "type": "float"} for i in range(_FLOATS))],
}
WORKLOADS: Mapping[str, Workload] = {
    "payment": Workload("payment", "transaction_id", PAYMENT_SCHEMA, _PAYMENT_NUMBERS, _PAYMENT_TEXTS, _payments),
    "floats": Workload("floats", "id", _FLOATS_SCHEMA, [f"f{i}" for i in range(_FLOATS)], {}, _float_events),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A workload on disk, and its events in memory."""

    workload: Workload
    folder: Path
    events: Events
    ids: Sequence[str]
    """By event."""
    scores: Float32Array
    """What the model answers, ``[n]``."""

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / "model.onnx"

    @property
    def bundle(self) -> Path:
        """The same model as a bundle."""
        return self.folder / f"{self.workload.name}-1.bundle.jar"

    @property
    def schema(self) -> Path:
        """Avro schema of the events."""
        return self.folder / "input.avsc"

    @property
    def output_schema(self) -> Path:
        """Avro schema of what rivals write."""
        return self.folder / "output.avsc"


def prepare(name: str, count: int, folder: Path) -> Prepared:
    """Make a workload's files where they are not there yet, and draw its events.

    Args:
        name: one of `WORKLOADS`.
        count: events, 1 or more.
        folder: where workloads are kept.
    """
    workload = WORKLOADS[name]
    made = Prepared(workload, folder / name, workload.draw(count), (), np.empty(0, np.float32))
    if not made.bundle.exists():
        made.folder.mkdir(parents=True, exist_ok=True)
        _write_schemas(made)
        _train(made)
        _export(made)
    known = made.folder / f"reference-{count}.npz"
    if not known.exists():
        ids = [str(event[workload.id_field]) for event in read_avro(made.events.values, made.schema)]
        np.savez(known, ids=np.array(ids), scores=_reference(made))
    with np.load(known) as reference:
        return replace(made, ids=reference["ids"].tolist(), scores=reference["scores"])


def read_avro(values: Sequence[bytes], schema: Path) -> list[Any]:
    """Framed events as dicts, by fastavro."""
    parsed = fastavro.parse_schema(json.loads(schema.read_text()))
    return [fastavro.schemaless_reader(io.BytesIO(value[len(INPUT_FRAME) :]), parsed, None) for value in values]


def _scorer(made: Prepared) -> AvroScorer:
    nowhere = Task("", "", "", "", "payment", made.model, made.schema, made.output_schema, made.folder)
    return AvroScorer(nowhere)


def _write_schemas(made: Prepared) -> None:
    made.schema.write_text(json.dumps(made.workload.schema))
    made.output_schema.write_text(json.dumps(OUTPUT_SCHEMA))
    listed = [{"name": path, "path": path} for path in made.workload.features]
    (made.folder / "features.json").write_text(json.dumps(listed))
    (made.folder / "categories.json").write_text(json.dumps({k: list(v) for k, v in made.workload.texts.items()}))


def _train(made: Prepared) -> None:
    drawn = made.workload.draw(_TRAINING_EVENTS)
    codes = {path: {text: code for code, text in enumerate(texts)} for path, texts in made.workload.texts.items()}
    rows = [
        [cell(event, path, codes.get(path)) for path in made.workload.features]
        for event in read_avro(drawn.values, made.schema)
    ]
    model = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, verbose=-1, n_jobs=1, random_state=1)
    model.fit(np.array(rows, np.float32), np.array(drawn.labels, np.int64))
    types = [("X", FloatTensorType([None, len(made.workload.features)]))]
    made.model.write_bytes(convert_lightgbm(model, initial_types=types, zipmap=False).SerializeToString())


def _export(made: Prepared) -> None:
    sample = made.folder / "sample.avro"
    with sample.open("wb") as target:
        events = read_avro(made.workload.draw(_SAMPLE_EVENTS).values, made.schema)
        fastavro.writer(target, fastavro.parse_schema(dict(made.workload.schema)), events)
    lines = [f'  {{path = "{path}"}},' for path in made.workload.numbers]
    lines += [f'  {{path = "{path}", categories = {json.dumps(list(t))}}},' for path, t in made.workload.texts.items()]
    features = made.folder / "features.toml"
    features.write_text("\n".join(["features = [", *lines, "]", ""]))
    export_onnx(made.model, features, sample, made.bundle)


def _reference(made: Prepared) -> Float32Array:
    score, values = _scorer(made), made.events.values
    parts = [score.scores(values[at : at + _SCORED_AT_ONCE]) for at in range(0, len(values), _SCORED_AT_ONCE)]
    return np.concatenate([np.array(part, np.float32) for part in parts])


__all__ = ["WORKLOADS", "Events", "Prepared", "Workload", "prepare", "read_avro"]

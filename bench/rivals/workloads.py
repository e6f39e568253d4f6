"""What all subjects are given: events, a model, and the scores that it must give them.

Rule: made once from fixed seeds and kept in a folder of its own; the reference scores come from fastavro or json,
dicts and a plain session of ONNX Runtime, so from nothing that stream_infer decodes or computes itself.

Three workloads are compared with everybody; the others, which vary the model or the encoding, with `FEW`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import fastavro
import numpy as np

from bench.rivals import events, models
from bench.rivals.contract import ID_FIELDS, Task
from bench.rivals.contract import Workload as Name
from bench.rivals.events import Events, Feature
from bench.rivals.models import Train
from bench.rivals.scorers import plain_format, scorer
from stream_infer.export import export_onnx
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.types import Float32Array

Codec = Literal["avro", "json"]
OUTPUT_SCHEMA = {
    "type": "record",
    "name": "Scored",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "score", "type": "float"},
        {"name": "flagged", "type": "boolean"},
    ],
}
FEW = (
    "stream_infer", "floor", "floor_confluent", "plain_python", "tuned_python", "java_floor",
    "java_plain", "streams_batch",
)  # fmt: skip
_SCORED_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Workload:
    """Events of one kind and the model for them.

    Attributes:
        about: what it is, for the page.
        schema: Avro schema of the events, also of those in JSON.
        features: the model's columns, in their order.
        draw: the first n events.
        train: makes the model.
        codec: how events and scores are encoded.
        training_events: to train with.
        sample_events: for the bundle's export.
        share: events of this kind that stand for one of a small kind, so that a topic does not grow with their size.
        subjects: names of those that are compared; None for all.
    """

    name: Name
    about: str
    schema: Mapping[str, Any]
    features: Sequence[Feature]
    draw: Callable[[int], Events]
    train: Train
    codec: Codec = "avro"
    training_events: int = 50_000
    sample_events: int = 5_000
    share: float = 1.0
    subjects: Sequence[str] | None = None

    @property
    def id_field(self) -> str:
        """The field that names an event."""
        return ID_FIELDS[self.name]

    def compares(self, subject: str) -> bool:
        """Whether a subject is one of those that are compared."""
        return self.subjects is None or subject in self.subjects


_EVENT = "Avro payments of 22 fields, 17 of them features"
_PAYMENT = Workload(
    "payment",
    f"{_EVENT}, strings among them; LightGBM, 100 trees of 31 leaves",
    PAYMENT_SCHEMA,
    events.PAYMENT_FEATURES,
    events.avro_payments,
    models.boosted(100),
)
_FLOATS = Workload(
    "floats",
    "Avro, an id and 20 floats; LightGBM, 100 trees of 31 leaves",
    events.FLOATS_SCHEMA,
    events.FLOATS_FEATURES,
    events.floats,
    models.boosted(100),
)
_CRAYFISH = Workload(
    "crayfish",
    "The event of the Crayfish study (EDBT 2024): 8.4 kB of JSON with 784 floats as text; a net of 784-32-32-32-10",
    events.IMAGE_SCHEMA,
    events.IMAGE_FEATURES,
    events.images,
    models.image_net,
    codec="json",
    training_events=5_000,
    sample_events=500,
    share=0.05,
)
_VARIANTS = (
    replace(
        _PAYMENT, name="payment_500", about=f"{_EVENT}; LightGBM, 500 trees of 31 leaves", train=models.boosted(500)
    ),
    replace(
        _PAYMENT,
        name="payment_logistic",
        about=f"{_EVENT}; scikit-learn: imputer, scaler, logistic regression",
        train=models.logistic,
    ),
    replace(
        _PAYMENT,
        name="payment_mlp",
        about=f"{_EVENT}; scikit-learn: imputer, scaler, a net of 17-64-32-1",
        train=models.perceptron,
    ),
    replace(
        _PAYMENT,
        name="payment_json",
        about="The same payments in JSON, 550 bytes; LightGBM, 100 trees of 31 leaves",
        draw=events.json_payments,
        codec="json",
    ),
)
_ALL = (_PAYMENT, _FLOATS, _CRAYFISH, *(replace(variant, subjects=FEW) for variant in _VARIANTS))
WORKLOADS: Mapping[str, Workload] = {workload.name: workload for workload in _ALL}


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
        """Avro schema of what rivals write in Avro."""
        return self.folder / "output.avsc"


def prepare(workload: Workload, count: int, folder: Path) -> Prepared:
    """Make a workload's files where they are not there yet, and draw its events.

    Args:
        workload: of which kind.
        count: events, 1 or more.
        folder: where workloads are kept.
    """
    made = Prepared(workload, folder / workload.name, workload.draw(count), (), np.empty(0, np.float32))
    if not made.bundle.exists():
        made.folder.mkdir(parents=True, exist_ok=True)
        _write_assets(made)
        _train(made)
        _export(made)
    known = made.folder / f"reference-{count}.npz"
    if not known.exists():
        ids = [str(event[workload.id_field]) for event in _decoded(made, made.events)]
        np.savez(known, ids=np.array(ids), scores=_reference(made))
    with np.load(known) as reference:
        return replace(made, ids=reference["ids"].tolist(), scores=reference["scores"])


def offline_task(made: Prepared) -> Task:
    """A task that names the files, and no topics."""
    return Task("", "", "", "", made.workload.name, made.model, made.schema, made.output_schema, made.folder)


def _decoded(made: Prepared, drawn: Events) -> list[Any]:
    return list(map(plain_format(offline_task(made)).decode, drawn.values))


def _write_assets(made: Prepared) -> None:
    made.schema.write_text(json.dumps(made.workload.schema))
    made.output_schema.write_text(json.dumps(OUTPUT_SCHEMA))
    features = made.workload.features
    listed = [{"name": feature["path"], "path": feature["path"]} for feature in features]
    texts = {feature["path"]: feature["categories"] for feature in features if "categories" in feature}
    (made.folder / "features.json").write_text(json.dumps(listed))
    (made.folder / "categories.json").write_text(json.dumps(texts))


def _train(made: Prepared) -> None:
    drawn = made.workload.draw(made.workload.training_events)
    rows = plain_format(offline_task(made)).rows(_decoded(made, drawn))
    made.model.write_bytes(made.workload.train(rows, np.array(drawn.labels, np.int64)))


def _export(made: Prepared) -> None:
    workload, sample = made.workload, made.folder / "sample.avro"
    with sample.open("wb") as target:
        sampled = _decoded(made, workload.draw(workload.sample_events))
        fastavro.writer(target, fastavro.parse_schema(dict(workload.schema)), sampled)
    lines = [", ".join(f"{key} = {json.dumps(value)}" for key, value in line.items()) for line in workload.features]
    features = made.folder / "features.toml"
    features.write_text("\n".join(["features = [", *(f"  {{{line}}}," for line in lines), "]", ""]))
    export_onnx(made.model, features, sample, made.bundle, score="probabilities:1")


def _reference(made: Prepared) -> Float32Array:
    score, values = scorer(offline_task(made)), made.events.values
    parts = [score.scores(values[at : at + _SCORED_AT_ONCE]) for at in range(0, len(values), _SCORED_AT_ONCE)]
    return np.concatenate([np.array(part, np.float32) for part in parts])

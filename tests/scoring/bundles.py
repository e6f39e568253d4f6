"""Bundles in memory around the models of `tests.scoring.zoo`, with golden vectors from a plain session."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from stream_infer.bundle import Envelope, GoldenAnswers, GoldenEvents, ModelBundle, encode_rows, read_graph_facts
from stream_infer.bundle.golden import encode_answers, encode_events
from stream_infer.bundle.manifest import (
    Decision,
    FeatureSpec,
    GoldenInfo,
    InputSpec,
    Manifest,
    ModelInfo,
    OnnxInfo,
    OutputSpec,
    ScoreRef,
)
from stream_infer.scoring.decision import flag, pick_score
from stream_infer.types import Decoded
from tests.scoring import zoo

SCORE = OutputSpec("score", "float32", (-1, 1), "score")
PROBABILITIES = OutputSpec("probabilities", "float32", (-1, 2), "probabilities")
THRESHOLD = 0.5


def rows(count: int = 20, width: int = 3, seed: int = 1) -> npt.NDArray[np.float32]:
    """Random cells, float32 ``[count, width]``."""
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def matrix_input(width: int, dtype: Any = "float32") -> InputSpec:
    """One input ``X`` whose features are the fields f0, f1, ..."""
    features = tuple(FeatureSpec(name=f"f{cell}", path=f"f{cell}", missing="nan") for cell in range(width))
    return InputSpec("X", dtype, (-1, width), features)


def matrix_schema(width: int) -> dict[str, Any]:
    """Events of nullable doubles f0, f1, ..."""
    fields = [{"name": f"f{cell}", "type": ["null", "double"], "default": None} for cell in range(width)]
    return {"type": "record", "name": "Event", "fields": fields}


def matrix_bundle(
    model: bytes,
    cells: npt.NDArray[np.float32] | None = None,
    *,
    output: OutputSpec = SCORE,
    column: int | None = 0,
    classes: tuple[int | str, ...] = (),
    answer: npt.NDArray[Any] | None = None,
    threshold: float = THRESHOLD,
) -> ModelBundle:
    """A bundle of a model with one input ``X``; golden rows are ``cells``, expected is a plain session's answer."""
    golden = rows() if cells is None else cells
    width = golden.shape[1]
    schema = matrix_schema(width)
    events = [{f"f{cell}": float(value) for cell, value in enumerate(row)} for row in golden]
    expected = zoo.direct(model, output.name, {"X": golden}) if answer is None else answer
    return make_bundle(
        model,
        (matrix_input(width),),
        schema,
        events,
        expected,
        output,
        ScoreRef(output.name, column),
        classes,
        threshold,
    )


def make_bundle(
    model: bytes,
    inputs: tuple[InputSpec, ...],
    schema: dict[str, Any],
    events: Sequence[dict[str, Any]],
    answer: npt.NDArray[Any],
    output: OutputSpec,
    score: ScoreRef,
    classes: tuple[int | str, ...] = (),
    threshold: float = THRESHOLD,
) -> ModelBundle:
    """A bundle of any model; ``answer`` is the output's for the golden events."""
    facts = read_graph_facts(model, "test")
    manifest = Manifest(
        format_version="1.0",
        model=ModelInfo("fraud", "7"),
        onnx=OnnxInfo("model.onnx", facts.opset, facts.ir, "1.15", facts.op_names),
        inputs=inputs,
        outputs=(output,),
        score=score,
        classes=classes,
        decision=Decision(threshold),
        golden=GoldenInfo(rows=len(events), onnxruntime=ort.__version__),
        files={},
    )
    scores = pick_score(answer, score.column)
    answers = GoldenAnswers(
        scores, flag(scores, threshold, 6), (None,) * len(events), answer if len(classes) > 2 else None
    )
    values = tuple(encode_rows(schema, events))
    files = {
        "model.onnx": model,
        "schema/input.avsc": json.dumps(schema).encode(),
        "golden/input.avro": encode_events(GoldenEvents(schema, values, (Envelope(),) * len(values))),
        "golden/expected.avro": encode_answers(answers),
    }
    return ModelBundle.assemble(manifest, files, "test.bundle.jar")


def decoded(cells: npt.NDArray[Any], status: Sequence[int] | None = None) -> Decoded:
    """Columns as a decoder makes them for a model with one input ``X``."""
    column = np.zeros(len(cells), np.uint8) if status is None else np.array(status, np.uint8)
    return Decoded({"X": cells}, column, (), {})


def example_bundle() -> ModelBundle:
    """The bundle of the documentation's examples: flagged where the amount is above 100."""
    schema = {
        "type": "record",
        "name": "Payment",
        "fields": [
            {"name": "amount", "type": "double"},
            {
                "name": "geo",
                "type": ["null", {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": "double"}]}],
                "default": None,
            },
            {"name": "category", "type": ["null", "string"], "default": None},
        ],
    }
    features = (
        FeatureSpec(name="amount", path="amount", missing="error"),
        FeatureSpec(name="lat", path="geo.lat", missing="nan"),
        FeatureSpec(name="category", path="category", missing="nan", categories=("grocery", "travel")),
    )
    model = zoo.stump()
    events: list[dict[str, Any]] = [
        {"amount": 9.0, "geo": None, "category": "grocery"},
        {"amount": 120.0, "geo": {"lat": 48.1}, "category": "travel"},
        {"amount": 100.0, "geo": {"lat": -1.0}, "category": None},
    ]
    cells = np.array([[9.0, np.nan, 0.0], [120.0, 48.1, 1.0], [100.0, -1.0, np.nan]], np.float32)
    answer = zoo.direct(model, "probabilities", {"X": cells})
    inputs = (InputSpec("X", "float32", (-1, 3), features),)
    return make_bundle(model, inputs, schema, events, answer, PROBABILITIES, ScoreRef("probabilities", 1), (0, 1))

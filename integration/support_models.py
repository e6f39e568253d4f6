"""Model bundles for tests of the whole line, exported by the program's own exporter."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from stream_infer.export import export_onnx
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA

TABLE_LIMIT = 10_000.0
"""The model of `export_table` fails on amounts from here on."""
_SAMPLE_EVENTS = 500


def write_events(path: Path, schema: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
    """Write events as an Avro container: the sample that an export asks for."""
    with path.open("wb") as file:
        fastavro.writer(file, dict(schema), events)


def encode_events(schema: Mapping[str, Any], events: Sequence[Mapping[str, Any]], prefix: bytes = b"") -> list[bytes]:
    """Each event in Avro's binary encoding, after ``prefix``, by fastavro."""
    parsed = fastavro.parse_schema(dict(schema))
    values = []
    for event in events:
        file = io.BytesIO(prefix)
        file.seek(len(prefix))
        fastavro.schemaless_writer(file, parsed, event)
        values.append(file.getvalue())
    return values


def export_table(directory: Path) -> Path:
    """A bundle whose score is ``table[int(amount / 1000)]``, a table of ten: it fails from `TABLE_LIMIT` on."""
    nodes = [
        helper.make_node("Cast", ["X"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.linspace(0, 0.9, 10).astype(np.float32), "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    features = '{path = "amount", scale = 0.001, missing = "error"}'
    return export(directory, "table", model.SerializeToString(), features, PAYMENT_SCHEMA)


def export(
    directory: Path,
    name: str,
    model: bytes,
    features: str,
    schema: Mapping[str, Any],
    sample: Sequence[Mapping[str, Any]] | None = None,
    threshold: float = 0.5,
) -> Path:
    """Export ``model`` with a feature list and a sample of events.

    Args:
        directory: gets everything; made where it does not exist.
        name: of the model.
        model: the ONNX file's bytes.
        features: the entries of the feature list, in TOML.
        schema: of the sample, which becomes the bundle's `input.avsc`.
        sample: events; generated payments by default.
        threshold: of the decision.
    """
    directory.mkdir(exist_ok=True)
    model_path, list_path, sample_path = (
        directory / "model.onnx",
        directory / "features.toml",
        directory / "sample.avro",
    )
    model_path.write_bytes(model)
    list_path.write_text(f"features = [{features}]\n")
    if sample is None:
        sample = PaymentStream(seed=21, cards=200, merchants=100).columns(_SAMPLE_EVENTS).to_dicts()
    write_events(sample_path, schema, sample)
    bundle = directory / f"{name}-1.bundle.jar"
    export_onnx(model_path, list_path, sample_path, bundle, threshold=threshold)
    return bundle

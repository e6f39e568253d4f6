"""A model that is no graph becomes a bundle: a plug-in's files, a feature list and a sample of events.

Rule: as for a graph, what is written has been proven in memory by the code that serves it, with the plug-in that is
installed here. Such a bundle is not exportable: it runs in Python only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort

from stream_infer import __version__
from stream_infer.bundle import Envelope, GoldenAnswers, GoldenEvents, ModelBundle, write_bundle
from stream_infer.bundle.golden import encode_answers, encode_envelopes, encode_events
from stream_infer.bundle.manifest import (
    GOLDEN_EXPECTED_FILE,
    GOLDEN_INPUT_FILE,
    GOLDEN_RECORDS_FILE,
    INPUT_SCHEMA_FILE,
    PLUGIN_FORMAT_VERSION,
    PROFILE_FILE,
    ClassLabel,
    Decision,
    GoldenInfo,
    InputSpec,
    Manifest,
    ModelInfo,
    OutputSpec,
    Provenance,
    RuntimeInfo,
    ScoreRef,
    manifest_problems,
)
from stream_infer.errors import ExportRefused, ModelLoadError
from stream_infer.export.features import InputEntry, read_features
from stream_infer.export.fields import SchemaFields, path_problems
from stream_infer.export.profile import make_profile
from stream_infer.export.sample import Sample, read_sample
from stream_infer.export.study import decode_events
from stream_infer.export.vectors import choose_events
from stream_infer.projection import Projection
from stream_infer.scoring.inference import Inference
from stream_infer.scoring.plugin_runtime import open_plugin
from stream_infer.scoring.verify import open_model
from stream_infer.types import Decoded, ScoredColumns, Status

GOLDEN_EVENTS = 256
ONE_INPUT = "X"
"""The name of the input of a feature list that names none."""


def export_runtime(
    runtime: str,
    files: Mapping[str, bytes],
    features_path: str | Path,
    events_path: str | Path,
    to: str | Path,
    *,
    name: str,
    version: str,
    columns: int | None = None,
    score_column: int | None = None,
    classes: Sequence[ClassLabel] = (),
    threshold: float = 0.5,
) -> str:
    """Write a bundle of a plug-in's model and return its digest.

    Args:
        runtime: the plug-in's name, under the entry point group ``stream_infer.runtimes``.
        files: what the plug-in opens, by name.
        features_path: the feature list, TOML. An input is float32 where it says nothing else, and a single one is
            called X.
        events_path: real events: ``.avro``, ``.jsonl`` or ``.parquet``.
        to: the bundle: a zip if it ends in ``.jar`` (replaced), else a new directory.
        name: of the model.
        version: of the model.
        columns: the plug-in answers float32 ``[n, columns]``; None for ``[n]``.
        score_column: which of the columns is the score; the last by default.
        classes: labels of the columns; more than two make every scored event carry all probabilities.
        threshold: an event is flagged from this score on.

    Raises:
        ExportRefused: list, events and plug-in don't fit together, or the model does not pass its own proof.
        ModelLoadError: the plug-in is not installed, or cannot open the model.
        SignatureMismatch: its answer does not have the shape or the dtype that is said here.
        UsageError: the destination cannot be written.
    """
    sample = read_sample(Path(events_path))
    inputs = _inputs(read_features(Path(features_path)))
    if problems := list(path_problems(SchemaFields(sample.schema), inputs, str(events_path))):
        raise ExportRefused(f"{features_path} does not fit the events: {'; '.join(problems)}")
    output = OutputSpec("score", "float32", (-1,) if columns is None else (-1, columns), "score")
    column = None if columns is None else columns - 1 if score_column is None else score_column
    manifest = Manifest(
        format_version=PLUGIN_FORMAT_VERSION,
        model=ModelInfo(name, version),
        runtime=RuntimeInfo(runtime, tuple(sorted(files))),
        inputs=inputs,
        outputs=(output,),
        score=ScoreRef(output.name, column),
        classes=tuple(classes),
        decision=Decision(threshold),
        golden=GoldenInfo(rows=1, onnxruntime=ort.__version__),
        provenance=Provenance({"stream_infer": __version__}),
        files={},
    )
    bundle = _with_proof(manifest, dict(files), sample, str(to))
    _prove(bundle)
    return write_bundle(to, bundle.manifest, bundle.files)


def _inputs(entries: Sequence[InputEntry]) -> tuple[InputSpec, ...]:
    return tuple(_input(entry) for entry in entries)


def _input(entry: InputEntry) -> InputSpec:
    dtype = entry.dtype or "float32"
    features = tuple(feature.to_spec(dtype) for feature in entry.entries())
    return InputSpec(entry.name or ONE_INPUT, dtype, (-1, sum(feature.length for feature in features)), features)


def _with_proof(manifest: Manifest, files: dict[str, bytes], sample: Sample, source: str) -> ModelBundle:
    """The bundle with golden events, what the model answers to them, and the profile of the sample."""
    draft = ModelBundle.assemble(manifest, files, source)
    runtime = open_plugin(draft)
    inference = Inference(draft, runtime)
    projection = Projection(tuple(spec.to_input() for spec in manifest.inputs), (), sample.schema)
    decoded = decode_events(projection, GoldenEvents(sample.schema, sample.values, sample.envelopes))
    profile = _profile(manifest.inputs, decoded, inference(decoded))
    golden = choose_events(sample, manifest.inputs, iter(()), GOLDEN_EVENTS)
    answers = inference(decode_events(projection, golden))
    runtime.close()
    proof = {
        INPUT_SCHEMA_FILE: _json(sample.schema),
        GOLDEN_INPUT_FILE: encode_events(golden),
        GOLDEN_EXPECTED_FILE: encode_answers(_answers(answers)),
        PROFILE_FILE: _json(profile),
    }
    if any(envelope != Envelope() for envelope in golden.envelopes):
        proof[GOLDEN_RECORDS_FILE] = encode_envelopes(golden.envelopes)
    counted = msgspec.structs.replace(manifest, golden=GoldenInfo(rows=len(golden), onnxruntime=ort.__version__))
    return ModelBundle.assemble(counted, {**files, **proof}, source)


def _profile(inputs: tuple[InputSpec, ...], decoded: Decoded, scored: ScoredColumns) -> dict[str, Any]:
    rows = np.flatnonzero(scored.status == Status.OK)
    if not len(rows):
        detail = next(iter(scored.details.values()), "")
        raise ExportRefused(f"the model scores no event of the sample: {detail}")
    return make_profile(inputs, {name: array[rows] for name, array in decoded.inputs.items()}, scored.score[rows])


def _answers(scored: ScoredColumns) -> GoldenAnswers:
    reasons = tuple(None if status == Status.OK else Status(status).reason for status in scored.status.tolist())
    return GoldenAnswers(scored.score, scored.flagged, reasons, scored.probabilities)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, allow_nan=False).encode() + b"\n"


def _prove(bundle: ModelBundle) -> None:
    if problems := list(manifest_problems(bundle.manifest)):
        raise ExportRefused(f"the model cannot be exported: {'; '.join(problems)}")
    try:
        open_model(bundle).close()
    except ModelLoadError as error:
        raise ExportRefused(f"the model does not pass its own proof: {error}") from error

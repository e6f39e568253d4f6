"""A model that was understood becomes a bundle.

Rule: what is written has been proven in memory first, by the same code that opens a bundle to serve it; a refusal names
what is in the way and the next best route, and leaves no file behind. The same arguments give the same bytes
(``SOURCE_DATE_EPOCH`` sets ``provenance.created``, which is left out without it).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from stream_infer import __version__
from stream_infer.bundle import Envelope, GoldenAnswers, GoldenEvents, ModelBundle, write_bundle
from stream_infer.bundle.golden import encode_answers, encode_envelopes, encode_events
from stream_infer.bundle.manifest import (
    FORMAT_VERSION,
    GOLDEN_EXPECTED_FILE,
    GOLDEN_INPUT_FILE,
    GOLDEN_RECORDS_FILE,
    INPUT_SCHEMA_FILE,
    MODEL_FILE,
    PROFILE_FILE,
    Decision,
    GoldenInfo,
    InputSpec,
    Manifest,
    ModelInfo,
    OnnxInfo,
    Parity,
    Provenance,
    manifest_problems,
)
from stream_infer.errors import ExportRefused, ModelLoadError
from stream_infer.export.graph import Graph, min_onnxruntime
from stream_infer.export.parity import Proven
from stream_infer.export.profile import make_profile
from stream_infer.export.study import Study, decode_events
from stream_infer.export.vectors import choose_events
from stream_infer.scoring.inference import Inference
from stream_infer.scoring.onnx_runtime import OnnxRuntime
from stream_infer.scoring.verify import open_model
from stream_infer.types import Decoded, Float32Array, ScoredColumns, Status

Proof = Callable[[Study, bytes, Manifest], Proven]
"""Compares the final graph with the original; raises `ExportRefused` where they part."""

_MODEL_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
GOLDEN_EVENTS = 256
"""Events that go into a bundle as its proof, at most: milliseconds of every start, and some 20 kB."""

_FEW_EVENTS = 7
_BUNDLE_NAME = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+?)(\.bundle)?\.jar$")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and what the sample says of it.

    ``parity`` is None for an ONNX file, which has no original; ``float32_events`` are events of the sample that the
    original itself scores otherwise when it is given float64. ``digest`` is empty and ``size_bytes`` 0 where nothing
    was written. ``rejected`` counts sample events by reject reason; ``score_quantiles`` are those of `profile.json` at
    0, 0.5 and 1.
    """

    path: Path
    name: str
    version: str
    digest: str
    size_bytes: int
    sample_events: int
    scored_events: int
    rejected: Mapping[str, int]
    flagged_events: int
    score_quantiles: tuple[float, float, float]
    golden_events: int
    min_onnxruntime: str
    parity: Parity | None
    float32_events: int


def make_bundle(
    study: Study, info: ModelInfo, threshold: float, to: str | Path, proof: Proof | None = None, write: bool = True
) -> ExportReport:
    """Prove a model, and write its bundle.

    Args:
        study: the model and what it is fed.
        info: its name and version.
        threshold: an event is flagged from this score on.
        to: the bundle: a zip if it ends in ``.jar`` (replaced), else a new directory.
        proof: compares the graph with the model that it was converted from, if there is one.
        write: False: everything but the writing.

    Raises:
        ExportRefused: the model does not pass its own proof.
        UsageError: the destination cannot be written.
    """
    destination = Path(to)
    model = study.graph.stamped(**_stamp(info, study.inputs))
    manifest = _manifest(study, info, threshold)
    proven = proof(study, model, manifest) if proof is not None else None
    manifest = msgspec.structs.replace(manifest, parity=proven.parity if proven else None)
    runtime = OnnxRuntime(model, study.inputs, study.output)
    inference = Inference(ModelBundle.assemble(manifest, {}, str(to)), runtime)
    scored = inference(study.decoded)
    _check_independence(inference, study.decoded, scored)
    profile = make_profile(study.inputs, *_accepted(study.decoded, scored))
    golden = choose_events(study.sample, study.inputs, study.graph.split_thresholds(), GOLDEN_EVENTS)
    answers = inference(decode_events(study.projection, golden))
    manifest = msgspec.structs.replace(manifest, golden=GoldenInfo(rows=len(golden), onnxruntime=ort.__version__))
    files = _files(model, study.sample.schema, golden, answers, profile)
    _prove(ModelBundle.assemble(manifest, files, str(to)))
    digest = write_bundle(destination, manifest, files) if write else ""
    return _report(destination, manifest, digest, scored, proven)


def _manifest(study: Study, info: ModelInfo, threshold: float) -> Manifest:
    """Everything that is known before the golden events are chosen and the files are made."""
    return Manifest(
        format_version=FORMAT_VERSION,
        model=info,
        onnx=_onnx_info(study.graph),
        inputs=study.inputs,
        outputs=(study.output,),
        score=study.score,
        classes=study.classes,
        decision=Decision(threshold),
        golden=GoldenInfo(rows=1, onnxruntime=ort.__version__),
        provenance=_provenance(study.graph),
        files={},
    )


def model_info(
    destination: Path, name: str | None, version: str | None, description: str, license_id: str
) -> ModelInfo:
    """What a model is called; what is not said comes from the destination.

    Raises:
        ExportRefused: neither names a model.
    """
    match = _BUNDLE_NAME.match(destination.name)
    found = name or (match["name"] if match else None)
    if not found or not _MODEL_NAME.match(found):
        raise ExportRefused(
            f"{found or destination.name!r} does not name a model; pass --name (letters, digits, '.', '_', '-'), or "
            "call the bundle NAME-VERSION.bundle.jar"
        )
    return ModelInfo(found, version or (match["version"] if match else "1"), description, license_id)


def _stamp(info: ModelInfo, inputs: Sequence[InputSpec]) -> dict[str, str]:
    features = hashlib.sha256(msgspec.json.encode(inputs, order="deterministic")).hexdigest()
    return {
        "stream_infer.name": info.name,
        "stream_infer.version": info.version,
        "stream_infer.features_sha256": features,
    }


def _onnx_info(graph: Graph) -> OnnxInfo:
    facts = graph.facts
    opset, oldest = dict(sorted(facts.opset.items())), min_onnxruntime(facts)
    return OnnxInfo(MODEL_FILE, opset, facts.ir, oldest, facts.op_names, facts.contrib_ops)


def _provenance(graph: Graph) -> Provenance:
    packages = {"onnxruntime": ort.__version__, "stream_infer": __version__}
    if graph.proto.producer_name:
        packages[graph.proto.producer_name] = graph.proto.producer_version
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch.isdecimal():
        return Provenance(dict(sorted(packages.items())))
    created = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).isoformat()
    return Provenance(dict(sorted(packages.items())), created=created)


def _accepted(decoded: Decoded, scored: ScoredColumns) -> tuple[dict[str, npt.NDArray[Any]], Float32Array]:
    """The cells and scores of the events that were scored.

    Raises:
        ExportRefused: there is none.
    """
    rows = scored.status == Status.OK
    if not rows.any():
        detail = next(iter(scored.details.values()), "")
        raise ExportRefused(f"the model scores no event of the sample: {detail}")
    return {name: array[rows] for name, array in decoded.inputs.items()}, scored.score[rows]


def _check_independence(inference: Inference, decoded: Decoded, scored: ScoredColumns) -> None:
    """Score a few events again, in smaller company.

    Raises:
        ExportRefused: a score is another one then.
    """
    few = np.flatnonzero(scored.status == Status.OK)[:_FEW_EVENTS]
    cells = {name: array[few] for name, array in decoded.inputs.items()}
    again = inference(Decoded(cells, decoded.status[few], (), {}))
    if not np.allclose(again.score, scored.score[few], rtol=1e-5, atol=1e-6):
        raise ExportRefused(
            "the score of an event depends on the events beside it in the batch: export the graph in inference mode, "
            "without statistics over the batch"
        )


def _files(
    model: bytes, schema: Mapping[str, Any], golden: GoldenEvents, scored: ScoredColumns, profile: Mapping[str, Any]
) -> dict[str, bytes]:
    reasons = tuple(None if status == Status.OK else Status(status).reason for status in scored.status.tolist())
    answers = GoldenAnswers(scored.score, scored.flagged, reasons, scored.probabilities)
    files = {
        MODEL_FILE: model,
        INPUT_SCHEMA_FILE: _json(schema),
        GOLDEN_INPUT_FILE: encode_events(golden),
        GOLDEN_EXPECTED_FILE: encode_answers(answers),
        PROFILE_FILE: _json(profile),
    }
    if any(envelope != Envelope() for envelope in golden.envelopes):
        files[GOLDEN_RECORDS_FILE] = encode_envelopes(golden.envelopes)
    return files


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, allow_nan=False).encode() + b"\n"


def _prove(bundle: ModelBundle) -> None:
    problems = list(manifest_problems(bundle.manifest))
    if problems:
        raise ExportRefused(f"the model cannot be exported: {'; '.join(problems)}")
    try:
        open_model(bundle).close()
    except ModelLoadError as error:
        raise ExportRefused(f"the model does not pass its own proof: {error}") from error


def _report(path: Path, manifest: Manifest, digest: str, scored: ScoredColumns, proven: Proven | None) -> ExportReport:
    ok = scored.status == Status.OK
    rejected = Counter(Status(status).reason for status in scored.status[~ok].tolist())
    low, middle, high = np.quantile(scored.score[ok], (0, 0.5, 1)).tolist()
    return ExportReport(
        path=path,
        name=manifest.model.name,
        version=manifest.model.version,
        digest=digest,
        size_bytes=_size_bytes(path) if digest else 0,
        sample_events=len(scored),
        scored_events=int(ok.sum()),
        rejected=dict(rejected),
        flagged_events=int(scored.flagged.sum()),
        score_quantiles=(low, middle, high),
        golden_events=manifest.golden.rows,
        min_onnxruntime=manifest.graph.min_onnxruntime,
        parity=manifest.parity,
        float32_events=proven.float32_events if proven else 0,
    )


def _size_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size

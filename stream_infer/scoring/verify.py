"""Opening a model, and proving that it answers as its bundle says before the first event.

Rule: always on. The golden vectors go through the real decoder, the real graph and the real decision, at several batch
sizes: a score that differs between sizes depends on its neighbours, and such a model is refused. It takes milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from stream_infer.bundle import GoldenAnswers, GoldenEvents, ModelBundle
from stream_infer.bundle.manifest import Manifest
from stream_infer.codecs import AvroDecoder, FixedSchema
from stream_infer.errors import ConfigError, ModelLoadError, SignatureMismatch
from stream_infer.projection import Projection
from stream_infer.scoring.inference import Inference
from stream_infer.scoring.onnx_runtime import CPU, OnnxRuntime
from stream_infer.scoring.plugin_runtime import PluginRuntime, open_plugin
from stream_infer.scoring.tree_proof import ModelRuntime, with_tree_kernel
from stream_infer.types import BoolArray, Decoded, Float32Array, ScoredColumns, Status

LoadedModel: TypeAlias = ModelRuntime | PluginRuntime

GOLDEN_BATCH_SIZES = (7, 2)
"""Sizes besides "all": one that divides no usual block of rows, and the smallest that is run."""


def open_model(
    bundle: ModelBundle,
    *,
    warm_up_sizes: Sequence[int] = (),
    providers: Sequence[str] = CPU,
) -> LoadedModel:
    """Load the model of a bundle, prove it, and make it warm.

    A tree ensemble goes to the tree kernel where that is proven to answer as ONNX Runtime does, bit for bit, with the
    providers that are asked for. A bundle of a plug-in is opened by that plug-in. ``engine`` and ``remark`` of the
    answer say what serves the model, and why.

    Args:
        bundle: from `ModelBundle.load`.
        warm_up_sizes: batch sizes in use (rows); each is run once, so that no event pays for a first call.
        providers: ONNX Runtime's execution providers, in order of preference.

    Raises:
        ModelLoadError: ONNX Runtime is too old, refuses the graph or does not have a provider, a plug-in is not
            installed or fails, or a golden vector is answered wrongly.
        SignatureMismatch: the graph's inputs or output are not what `bundle.json` says.
    """
    try:
        runtime = _open(bundle, providers)
        scored = _verify(bundle, runtime)
    except SignatureMismatch as error:
        raise SignatureMismatch(f"{bundle.source}: {error}") from error
    except ModelLoadError as error:
        raise ModelLoadError(f"{bundle.source}: {error}") from error
    served = with_tree_kernel(bundle.model, runtime, scored.inputs) if isinstance(runtime, OnnxRuntime) else runtime
    _warm_up(served, scored, warm_up_sizes)
    return served


def _open(bundle: ModelBundle, providers: Sequence[str]) -> OnnxRuntime | PluginRuntime:
    manifest = bundle.manifest
    if manifest.runtime is None:
        _check_version(bundle)
        return OnnxRuntime(bundle.model, manifest.inputs, manifest.score_output, providers=providers)
    if tuple(providers) != CPU:
        raise ModelLoadError(
            f"model.providers are ONNX Runtime's, and this model runs in {manifest.runtime.name!r}; leave them out"
        )
    return open_plugin(bundle)


def _check_version(bundle: ModelBundle) -> None:
    needed = bundle.manifest.graph.min_onnxruntime
    if _version(ort.__version__) < _version(needed):
        raise ModelLoadError(
            f"it needs ONNX Runtime {needed} or newer, this is {ort.__version__}: "
            f"install 'onnxruntime>={needed}', or export the model for an older operator set"
        )


def _version(text: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", text)[:3]]
    return (*numbers, 0, 0, 0)[:3]


def _verify(bundle: ModelBundle, runtime: OnnxRuntime | PluginRuntime) -> Decoded:
    """Compare the answers to the golden events with the expected ones; returns the events that have a score."""
    expected = bundle.golden_answers()
    decoded = decode_golden(bundle.projection(), bundle.golden_events())
    inference = Inference(bundle, runtime)
    whole = inference(decoded)
    _require(golden_mismatch(whole, expected, bundle.manifest), "")
    scored_rows = np.flatnonzero(whole.status == Status.OK)
    if not len(scored_rows):
        raise ModelLoadError("no golden event is scored; export it again with events that the feature list accepts")
    last = int(scored_rows[-1])
    for start, stop in [*_parts(len(decoded)), (last, last + 1)]:
        scored = inference(_rows(decoded, start, stop))
        mismatch = golden_mismatch(scored, _answer_rows(expected, start, stop), bundle.manifest, first_row=start)
        _require(mismatch, f" in a batch of {stop - start} (but not with all): a score depends on the rows beside it")
    return _take(decoded, scored_rows)


def decode_golden(projection: Projection, events: GoldenEvents) -> Decoded:
    """Decode golden events as real ones are.

    Raises:
        ModelLoadError: no event can be decoded with the input schema, the feature list or the events' own schema.
    """
    longest = max(map(len, events.values))
    try:
        decoder = AvroDecoder(projection, FixedSchema(events.schema), max_event_bytes=longest)
    except ConfigError as error:
        raise ModelLoadError(f"the schema of golden/input.avro cannot be used: {error.problems[0].message}") from error
    return decoder.decode(events.records())


def golden_mismatch(
    scored: ScoredColumns, expected: GoldenAnswers, manifest: Manifest, first_row: int = 0
) -> str | None:
    """The first golden row that is not answered as expected, in words; None when all are.

    Scores may differ by ``atol + rtol * |expected|``. Flags are compared where the expected score is further than that
    from the threshold, rounding included.
    """
    reasons = [None if status == Status.OK else Status(status).reason for status in scored.status.tolist()]
    for row, (reason, wanted) in enumerate(zip(reasons, expected.reasons, strict=True)):
        if reason != wanted:
            found = f"{reason} ({scored.details.get(row, 'no detail')})" if reason else "scored"
            return f"golden row {first_row + row} is {found}, expected {wanted or 'a score'}"
    far = ~_close(scored.score, expected.score, manifest)
    if expected.probabilities is not None and scored.probabilities is not None:
        far |= ~_close(scored.probabilities, expected.probabilities, manifest).all(axis=1)
    wrong_flag = (scored.flagged != expected.flagged) & ~_near_threshold(expected.score, manifest)
    for row in np.flatnonzero(far | wrong_flag).tolist():
        got, wanted_score = float(scored.score[row]), float(expected.score[row])
        decided = (
            f"flagged {bool(scored.flagged[row])}, expected score {wanted_score} flagged {bool(expected.flagged[row])}"
        )
        return f"golden row {first_row + row} has score {got} {decided}"
    return None


def _require(mismatch: str | None, circumstance: str) -> None:
    if mismatch:
        raise ModelLoadError(
            f"{mismatch}{circumstance}; this model does not answer here as it did at export: export it again"
        )


def _parts(rows: int) -> Iterator[tuple[int, int]]:
    for size in GOLDEN_BATCH_SIZES:
        for start in range(0, rows, size):
            yield start, min(start + size, rows)


def _take(decoded: Decoded, rows: npt.NDArray[np.intp]) -> Decoded:
    inputs = {name: array[rows] for name, array in decoded.inputs.items()}
    return Decoded(inputs, decoded.status[rows], (), {})


def _rows(decoded: Decoded, start: int, stop: int) -> Decoded:
    inputs = {name: array[start:stop] for name, array in decoded.inputs.items()}
    return Decoded(inputs, decoded.status[start:stop], (), {})


def _answer_rows(answers: GoldenAnswers, start: int, stop: int) -> GoldenAnswers:
    return GoldenAnswers(
        answers.score[start:stop],
        answers.flagged[start:stop],
        answers.reasons[start:stop],
        None if answers.probabilities is None else answers.probabilities[start:stop],
    )


def _close(found: Float32Array, expected: Float32Array, manifest: Manifest) -> BoolArray:
    close: BoolArray = np.isclose(
        found.astype(np.float64),
        expected.astype(np.float64),
        rtol=manifest.golden.rtol,
        atol=manifest.golden.atol,
        equal_nan=True,
    )
    return close


def _near_threshold(expected: Float32Array, manifest: Manifest) -> BoolArray:
    threshold = manifest.decision.threshold
    slack = manifest.golden.atol + manifest.golden.rtol * abs(threshold) + 10.0**-manifest.decision.round_decimals
    near: BoolArray = np.abs(expected.astype(np.float64) - threshold) <= slack
    return near


def _warm_up(runtime: LoadedModel, scored: Decoded, sizes: Sequence[int]) -> None:
    """Run each size once, on events that have a score: others may be golden just because the model fails on them."""
    for size in sizes:
        chosen = np.resize(np.arange(len(scored)), size)
        runtime.run({name: array[chosen] for name, array in scored.inputs.items()})

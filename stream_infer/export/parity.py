"""The proof that a graph answers as the model it was converted from.

Rules: the sample, and rows made up to part the two, go through the original in its own library and through the graph in
ONNX Runtime. The original is given what the graph sees, float32; and the sample once more as the events say it, in
float64, so that a feature that float32 is too coarse for is found and named. A flip is a row that one flags and the
other does not, unless the original's score is within the tolerance of the threshold, where rounding alone decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.bundle.manifest import InputSpec, OutputSpec, Parity, ScoreRef
from stream_infer.errors import ExportRefused, ModelFailure
from stream_infer.export.convert import Converted, Rows
from stream_infer.export.parity_rows import has_unseen_text, join, made_up_rows, rows_of
from stream_infer.export.study import Study, decode_exactly
from stream_infer.scoring.decision import flag, pick_score
from stream_infer.scoring.onnx_runtime import OnnxRuntime
from stream_infer.types import BoolArray, Float64Array

TOLERANCE = 1e-5
"""Largest difference between graph and original: of scores up to 1, and relative to larger ones."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What two answers to the same rows are compared by."""

    score: ScoreRef
    threshold: float
    round_decimals: int
    tolerance: float

    def difference(self, found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> Float64Array:
        """By row: the largest difference of any column; relative where the wanted number is larger than 1."""
        found, wanted = _columns(found), _columns(wanted)
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))
        largest: Float64Array = gap.max(axis=1)
        return largest

    def flips(self, found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> BoolArray:
        """By row: one is flagged, the other not, and it is not a matter of rounding."""
        ours, theirs = (pick_score(answer, self.score.column) for answer in (found, wanted))
        different = flag(ours, self.threshold, self.round_decimals) != flag(theirs, self.threshold, self.round_decimals)
        near = np.abs(theirs.astype(np.float64) - self.threshold) <= self.tolerance * max(1.0, abs(self.threshold))
        flipped: BoolArray = different & ~near
        return flipped


@dataclass(frozen=True, slots=True)
class Proven:
    """``float32_events``: events of the sample that the original itself scores otherwise as float64 (`_precision`)."""

    parity: Parity
    float32_events: int


def prove_parity(study: Study, converted: Converted, columns: Sequence[Any], model: bytes, judge: Judge) -> Proven:
    """Compare graph and original.

    Raises:
        ExportRefused: they differ by more than the tolerance, or in a decision.
    """
    exact = rows_of(decode_exactly(study), study.inputs, tuple(columns))
    seen = exact.as_float32()
    made = made_up_rows(seen, study.inputs, list(study.graph.split_thresholds()), converted.trees)
    runtime = OnnxRuntime(model, study.inputs, study.output)
    try:
        rows = _answerable(join(seen, made), converted)
        found, wanted = _graph(runtime, study.inputs, rows), _original(converted, rows, study.output)
        served = np.isfinite(_columns(found)).all(axis=1)
        _check_served(served, np.isfinite(_columns(wanted)).all(axis=1), len(seen))
        gaps, flips = judge.difference(found[served], wanted[served]), judge.flips(found[served], wanted[served])
        _check_conversion(converted, gaps, flips, judge)
        between = _precision(converted, _answerable(exact, converted), study.output, judge)
    finally:
        runtime.close()
    # Two digits: libraries that add up on several threads differ in the last ones from call to call.
    largest = float(f"{gaps.max(initial=0.0):.1e}")
    parity = Parity(converted.source, int(served.sum()), largest, int(flips.sum()))
    return Proven(parity, between)


def _columns(answer: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return answer.reshape(len(answer), -1).astype(np.float64)


def _graph(runtime: OnnxRuntime, inputs: Sequence[InputSpec], rows: Rows) -> npt.NDArray[Any]:
    cells = {spec.name: rows.text if spec.dtype == "string" else rows.numbers.astype(spec.dtype) for spec in inputs}
    try:
        return runtime.run(cells)
    except ModelFailure as error:
        raise ExportRefused(f"the graph fails on rows like the sample's: {error}") from error


def _original(converted: Converted, rows: Rows, output: OutputSpec) -> npt.NDArray[Any]:
    answer = np.asarray(converted.original(rows), np.float64)
    shape = (len(rows), *output.shape[1:])
    if answer.size != np.prod(shape):
        raise ExportRefused(
            f"the original answers {list(answer.shape)} for {len(rows)} rows, the graph {list(shape)}: the converter "
            "took it for another kind of model; export an ONNX file of your own making"
        )
    return answer.reshape(shape)


def _answerable(rows: Rows, converted: Converted) -> Rows:
    """The rows that the original takes: all, or those without a missing number, a text that it has not seen, or either.

    Raises:
        ExportRefused: it fails on those, too.
    """
    reason = ""
    complete, known = rows.complete(), ~has_unseen_text(rows)
    for kept in (np.ones(len(rows), np.bool_), complete, known, complete & known):
        try:
            converted.original(rows.take(kept))
        except Exception as error:  # of any library
            reason = type(error).__name__
        else:
            return rows.take(kept)
    raise ExportRefused(
        f"the original fails on rows like the sample's ({reason}): check the order and the kinds of the features"
    )


def _check_served(served: BoolArray, answered: BoolArray, sample_rows: int) -> None:
    if (lost := int((answered & ~served)[:sample_rows].sum())) > 0:
        raise ExportRefused(
            f"the graph has no finite score for {lost} event(s) of the sample that the original scores: numbers "
            "are too large for float32; use `offset` and `scale` in the feature list, and train on what they give"
        )


def _check_conversion(converted: Converted, gaps: Float64Array, flips: BoolArray, judge: Judge) -> None:
    largest, flipped = float(gaps.max(initial=0.0)), int(flips.sum())
    if largest > judge.tolerance or flipped:
        off = int((gaps > judge.tolerance).sum())
        raise ExportRefused(
            f"the graph does not answer as {converted.source} does: {off} of {len(gaps)} rows differ by more than "
            f"{judge.tolerance:g} (largest {largest:.3g}), {flipped} decision(s) change; the usual cause "
            "is a step before trees that computes in float64: leave out scaling, which trees do not need"
        )


def _precision(converted: Converted, exact: Rows, output: OutputSpec, judge: Judge) -> int:
    """How many events of the sample the original scores otherwise when their numbers are cast to float32.

    Where float32 makes one number of two, the feature has lost what the model was trained on, and that is refused.
    Where it does not, those events stand exactly on a threshold of a model that was trained on float64.

    Raises:
        ExportRefused: a feature of such an event loses numbers.
    """
    wanted = _original(converted, exact, output)
    cast = _original(converted, exact.as_float32(), output)
    off = (judge.difference(cast, wanted) > judge.tolerance) | judge.flips(cast, wanted)
    if not off.any():
        return 0
    at = _coarsest(converted, exact.take(off), wanted[off], output, judge)
    values = exact.numbers[:, at]
    if len(np.unique(values.astype(np.float32))) < len(np.unique(values)):
        name = [column.name for column in exact.columns if not column.text][at]
        raise ExportRefused(
            f"{int(off.sum())} of {len(exact)} events of the sample get another score with float32 inputs, and "
            f"{name!r} is too fine for its 7 digits: subtract something near with `offset` (and `scale`) in the "
            "feature list, and train on what that gives"
        )
    return int(off.sum())


def _coarsest(converted: Converted, rows: Rows, wanted: npt.NDArray[Any], output: OutputSpec, judge: Judge) -> int:
    """The number column that moves the score most when it alone is cast."""
    cast = rows.as_float32().numbers
    moved = []
    for at in range(rows.numbers.shape[1]):
        numbers = rows.numbers.copy()
        numbers[:, at] = cast[:, at]
        answer = _original(converted, Rows(rows.columns, numbers, rows.text), output)
        moved.append(float(judge.difference(answer, wanted).sum()))
    return int(np.argmax(moved))

"""Rows that are most likely to part a graph from its original.

Rule: seeded. A made-up row is one of the sample with one number changed, or all of them missing, or each cell from
another event; every number is a float32, which is what the graph is fed. Where the original jumps (trees), rows stand
on each threshold and on the float32 before and after it; extremes are such as the answer depends on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.bundle.manifest import FeatureSpec, InputSpec, MissingValue
from stream_infer.export.convert.contract import Column, Rows
from stream_infer.export.graph import Split
from stream_infer.export.vectors import SEED, UNSEEN_CATEGORY
from stream_infer.types import Decoded, Float64Array, Status

MAX_MADE_UP_ROWS = 30_000
"""Thresholds beyond a third of it are drawn: enough for every one of a usual model, and seconds of work."""

_MIXED_ROWS = 4_000
"""Cells of different events beside each other: thousands of rows, however small the sample."""

_TREE_EXTREMES = (0.0, -1.0, 1e-30, 1e9, -1e9, 3e38, -3e38)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A number column and the feature that fills it."""

    at: int
    feature: FeatureSpec


def rows_of(decoded: Decoded, inputs: Sequence[InputSpec], columns: tuple[Column, ...]) -> Rows:
    """The events that were decoded, as the original takes them."""
    ok = decoded.status == Status.OK
    arrays = {spec.dtype == "string": decoded.inputs[spec.name][ok].reshape(int(ok.sum()), -1) for spec in inputs}
    empty = np.empty((int(ok.sum()), 0))
    return Rows(columns, arrays.get(False, empty).astype(np.float64), arrays.get(True, empty.astype(object)))


def made_up_rows(base: Rows, inputs: Sequence[InputSpec], splits: Sequence[Split], trees: bool) -> Rows:
    """At most `MAX_MADE_UP_ROWS` rows, and some thousand mixed ones.

    Args:
        base: the sample's rows, in float32.
        inputs: the feature lists.
        splits: thresholds of trees that read an input directly.
        trees: the model is one of trees, for which any finite number is a fair question.
    """
    rng = np.random.default_rng(SEED)
    cells = [cell for spec in inputs if spec.dtype != "string" for cell in _cells(spec)]
    categories = {split.cell for split in splits if split.is_category}
    changes = [*_on_splits(cells, splits, rng), *_per_cell(base, cells, categories, trees)][:MAX_MADE_UP_ROWS]
    origin = rng.integers(len(base), size=len(changes) + 1)
    made = base.take(origin)
    for row, (at, value) in enumerate(changes):
        made.numbers[row, at] = value
    for cell in cells:
        if (missing := _missing(cell.feature)) is not None:
            made.numbers[len(changes), cell.at] = missing
    return join(_mixed(base, rng), _with_unseen_text(made.as_float32()))


def join(first: Rows, second: Rows) -> Rows:
    """Both, one after the other."""
    return Rows(
        first.columns, np.concatenate([first.numbers, second.numbers]), np.concatenate([first.text, second.text])
    )


def _cells(spec: InputSpec) -> Iterator[_Cell]:
    at = 0
    for feature in spec.features:
        for _ in range(feature.length):
            yield _Cell(at, feature)
            at += 1


def _on_splits(
    cells: Sequence[_Cell], splits: Sequence[Split], rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    drawn = rng.permutation(len(splits))[: MAX_MADE_UP_ROWS // 3]
    for index in drawn.tolist():
        _, at, threshold, is_category = splits[index]
        number = np.float32(threshold)
        if is_category:
            # What a category is between two whole numbers, no library says.
            yield from ((at, value) for value in (threshold, threshold + 1, -1.0))
        elif cells[at].feature.categories is None:
            near = (np.nextafter(number, np.float32(-np.inf)), number, np.nextafter(number, np.float32(np.inf)))
            yield from ((at, float(value)) for value in near if np.isfinite(value))


def _per_cell(
    base: Rows, cells: Sequence[_Cell], categories: Collection[int], trees: bool
) -> Iterator[tuple[int, float]]:
    for cell in cells:
        if (missing := _missing(cell.feature)) is not None:
            yield cell.at, missing
        if cell.feature.categories is not None:
            codes = [*range(len(cell.feature.categories)), cell.feature.unseen]
            yield from ((cell.at, float(code)) for code in codes if code != "error")
        elif cell.at not in categories:
            extremes = _TREE_EXTREMES if trees else _beyond(base.numbers[:, cell.at])
            yield from ((cell.at, value) for value in extremes)


def _beyond(values: Float64Array) -> tuple[float, ...]:
    """Zero, both ends of the sample, and as far again on either side: further out float32 sums mean little."""
    present = values[np.isfinite(values)]
    low, high = (float(present.min()), float(present.max())) if len(present) else (-1.0, 1.0)
    return 0.0, low, high, low - (high - low), high + (high - low)


def _missing(feature: FeatureSpec) -> float | None:
    """What stands in the cell of a missing value; None where such an event is rejected."""
    if isinstance(feature.missing, MissingValue):
        return float(feature.missing.value)
    return float("nan") if feature.missing == "nan" else None


def _mixed(base: Rows, rng: np.random.Generator) -> Rows:
    numbers, text = (
        np.take_along_axis(cells, rng.integers(len(base), size=(_MIXED_ROWS, cells.shape[1])), axis=0)
        for cells in (base.numbers, base.text)
    )
    return Rows(base.columns, numbers, text)


def has_unseen_text(rows: Rows) -> npt.NDArray[Any]:
    """The rows with a text that was made up, bool ``[n]``."""
    return np.asarray((rows.text == UNSEEN_CATEGORY).any(axis=1), np.bool_)


def _with_unseen_text(rows: Rows) -> Rows:
    """Every tenth row with a text that the model has not seen, column by column."""
    text: npt.NDArray[Any] = rows.text.copy()
    for at in range(text.shape[1]):
        text[at :: 10 * text.shape[1], at] = UNSEEN_CATEGORY
    return Rows(rows.columns, rows.numbers, text)

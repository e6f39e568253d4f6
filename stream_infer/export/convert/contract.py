"""What a conversion takes and gives: columns in, a graph and the original out.

Rule: the graph takes one float32 matrix ``X`` of all numbers, and one string matrix ``text`` where the model reads text
itself; both in the order of the columns. The original answers rows of float64 as its own library does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stream_infer.bundle.manifest import ClassLabel
from stream_infer.types import BoolArray, Float64Array

NUMBERS, TEXT = "X", "text"
"""Names of the graph's inputs."""

OPSET, ML_OPSET, IR = 17, 3, 8
"""What a graph is written for: every ONNX Runtime from 1.15 on loads it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the model's training data. ``text`` where the model is fed strings."""

    name: str
    text: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows: ``numbers`` float64 ``[n, k]``, ``text`` object ``[n, m]``, each in the order of their ``columns``."""

    columns: tuple[Column, ...]
    numbers: Float64Array
    text: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: npt.NDArray[Any]) -> Rows:
        """Some of the rows, by number or mask."""
        return Rows(self.columns, self.numbers[rows], self.text[rows])

    def as_float32(self) -> Rows:
        """The rows as the graph sees them: every number cast to float32."""
        with np.errstate(over="ignore"):
            return Rows(self.columns, self.numbers.astype(np.float32).astype(np.float64), self.text)

    def complete(self) -> BoolArray:
        """Rows without a missing number, bool ``[n]``."""
        return np.asarray(~np.isnan(self.numbers).any(axis=1))


Original = Callable[[Rows], npt.NDArray[Any]]
"""The model in its own library: ``[n]`` or ``[n, k]``, the columns of the graph's output."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A model as ONNX, beside the original.

    ``source`` names library, version and class; ``output`` is the graph's output that ``original`` answers.
    ``classes`` are the labels of its columns, empty where the original has none that ONNX knows.
    ``trees``: the answer jumps where a cell passes a threshold, so that the graph can and must be exact there.
    """

    model: bytes
    original: Original
    source: str
    output: str
    classes: tuple[ClassLabel, ...] = ()
    trees: bool = False


def labels(model: Any) -> tuple[ClassLabel, ...]:
    """The labels of a classifier, where they are whole numbers or texts."""
    found = np.asarray(getattr(model, "classes_", ())).tolist()
    return tuple(int(label) if isinstance(label, bool) else label for label in found if isinstance(label, int | str))


class Convert(Protocol):
    """What a family's module offers."""

    def __call__(self, model: Any, columns: Sequence[Column]) -> Converted:
        """The model as a graph.

        Raises:
            ExportRefused: it cannot be written as one; the message names the part and the place.
        """
        ...

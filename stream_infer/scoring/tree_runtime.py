"""A model whose trees are evaluated by a kernel, and the rest of its graph by ONNX Runtime.

Rule: nothing here decides whether that is right: `stream_infer.scoring.tree_proof` makes a `TreeRuntime`, and compares
it with ONNX Runtime before anybody else sees it. The kernels serve every batch size, and answer the same to the last
bit. A row's score never depends on the rows beside it, so nothing is padded; and what ONNX Runtime would gain on one or
two rows is a few microseconds of a call that has nothing else to do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.bundle.manifest import InputSpec
from stream_infer.errors import ModelFailure, ScoreTimeout
from stream_infer.kernels import trees
from stream_infer.scoring.onnx_runtime import OnnxRuntime
from stream_infer.scoring.tree_tables import TreeTables
from stream_infer.scoring.wide_tables import WideTables
from stream_infer.types import Float32Array

STEPS_PER_CALL = 1 << 26
"""Steps from node to node in one call of the kernel, which nothing can stop: some hundredths of a second."""

WIDE_FROM_ROWS = 33
"""So many rows in lock-step, in three parts, take longer than 64 rows of which every node is asked."""


class _Call:
    """A call under way; somebody else may mark it as stopped."""

    stopped = False


class TreeRuntime:
    """`stream_infer.ports.Runtime` on the tree kernel.

    Args:
        tables: the trees.
        source: what the trees read: an input of the model, or what ``before`` answers, ``[n, F]``.
        scores: the name under which ``after`` reads what the trees answer.
        wide: the same trees for many rows at a time; None where that does not pay.
        before: from the model's inputs to ``source``; None where that is an input itself.
        after: from the trees' scores to the model's output; None where that is the same.
        remark: why this runtime serves the model, in a sentence for the log.
    """

    engine = "tree kernel"

    def __init__(
        self,
        tables: TreeTables,
        source: InputSpec,
        scores: str,
        *,
        wide: WideTables | None = None,
        before: OnnxRuntime | None = None,
        after: OnnxRuntime | None = None,
        remark: str = "",
    ) -> None:
        self.remark = remark
        self._tables = tables
        self._wide = wide
        self._source = source
        self._scores = scores
        self._before = before
        self._after = after
        steps_of_a_row = int(tables.depths.sum()) + len(tables.roots)
        self._rows_per_call = max(STEPS_PER_CALL // steps_of_a_row, trees.LANES)
        self._running: set[_Call] = set()
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Score n rows, bit for bit as ONNX Runtime would with one thread.

        Args:
            inputs: an array ``[n, cells]`` for each input of the model.

        Raises:
            ModelFailure: the cells are not float32, or ONNX Runtime failed on these rows before or after the trees.
            ScoreTimeout: the call was ended by `stop`.
        """
        with self._stoppable() as call:
            scores: npt.NDArray[Any] = self._walk(self._cells(inputs), call)
            return self._after.run({self._scores: scores}) if self._after else scores

    def stop(self) -> None:
        """End the running calls; a walk through the trees at its next part, within some hundredths of a second."""
        with self._lock:
            for call in self._running:
                call.stopped = True
        for part in (self._before, self._after):
            if part:
                part.stop()

    def close(self) -> None:
        """Free what ONNX Runtime holds. Calls must have ended."""
        for part in (self._before, self._after):
            if part:
                part.close()

    def _cells(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int32]:
        """The bits of what the trees read, ``[n, F]``."""
        tensor = self._before.run(inputs) if self._before else inputs[self._source.name]
        if tensor.dtype != np.float32:
            raise ModelFailure(f"the model's trees read float32, not {tensor.dtype}")
        # An array that is read-only or not aligned would be another type, for which the kernel is compiled anew.
        return np.require(tensor.reshape(self._source.shape), requirements=("C", "A", "W")).view(np.int32)

    def _walk(self, cells: npt.NDArray[np.int32], call: _Call) -> Float32Array:
        scores = np.empty((len(cells), self._tables.score_columns), np.float32)
        for start in range(0, len(cells), self._rows_per_call):
            if call.stopped:
                raise ScoreTimeout("a model call was stopped between two parts of its batch")
            part = slice(start, start + self._rows_per_call)
            self._score(cells[part], scores[part])
        return scores

    def _score(self, cells: npt.NDArray[np.int32], scores: Float32Array) -> None:
        at = 0
        if self._wide is not None and (at := _wide_rows(len(cells))):
            trees.score_wide(cells[:at], *self._wide, *self._wide.scratch(cells.shape[1]), scores[:at])
        if at < len(cells):
            trees.score(cells[at:], *self._tables, *self._tables.scratch(cells.shape[1]), scores[at:])

    @contextmanager
    def _stoppable(self) -> Iterator[_Call]:
        call = _Call()
        with self._lock:
            self._running.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._running.discard(call)


def _wide_rows(rows: int) -> int:
    """How many of the rows, from the first, are better asked together."""
    rest = rows % trees.WIDE_LANES
    return rows if rest >= WIDE_FROM_ROWS else rows - rest


__all__ = ["TreeRuntime"]

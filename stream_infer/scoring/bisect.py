"""Finding the events that make a model fail, without costing their neighbours a score.

Rule: a call that fails is repeated on its two halves until a failing run has one row. n rows that all fail cost 2n - 1
calls, one culprit among n costs about 2 log2(n) more; nothing is ever tried twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from stream_infer.errors import ModelFailure
from stream_infer.ports import Runtime


class Part(NamedTuple):
    """Rows ``start`` to ``stop`` and the model's output for them."""

    start: int
    stop: int
    output: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Isolated:
    """``parts`` cover every row but the culprits, in order; ``culprits`` maps a row to why the model failed on it."""

    parts: tuple[Part, ...]
    culprits: Mapping[int, str]
    calls: int


def run_isolating(runtime: Runtime, inputs: Mapping[str, npt.NDArray[Any]], rows: int) -> Isolated:
    """Run a model on ``rows`` rows; one call when it does not fail.

    Raises:
        ScoreTimeout: a call was stopped; what was scored so far is dropped.
    """
    parts: list[Part] = []
    culprits: dict[int, str] = {}
    calls = 0
    pending = [(0, rows)] if rows else []
    while pending:
        start, stop = pending.pop()
        calls += 1
        try:
            parts.append(Part(start, stop, runtime.run(_rows(inputs, start, stop, rows))))
        except ModelFailure as failure:
            if stop - start == 1:
                culprits[start] = str(failure)
                continue
            middle = (start + stop) // 2
            pending += [(middle, stop), (start, middle)]
    return Isolated(tuple(parts), culprits, calls)


def _rows(inputs: Mapping[str, npt.NDArray[Any]], start: int, stop: int, rows: int) -> Mapping[str, npt.NDArray[Any]]:
    if stop - start == rows:
        return inputs
    return {name: array[start:stop] for name, array in inputs.items()}

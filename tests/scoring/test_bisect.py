"""Culprits are found, neighbours are scored, calls are bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.errors import ModelFailure, ScoreTimeout
from stream_infer.scoring.bisect import run_isolating


class PickyRuntime:
    """Answers a row with itself; fails as a whole where a row is among the bad ones."""

    def __init__(self, bad: set[int], stop_at_call: int = 0) -> None:
        self.bad = bad
        self.calls = 0
        self._stop_at_call = stop_at_call

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        self.calls += 1
        if self.calls == self._stop_at_call:
            raise ScoreTimeout("stopped")
        if self.bad & set(inputs["X"][:, 0].tolist()):
            raise ModelFailure("refused")
        return inputs["X"]

    def stop(self) -> None: ...

    def close(self) -> None: ...


def cells(count: int) -> dict[str, npt.NDArray[Any]]:
    return {"X": np.arange(count).reshape(count, 1)}


@given(st.integers(0, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, max(0, n - 1))))))
def test_exactly_the_culprits_are_left_out(case: tuple[int, set[int]]) -> None:
    count, bad = case[0], {row for row in case[1] if row < case[0]}
    runtime = PickyRuntime(bad)
    isolated = run_isolating(runtime, cells(count), count)
    assert set(isolated.culprits) == bad
    scored = [row for start, stop, output in isolated.parts for row in output[:, 0].tolist() if start <= row < stop]
    assert scored == [row for row in range(count) if row not in bad]
    assert isolated.calls == runtime.calls <= max(1, 2 * count - 1)
    assert not bad or isolated.calls <= 1 + 2 * len(bad) * max(1, (count - 1).bit_length())


def test_one_poison_event_in_256_costs_at_most_17_more_calls_wherever_it_stands() -> None:
    for poison in range(256):
        runtime = PickyRuntime({poison})
        isolated = run_isolating(runtime, cells(256), 256)
        assert set(isolated.culprits) == {poison}
        assert sum(part.stop - part.start for part in isolated.parts) == 255
        assert runtime.calls - 1 <= 1 + 2 * 8, "log2(256) = 8"


def test_nothing_to_run_is_no_call() -> None:
    assert run_isolating(PickyRuntime(set()), cells(0), 0).calls == 0


def test_a_stopped_call_ends_the_search() -> None:
    with pytest.raises(ScoreTimeout):
        run_isolating(PickyRuntime({3}, stop_at_call=3), cells(8), 8)

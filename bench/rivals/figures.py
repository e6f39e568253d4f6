"""From samples of a run to figures, and from runs to ratios.

Rule: only ratios within one repetition are compared, since what the machine does meanwhile meets all its subjects;
what is reported is the median of those ratios. The steady state begins when `WARM_SHARE` of the outputs are visible.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WARM_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a run: seconds on the clock, CPU seconds of its processes so far, outputs visible so far."""

    at_s: float
    cpu_s: float
    outputs: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A run in its steady state."""

    cpu_us_per_event: float
    events_per_s: float


def steady_figures(samples: Sequence[Sample], events: int) -> Figures:
    """Figures between the first samples that show `WARM_SHARE` and all of ``events`` outputs.

    Raises:
        ValueError: the samples do not show all outputs, or show them all at once, so that nothing was measured.
    """
    warm = next((sample for sample in samples if sample.outputs >= WARM_SHARE * events), None)
    last = next((sample for sample in samples if sample.outputs >= events), None)
    if warm is None or last is None:
        raise ValueError(f"{max((sample.outputs for sample in samples), default=0)} of {events} outputs were seen")
    passed = last.outputs - warm.outputs
    if passed <= 0:
        raise ValueError(f"all {events} outputs came between two samples: take more events")
    cpu_s, wall_s = last.cpu_s - warm.cpu_s, last.at_s - warm.at_s
    return Figures(cpu_us_per_event=1e6 * cpu_s / passed, events_per_s=passed / wall_s)


def median_ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float:
    """The median of ``ours / theirs`` over the repetitions that both have.

    Args:
        ours: figures by number of the repetition.
        theirs: likewise.

    Raises:
        ValueError: there is no such repetition.
    """
    ratios = [ours[repetition] / theirs[repetition] for repetition in sorted(ours.keys() & theirs.keys())]
    if not ratios:
        raise ValueError("the two subjects have no repetition in common")
    return statistics.median(ratios)

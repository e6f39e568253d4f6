"""What a batch costs, learned while batches pass: ``seconds = fixed + per_event * events``.

Rule: no single timing decides anything. A timing is kept with those of batches of about the same size (by powers of
two), and each size speaks through its last timings: the median of their ratios to what was expected. So a garbage
collection, a first slow call or a machine that stood still moves nothing, and sizes that are rare now still say what
they cost when they were common.

The line through these points has the least squared *relative* error, since a disturbance is a share of what it
disturbs. A size counts for half as much after every `HALF_LIFE` batches without it: a change of the model or the
machine is followed within some ten batches of each size in use. As long as all batches are of one size nobody can tell
fixed from per event; then both are taken to be equal, a small fixed cost: what is not known to pay is not waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

KEPT = 15
"""Timings kept of each size. The median of 15 stays put with 7 of them wrong, and follows a change after 8."""
ENOUGH = 5
"""Timings of a size that must be there before it counts: three of five would have to be wrong to mislead."""
HALF_LIFE = 256
"""Batches after which a size that did not occur counts for half."""
FIT_EVERY = 8
"""Batches from one fit to the next, which costs some microseconds: as much as a few events."""
SHORTEST_S, LONGEST_S = 1e-9, 86_400.0
"""Timings beyond these, in seconds, are mistakes: no clock is finer, and nothing is waited for that long."""
_PRIOR = 1e-3
"""Weight of the belief that fixed and per-event cost are equal: nothing beside two sizes, everything beside one."""


@dataclass(frozen=True, slots=True)
class BatchCost:
    """What scoring and publishing a batch takes: ``fixed_s + per_event_s * events`` seconds, neither below 0."""

    fixed_s: float
    per_event_s: float

    def seconds(self, count: float) -> float:
        """Seconds for a batch of ``count`` events."""
        return self.fixed_s + self.per_event_s * count


_EVEN = BatchCost(1.0, 1.0)
"""Expected before anything is known. Only its slope matters."""


@dataclass(frozen=True, slots=True)
class _Point:
    """What one size says: a usual number of events, the seconds they take, and how much it counts."""

    count: float
    seconds: float
    weight: float


@dataclass(slots=True)
class _SizeClass:
    counts: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    seen_at: int = 0

    def add(self, count: int, seconds: float, at: int) -> None:
        self.counts.append(count)
        self.seconds.append(seconds)
        self.seen_at = at

    def point(self, now: int, expected: BatchCost) -> _Point:
        # Counts of one class differ by up to 2, and so may their timings: not the medians of both belong together.
        # Ratios to a line of about the right slope are alike, however far off its height is.
        pairs = zip(self.counts, self.seconds, strict=True)
        ratio = _median(seconds / expected.seconds(count) for count, seconds in pairs)
        count = _median(self.counts)
        return _Point(count, ratio * expected.seconds(count), 0.5 ** ((now - self.seen_at) / HALF_LIFE))


class CostModel:
    """Learns `BatchCost` from timings.

    ``cost`` is None until some size has `ENOUGH` timings.
    """

    def __init__(self) -> None:
        self._classes: dict[int, _SizeClass] = {}
        self._batches = 0
        self.cost: BatchCost | None = None

    def learn(self, count: int, seconds: float) -> None:
        """A batch of ``count`` events took ``seconds``.

        What cannot be (0, negative, NaN, infinite) is passed over, as are empty batches.
        """
        if count < 1 or not SHORTEST_S <= seconds <= LONGEST_S:
            return
        self._batches += 1
        self._classes.setdefault(count.bit_length(), _SizeClass()).add(count, seconds, self._batches)
        if self._batches % FIT_EVERY == 0:
            self._fit()

    def _fit(self) -> None:
        known = [each for each in self._classes.values() if len(each.counts) >= ENOUGH]
        if known:
            expected = self.cost or _EVEN
            self.cost = fit(each.point(self._batches, expected) for each in known)


def fit(points: Iterable[_Point]) -> BatchCost:
    """The line of least weighted relative error with neither part below 0; see the module for the lone point."""
    # Each point asks for fixed * x + per_event * y = 1, with x = 1 / seconds and y = count / seconds.
    xx = xy = yy = x1 = y1 = 0.0
    for point in points:
        x, y = 1.0 / point.seconds, point.count / point.seconds
        xx += point.weight * x * x
        xy += point.weight * x * y
        yy += point.weight * y * y
        x1 += point.weight * x
        y1 += point.weight * y
    prior = _PRIOR * xx
    return _solve(xx + prior, xy - prior, yy + prior, x1, y1)


def _solve(xx: float, xy: float, yy: float, x1: float, y1: float) -> BatchCost:
    determinant = xx * yy - xy * xy
    fixed_s = (x1 * yy - y1 * xy) / determinant
    per_event_s = (y1 * xx - x1 * xy) / determinant
    if fixed_s < 0.0:
        return BatchCost(0.0, y1 / yy)
    if per_event_s < 0.0:
        return BatchCost(x1 / xx, 0.0)
    return BatchCost(fixed_s, per_event_s)


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]

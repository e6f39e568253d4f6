"""What must hold, judged by the last short run of each workload (`make bench-gates`).

    python -m bench.rivals.gates

Rule: a ratio is stream_infer's CPU over another's in one repetition; the median over repetitions is judged. A gate
whose subject did not run is told and counts as failed: nothing passes by being left out.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.rivals.__main__ import GATES_RESULTS
from bench.rivals.figures import median_ratio
from bench.rivals.page import Line, last_runs, measured
from bench.rivals.subjects import SUBJECTS

OURS = "stream_infer"


class Gate(NamedTuple):
    """At most ``limit`` of the CPU of ``other``."""

    other: str
    limit: float

    def measure(self, lines: Sequence[Line]) -> float | None:
        """The ratio in a run; None where the two have no repetition in common."""
        ours, theirs = _cpu(lines, OURS), _cpu(lines, self.other)
        return median_ratio(ours, theirs) if ours.keys() & theirs.keys() else None

    def holds(self, ratio: float | None) -> bool:
        """Whether that will do."""
        return ratio is not None and ratio <= self.limit

    def sentence(self, ratio: float | None) -> str:
        """What came of it."""
        what = f"{SUBJECTS[OURS].title} / {SUBJECTS[self.other].title}"
        if ratio is None:
            return f"not run {what}"
        return f"{_verdict(self.holds(ratio))}  {ratio:.3f} (at most {self.limit:.3f})  {what}"


class RateGate(NamedTuple):
    """At least so many events for a second of one core's time."""

    least_events: float

    def measure(self, lines: Sequence[Line]) -> float | None:
        """The median of a run; None where it did not run."""
        rates = [1e6 / cpu_us for cpu_us in _cpu(lines, OURS).values()]
        return statistics.median(rates) if rates else None

    def holds(self, rate: float | None) -> bool:
        """Whether that will do."""
        return rate is not None and rate >= self.least_events

    def sentence(self, rate: float | None) -> str:
        """What came of it."""
        what = f"{SUBJECTS[OURS].title}, events for a second of a core"
        if rate is None:
            return f"not run {what}"
        return f"{_verdict(self.holds(rate))}  {rate:,.0f} (at least {self.least_events:,.0f})  {what}"


FRAMEWORKS = ("quix", "bytewax", "faust", "faststream")
_CRAYFISH_STREAMS_EVENTS_PER_S = 1_911
"""What a thread of Kafka Streams does of these events by the Crayfish study (EDBT 2024)."""
_EVERYBODY = (
    Gate("plain_python", 1 / 6),
    Gate("streams", 1 / 6),
    Gate("streams_batch", 1 / 3),
    Gate("java_plain", 1 / 2),
    Gate("floor_confluent", 1.0),
    *(Gate(name, 1 / 5) for name in FRAMEWORKS),
)
GATES: Mapping[str, Sequence[Gate | RateGate]] = {
    "payment": _EVERYBODY,
    "floats": _EVERYBODY,
    "payment_500": (Gate("plain_python", 1 / 3), Gate("java_plain", 1.0), Gate("streams_batch", 1.0)),
    "crayfish": (Gate("streams", 1 / 5), RateGate(10 * _CRAYFISH_STREAMS_EVENTS_PER_S)),
}


def _cpu(lines: Sequence[Line], subject: str) -> Mapping[int, float]:
    return {line["repetition"]: line["cpu_us_per_event"] for line in measured(lines) if line["subject"] == subject}


def _verdict(held: bool) -> str:
    return "holds" if held else "FAILED"


def judged(runs: Mapping[str, Sequence[Line]]) -> tuple[bool, list[str]]:
    """Whether all gates hold, and what to tell of each.

    Args:
        runs: lines by workload; those of a workload that did not run are missing.
    """
    held, told = True, []
    for workload, gates in GATES.items():
        told.append(workload)
        for gate in gates:
            value = gate.measure(runs.get(workload, ()))
            held &= gate.holds(value)
            told.append(f"  {gate.sentence(value)}")
    return held, told


def main() -> int:
    """Judge; 0 if all gates hold."""
    if not GATES_RESULTS.exists():
        print("there are no results yet: run make bench-gates", file=sys.stderr)
        return 1
    held, told = judged(last_runs(json.loads(line) for line in GATES_RESULTS.read_text().splitlines()))
    print("\n".join(told))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

"""The ratios that must hold, judged by the last run of each workload.

    python -m bench.rivals.gates

Rule: a ratio is stream_infer's CPU over another's in one repetition; the median over repetitions is judged. A gate
whose subject did not run is told and counts as failed: nothing passes by being left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.rivals.__main__ import RESULTS
from bench.rivals.figures import median_ratio
from bench.rivals.page import Line, last_runs, measured
from bench.rivals.subjects import SUBJECTS


class Gate(NamedTuple):
    """At most ``limit`` of the CPU of ``other``."""

    other: str
    limit: float
    subject: str = "stream_infer"


FRAMEWORKS = ("quix", "bytewax", "faust", "faststream")
GATES = (
    Gate("plain_python", 1 / 6),
    Gate("streams", 1 / 6),
    Gate("streams_batch", 1 / 3),
    Gate("java_plain", 1 / 2),
    Gate("java_plain", 0.75, "stream_infer_confluent"),
    *(Gate(name, 1 / 5) for name in FRAMEWORKS),
)


def judge(lines: Sequence[Line], gate: Gate) -> float | None:
    """The ratio of a gate in a run; None where the two have no repetition in common."""
    ours, theirs = _cpu(lines, gate.subject), _cpu(lines, gate.other)
    return median_ratio(ours, theirs) if ours.keys() & theirs.keys() else None


def _cpu(lines: Sequence[Line], subject: str) -> Mapping[int, float]:
    return {line["repetition"]: line["cpu_us_per_event"] for line in measured(lines) if line["subject"] == subject}


def sentence(gate: Gate, ratio: float | None) -> str:
    """What came of a gate."""
    what = f"{SUBJECTS[gate.subject].title} / {SUBJECTS[gate.other].title}"
    if ratio is None:
        return f"not run {what}"
    return f"{'holds' if ratio <= gate.limit else 'FAILED'}  {ratio:.3f} (at most {gate.limit:.3f})  {what}"


def main() -> int:
    """Judge; 0 if all gates hold."""
    if not RESULTS.exists():
        print("there are no results yet: run python -m bench.rivals", file=sys.stderr)
        return 1
    held = True
    for workload, lines in last_runs(json.loads(line) for line in RESULTS.read_text().splitlines()).items():
        print(workload)
        for gate in GATES:
            ratio = judge(lines, gate)
            held &= ratio is not None and ratio <= gate.limit
            print(f"  {sentence(gate, ratio)}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

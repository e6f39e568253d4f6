"""Writes ``docs/benchmarks.md`` and its charts from the results that the runner kept.

    python -m bench.rivals.page

Rule: of each workload the last run is told, with what it ran on; nothing on the page is typed by hand but its words.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.rivals.__main__ import RESULTS
from bench.rivals.chart import bars
from bench.rivals.figures import Figures
from bench.rivals.report import table
from bench.rivals.subjects import SUBJECTS
from bench.rivals.workloads import WORKLOADS

DOCS = Path(__file__).resolve().parents[2] / "docs"
_INTRODUCTION = """\
# Benchmarks

What scoring an event costs, on the same broker, topic, model and machine, for stream_infer and for what else a user
could pick. `make bench` runs the comparison; `python -m bench.rivals.page` writes this page from its results.

- A figure is CPU time of all processes of a subject, user and system, from 20 % of its outputs to the last, by event.
- The input has four partitions and is there before a subject starts. All read at least once and commit every second.
- Every output is checked: each event is answered once, with the score that ONNX Runtime gives (within 1e-6).
- Rivals write an event of three fields (id, score, flagged; in JSON the first two). stream_infer writes all its
  fields, so more bytes.
- stream_infer runs with `batching.max_batch_size = 8192` and its defaults. Rivals that form batches take the size that
  the run was given, 1024 by default. Java runs with ONNX Runtime 1.29 and the parallel collector: batches of 256, the
  serial and the G1 collector did worse.
- Passing bytes through is the floor only where a scored event is about as large as the event. Those of `crayfish` are
  much smaller: there it costs more to write the event than to score it.
- confluent-kafka's classes cost an object for each event: passing bytes through with them takes more than scoring the
  events takes without.
- The fewer events, the more of its run Java spends on compiling.
- Three kinds of events are compared with everybody. Where only the model or the encoding differs, plain loops, floors
  and the best Java are enough.
- Subjects take turns; ratios are taken within a repetition, and their median is told. Below 1 stream_infer is cheaper.
- Sources: `bench/rivals`. Python frameworks are written as their documentation advises, in environments of their own.
"""

Line = Mapping[str, Any]


def last_runs(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The lines of each workload's last run."""
    runs: dict[str, list[Line]] = {}
    for line in lines:
        kept = runs.setdefault(line["workload"], [])
        if kept and kept[0]["run"] != line["run"]:
            kept.clear()
        kept.append(line)
    return runs


def measured(lines: Iterable[Line]) -> list[Line]:
    """Those that hold figures; the others say why there are none."""
    return [line for line in lines if "failed" not in line]


def section(workload: str, lines: Sequence[Line]) -> str:
    """A heading, the table, the chart, and what it ran on."""
    found: dict[str, dict[int, Figures]] = {}
    for line in measured(lines):
        runs = found.setdefault(line["subject"], {})
        runs[line["repetition"]] = Figures(line["cpu_us_per_event"], line["events_per_s"])
    machine = "; ".join(f"{name} {value}" for name, value in lines[-1]["machine"].items())
    repetitions = 1 + max(line["repetition"] for line in lines)
    reasons = {line["subject"]: line["failed"] for line in lines if "failed" in line}
    absent = [
        f"- not run: {SUBJECTS[name].title}: {reasons.get(name, 'it was not asked for')}"
        for name in SUBJECTS
        if name not in found and WORKLOADS[workload].compares(name)
    ]
    return "\n".join(
        [
            f"## {workload}\n",
            f"{WORKLOADS[workload].about}.\n",
            f"{lines[-1]['events']:,} events, repetitions: {repetitions}, {lines[-1]['at'][:10]}.\n",
            f"![CPU an event]({chart_name(workload)})\n",
            table(found),
            *(["", *absent] if absent else []),
            f"\n{machine}.\n",
        ]
    )


def medians(lines: Sequence[Line]) -> dict[str, float]:
    """CPU microseconds an event by title."""
    cpu: dict[str, list[float]] = {}
    for line in measured(lines):
        cpu.setdefault(SUBJECTS[line["subject"]].title, []).append(line["cpu_us_per_event"])
    return {title: statistics.median(figures) for title, figures in cpu.items()}


def chart_name(workload: str) -> str:
    """The chart's path, seen from the page."""
    return f"benchmarks-{workload}.svg"


def main() -> int:
    """Write the page; 1 if there are no results."""
    if not RESULTS.exists():
        print("there are no results yet: run python -m bench.rivals", file=sys.stderr)
        return 1
    runs = last_runs(json.loads(line) for line in RESULTS.read_text().splitlines())
    for workload, lines in runs.items():
        chart = bars(f"{workload}: µs of CPU an event", medians(lines))
        (DOCS / chart_name(workload)).write_text(chart)
    sections = [section(workload, lines) for workload, lines in runs.items()]
    (DOCS / "benchmarks.md").write_text("\n".join([_INTRODUCTION, *sections]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Tables of a comparison.

Rule: a ratio is of one repetition, and what is told is the median over them (`bench.rivals.figures`).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from bench.rivals.figures import Figures, median_ratio
from bench.rivals.subjects import SUBJECTS

OURS = "stream_infer"


def table(found: Mapping[str, Mapping[int, Figures]]) -> str:
    """A Markdown table: CPU per event and events a second of each subject, and how many times our CPU it takes.

    Args:
        found: figures by subject and repetition; subjects without any are told as such.
    """
    lines = [
        "| | CPU, µs an event | lowest to highest | events/s | CPU of stream_infer / its CPU |",
        "| --- | --: | --: | --: | --: |",
    ]
    return "\n".join([*lines, *(_line(name, runs, found.get(OURS, {})) for name, runs in found.items())])


def _line(name: str, runs: Mapping[int, Figures], ours: Mapping[int, Figures]) -> str:
    title = SUBJECTS[name].title
    if not runs:
        return f"| {title} | failed | | | |"
    cpu = {repetition: figures.cpu_us_per_event for repetition, figures in runs.items()}
    rate = statistics.median(figures.events_per_s for figures in runs.values())
    ratio = f"{median_ratio({r: f.cpu_us_per_event for r, f in ours.items()}, cpu):.2f}" if ours else ""
    middle = statistics.median(cpu.values())
    return f"| {title} | {middle:.2f} | {min(cpu.values()):.2f} to {max(cpu.values()):.2f} | {rate:,.0f} | {ratio} |"

"""Print the metrics table of ``docs/operations.md`` from the catalogue.

Rule: the page is prose by people with one generated table between two markers.
``python -m stream_infer.observe.describe --write`` brings the table up to date, ``--check`` fails where it is not.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stream_infer.observe.catalogue import METRICS, MetricSpec

BEGIN = "<!-- metrics: begin (python -m stream_infer.observe.describe --write) -->"
END = "<!-- metrics: end -->"
PAGE = Path("docs/operations.md")


def metrics_table() -> str:
    """The table in Markdown, one row per metric."""
    rows = ["| metric | type | labels | meaning | what to do |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*rows, *map(_row, METRICS)])


def _row(spec: MetricSpec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    return f"| `{spec.name}` | {spec.kind} | {labels} | {spec.help} | {spec.action} |"


def with_table(page: str) -> str:
    """``page`` with the table between the markers brought up to date."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{metrics_table()}\n{END}{after}"


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Write or check ``page``; the exit code."""
    if arguments not in (["--write"], ["--check"]):
        sys.stderr.write("usage: python -m stream_infer.observe.describe --write | --check\n")
        return 2
    found = page.read_text(encoding="utf-8")
    wanted = with_table(found)
    if arguments == ["--write"]:
        page.write_text(wanted, encoding="utf-8")
    elif found != wanted:
        sys.stderr.write(f"{page} is out of date; run: python -m stream_infer.observe.describe --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Screens: the same figures as a table, as text lines and as JSON lines."""

from __future__ import annotations

import io
import json

from rich.console import Console

from stream_infer.demo.figures import Flag
from stream_infer.demo.screen import LineScreen, TableScreen, View

VIEW = View(
    seconds=2.0,
    produced=5,
    settled=3,
    flagged=1,
    events=10,
    rate=1500.0,
    batch_size=3.0,
    lag_events=2,
    lag_seconds=0.03,
    score_bins=(0, 1, 1, 0, 0, 0, 0, 0, 0, 1),
    latest_flags=(Flag(number=1, card="card-00000042", category="travel", amount=1234.5, score=0.97),),
)


def test_a_line_holds_rate_batch_size_lag_and_flags() -> None:
    out = io.StringIO()
    with LineScreen(out, "text") as screen:
        screen.show(VIEW)
    assert out.getvalue() == ("  2.0 s          3 settled     1,500/s  batch   3.0  lag 2 events 0.030 s  flagged 1\n")


def test_json_lines_are_objects() -> None:
    out = io.StringIO()
    with LineScreen(out, "json") as screen:
        screen.show(VIEW)
    line = json.loads(out.getvalue())
    assert (line["type"], line["settled"], line["lag_events"], sum(line["score_bins"])) == ("progress", 3, 2, 3)


def test_the_table_shows_the_latest_flag_and_the_histogram() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    with TableScreen(console, "payments") as screen:
        screen.show(VIEW)
    text = out.getvalue()
    for expected in ("3 / 10", "1,500/s", "card-00000042", "travel", "1,234.50", "0.970", "█"):
        assert expected in text

"""What the demo shows while it runs: a live table on a terminal, a line a second anywhere else.

Rule: a screen is told the figures of a moment and draws them; it measures nothing. Colour and movement are for
terminals only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Literal, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_infer.demo.figures import SCORE_BINS, Flag

TABLE_INTERVAL_SECONDS = 0.25
LINE_INTERVAL_SECONDS = 1.0
_BAR_WIDTH = 50


@dataclass(frozen=True, slots=True)
class View:
    """The figures of one moment. Rates and batch size are of the time since the last view.

    ``score_bins`` counts scores in equal bins from 0 to 1; ``lag_events`` were produced and are not settled.
    """

    seconds: float
    produced: int
    settled: int
    flagged: int
    events: int
    rate: float
    batch_size: float
    lag_events: int
    lag_seconds: float
    score_bins: Sequence[int]
    latest_flags: Sequence[Flag]


class Screen(Protocol):
    """Something that shows views, as a context manager."""

    interval_seconds: float

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, view: View) -> None:
        """Show the figures of this moment."""
        ...


class LineScreen:
    """One line a view: text, or a JSON object."""

    interval_seconds = LINE_INTERVAL_SECONDS

    def __init__(self, out: IO[str], line_format: Literal["text", "json"]) -> None:
        self._out = out
        self._format = line_format

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to clear away."""

    def show(self, view: View) -> None:
        """Print one line."""
        print(_json_line(view) if self._format == "json" else _text_line(view), file=self._out, flush=True)


class TableScreen:
    """A table that is drawn over itself."""

    interval_seconds = TABLE_INTERVAL_SECONDS

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        # Drawn when there is something new and by the thread that has it: rich's own thread would only compete.
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last table standing."""
        self._live.stop()

    def show(self, view: View) -> None:
        """Draw the table anew."""
        title = Text(self._title, style="bold")
        group = Group(title, _figures_table(view), _histogram(view), _flags_table(view))
        self._live.update(group, refresh=True)


def _text_line(view: View) -> str:
    return (
        f"{view.seconds:5.1f} s  {view.settled:>9,} settled  {view.rate:>8,.0f}/s  batch {view.batch_size:5.1f}  "
        f"lag {view.lag_events:,} events {view.lag_seconds:.3f} s  flagged {view.flagged:,}"
    )


def _json_line(view: View) -> str:
    return json.dumps(
        {
            "type": "progress",
            "seconds": round(view.seconds, 3),
            "produced": view.produced,
            "settled": view.settled,
            "flagged": view.flagged,
            "events_per_second": round(view.rate, 1),
            "batch_size": round(view.batch_size, 1),
            "lag_events": view.lag_events,
            "lag_seconds": round(view.lag_seconds, 4),
            "score_bins": list(view.score_bins),
        }
    )


def _figures_table(view: View) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    names = ("settled", "rate", "batch size", "lag (events)", "lag (s)", "flagged")
    for name in names:
        table.add_column(name, justify="right", min_width=10)
    table.add_row(
        f"{view.settled:,} / {view.events:,}",
        f"{view.rate:,.0f}/s",
        f"{view.batch_size:.1f}",
        f"{view.lag_events:,}",
        f"{view.lag_seconds:.3f}",
        f"{view.flagged:,}",
    )
    return table


def _histogram(view: View) -> Table:
    # Nearly all payments are honest: on a linear scale only the first bar would be seen.
    table = Table(box=None, pad_edge=False, title="scores (bars: logarithmic)", title_justify="left", title_style="dim")
    table.add_column("score", justify="right", style="dim")
    table.add_column("", min_width=_BAR_WIDTH, no_wrap=True)
    table.add_column("events", justify="right")
    longest = math.log1p(max(1, *view.score_bins))
    for row, count in enumerate(view.score_bins):
        bar = "█" * round(_BAR_WIDTH * math.log1p(count) / longest)
        table.add_row(f"{row / SCORE_BINS:.1f}", Text(bar, "cyan"), f"{count:,}")
    return table


def _flags_table(view: View) -> Table:
    table = Table(box=None, pad_edge=False, title="latest flags", title_justify="left", title_style="dim")
    for name in ("payment", "card", "category"):
        table.add_column(name)
    for name in ("amount", "score"):
        table.add_column(name, justify="right")
    for flag in reversed(view.latest_flags):
        score = Text(f"{flag.score:.3f}", "red")
        table.add_row(str(flag.number), flag.card, flag.category, f"{flag.amount:,.2f}", score)
    return table

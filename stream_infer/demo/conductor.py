"""Conducts a demo: an `Instrument` that shows the figures at each turn of the line and knows when it is over.

Rule: it acts on the pipeline's own thread, when that tells it of a turn. There is no other timer.
"""

from __future__ import annotations

from stream_infer.demo.feed import Feed
from stream_infer.demo.figures import Figures, Totals
from stream_infer.demo.screen import Screen, View
from stream_infer.ports import Instrument

STALL_SECONDS = 10.0
"""With everything produced and nothing settled for this long, what is missing will not come any more."""


class Conductor(Instrument):
    """Shows a running demo on a screen.

    Args:
        feed: who produces.
        figures: who counts; must be told of every fact as well.
        screen: where to show.
        events: payments in all.
    """

    def __init__(self, feed: Feed, figures: Figures, screen: Screen, events: int) -> None:
        self._feed = feed
        self._figures = figures
        self._screen = screen
        self._events = events
        self._shown_at = float("-inf")
        self._shown = Totals()
        self._settled = 0
        self._progress_at = float("inf")
        self._now = 0.0
        self._reader_gone = False

    @property
    def complete(self) -> bool:
        """True once every payment is settled."""
        return self._figures.settled >= self._events

    @property
    def stalled(self) -> bool:
        """True when nothing more is produced and nothing was settled for `STALL_SECONDS`."""
        return self._feed.finished and self._now - self._progress_at >= STALL_SECONDS

    def stopping(self) -> bool:
        """True when the demo is over, well or not."""
        return self.complete or self.stalled or self._feed.error is not None or self._reader_gone

    def ticked(self, now: float) -> None:
        """Watch for progress, and show the figures if it is time."""
        if self._figures.settled != self._settled or not self._feed.finished:
            self._settled, self._progress_at = self._figures.settled, now
        self._now = now
        began_at = self._feed.began_at
        if began_at is not None and now - max(began_at, self._shown_at) >= self._screen.interval_seconds:
            self._show(now, began_at)

    def finish(self, now: float) -> None:
        """Show the last figures; rate and batch size are now those of the whole demo."""
        self._shown, self._shown_at = Totals(), float("-inf")
        if self._feed.began_at is not None:
            self._show(now, self._feed.began_at)

    def _show(self, now: float, began_at: float) -> None:
        totals, before = self._figures.totals, self._shown
        elapsed = now - max(began_at, self._shown_at)
        batches = totals.batches - before.batches
        settled = totals.settled - before.settled
        view = View(
            seconds=now - began_at,
            produced=self._feed.produced,
            settled=totals.settled,
            flagged=totals.flagged,
            events=self._events,
            rate=settled / elapsed if elapsed > 0 else 0.0,
            batch_size=settled / batches if batches else 0.0,
            lag_events=max(0, self._feed.produced - totals.settled),
            lag_seconds=totals.lag_seconds if batches else 0.0,
            score_bins=self._figures.score_bins.tolist(),
            latest_flags=tuple(self._figures.latest_flags),
        )
        self._shown, self._shown_at = totals, now
        try:
            self._screen.show(view)
        except BrokenPipeError:
            # `stream-infer demo | head`: nobody reads any more. An instrument must not raise, so the demo ends.
            self._reader_gone = True

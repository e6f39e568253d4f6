"""What the demo says at its end: a value, and the two ways to write it.

Rule: the demo has failed when a payment was produced and not scored, and says so; an interrupted one has not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from stream_infer.types import BoolArray

QUANTILES = (0.50, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a demo.

    ``scored`` counts payments, ``settled`` events (a payment that was scored twice counts twice). Precision is
    the share of flags that are fraud, recall the share of frauds that were flagged; None where there are none.
    """

    model: str
    seconds: float
    produced: int
    settled: int
    scored: int
    rejected: int
    flagged: int
    frauds: int
    frauds_flagged: int
    latency_ms: dict[str, float | None]
    interrupted: bool

    @property
    def precision(self) -> float | None:
        """``frauds_flagged / flagged``."""
        return self.frauds_flagged / self.flagged if self.flagged else None

    @property
    def recall(self) -> float | None:
        """``frauds_flagged / frauds``."""
        return self.frauds_flagged / self.frauds if self.frauds else None

    @property
    def failure(self) -> str | None:
        """Why the demo failed; None if it did not."""
        if self.interrupted or self.settled == self.produced == self.scored + self.rejected:
            return None
        counts = f"{self.produced:,} payments were produced, {self.scored:,} scored and {self.settled:,} events settled"
        if self.settled > self.produced:
            return f"{counts}: some were scored again after a failed checkpoint."
        return f"{counts}. The broker in memory drops its oldest data beyond 5 MB a partition: try a lower --rate."

    def to_json(self) -> dict[str, object]:
        """The summary as one JSON object."""
        return {
            "type": "summary",
            **asdict(self),
            "precision": self.precision,
            "recall": self.recall,
            "failure": self.failure,
        }


def summarize(
    *,
    model: str,
    seconds: float,
    produced: int,
    settled: int,
    rejected: int,
    scored: BoolArray,
    flagged: BoolArray,
    is_fraud: BoolArray,
    latency_seconds: Sequence[float],
    interrupted: bool,
) -> Summary:
    """Compare decisions with the truth. The three bool columns have a row for every payment of the demo."""
    return Summary(
        model=model,
        seconds=round(seconds, 3),
        produced=produced,
        settled=settled,
        scored=int(scored.sum()),
        rejected=rejected,
        flagged=int(flagged.sum()),
        frauds=int(np.count_nonzero(is_fraud & scored)),
        frauds_flagged=int(np.count_nonzero(is_fraud & flagged)),
        latency_ms={
            f"p{round(quantile * 100)}": None if math.isnan(found) else round(found * 1000, 1)
            for quantile, found in zip(QUANTILES, latency_seconds, strict=True)
        },
        interrupted=interrupted,
    )


def summary_lines(summary: Summary, next_steps: Sequence[tuple[str, str]]) -> list[str]:
    """The summary as text. ``next_steps`` are pairs of a command and what it shows."""
    rate = summary.scored / summary.seconds if summary.seconds else 0.0
    latency = "  ".join(f"{name} {_ms(value)}" for name, value in summary.latency_ms.items())
    rows = [
        ("events", f"{summary.produced:,} produced, {summary.settled:,} settled, {summary.rejected:,} rejected"),
        ("time", f"{summary.seconds:.1f} s, {rate:,.0f} events/s"),
        ("flagged", f"{summary.flagged:,}, of which {summary.frauds_flagged:,} are fraud"),
        ("precision", _share(summary.precision, "of the flagged payments are fraud")),
        ("recall", _share(summary.recall, f"of the {summary.frauds:,} fraudulent payments were flagged")),
        ("latency", f"{latency}  (payment produced -> scored event published)"),
        ("model", summary.model),
    ]
    heading = "Summary so far (interrupted)" if summary.interrupted else "Summary"
    lines = ["", heading, *(f"  {name:<10} {text}" for name, text in rows), "", "Where to go next"]
    width = max((len(command) for command, _ in next_steps), default=0)
    lines += [f"  {command:<{width}}  {text}" for command, text in next_steps]
    if summary.failure:
        lines += ["", f"FAILED: {summary.failure}"]
    return lines


def _share(value: float | None, meaning: str) -> str:
    return f"{value:.3f} {meaning}" if value is not None else "- (nothing to count)"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"

"""What may be committed, and where to start again: the bookkeeping of each owned split.

Rule: commit only what has nothing open before it. Batches settle in the order in which they were
dispatched, so the committable offset of a split is simply the last settled one + 1, provided that

1. a result of an older generation never reaches `settled` (a split that is not owned is ignored), and
2. an offset is committed only after everything published up to then was acknowledged (`Checkpoint`).

The bug this prevents: a batch that failed is skipped, the next one settles, its offset is committed, and
the failed one is never read again.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from stream_infer.types import Split

_UNKNOWN = -1


@dataclass(slots=True)
class _Progress:
    restart: int = _UNKNOWN
    """Where to read again after a failure: the last commit, else the first record received."""
    settled: int = _UNKNOWN
    """Next offset to commit once all that was published is acknowledged."""


class OffsetTracker:
    """Progress of every owned split."""

    def __init__(self) -> None:
        self._splits: dict[Split, _Progress] = {}

    def assigned(self, splits: Iterable[Split]) -> None:
        """These splits are owned from now on."""
        for split in splits:
            self._splits[split] = _Progress()

    def removed(self, splits: Iterable[Split]) -> None:
        """These splits are no longer owned; their uncommitted progress is forgotten."""
        for split in splits:
            self._splits.pop(split, None)

    def owns(self, split: Split) -> bool:
        """True for an owned split of the current generation."""
        return split in self._splits

    def owned(self) -> Collection[Split]:
        """All owned splits."""
        return self._splits.keys()

    def received(self, first_offsets: Mapping[Split, int]) -> None:
        """Records from these offsets on have arrived."""
        for split, offset in first_offsets.items():
            progress = self._splits.get(split)
            if progress is not None and progress.restart == _UNKNOWN:
                progress.restart = offset

    def settled(self, next_offsets: Mapping[Split, int]) -> None:
        """Everything below these offsets was handed to the sink (or passed over)."""
        for split, offset in next_offsets.items():
            progress = self._splits.get(split)
            if progress is not None:
                progress.settled = max(progress.settled, offset)

    def committable(self, splits: Collection[Split] | None = None) -> dict[Split, int]:
        """Offsets that are settled and not committed yet, of all owned splits or of these."""
        chosen = self._splits if splits is None else splits
        found = {}
        for split in chosen:
            progress = self._splits.get(split)
            if progress is not None and progress.settled > progress.restart:
                found[split] = progress.settled
        return found

    def committed(self, offsets: Mapping[Split, int]) -> None:
        """The broker has these offsets."""
        for split, offset in offsets.items():
            progress = self._splits.get(split)
            if progress is not None:
                progress.restart = max(progress.restart, offset)

    def next_offset(self, split: Split) -> int | None:
        """First offset that is not settled; None when nothing is known of the split yet."""
        progress = self._splits[split]
        return next((o for o in (progress.settled, progress.restart) if o != _UNKNOWN), None)

    def restart_offsets(self) -> dict[Split, int]:
        """Where each owned split has to be read again from. Splits that gave nothing yet are left out."""
        return {split: p.restart for split, p in self._splits.items() if p.restart != _UNKNOWN}

    def rewound(self, renamed: Mapping[Split, Split]) -> None:
        """Splits were rewound to their restart offsets, under new generations (old -> new)."""
        for old, new in renamed.items():
            progress = self._splits.pop(old, None)
            if progress is not None:
                self._splits[new] = _Progress(restart=progress.restart)


class Phase(enum.Enum):
    """Where the checkpoint stands."""

    IDLE = enum.auto()
    FLUSHING = enum.auto()
    COMMITTING = enum.auto()


class Checkpoint:
    """One checkpoint a ``commit_interval_s``: flush, check, commit.

    ``offsets`` is frozen when the flush begins. While it is FLUSHING nothing may be published, or the flush
    would never end under a steady load.
    """

    def __init__(self, commit_interval_s: float) -> None:
        self._interval_s = commit_interval_s
        self._due_at = 0.0
        self.phase = Phase.IDLE
        self.began_at = 0.0
        self.phase_began_at = 0.0
        self.offsets: dict[Split, int] = {}

    def due(self, now: float) -> bool:
        """True when a checkpoint may begin at ``now`` (seconds)."""
        return self.phase is Phase.IDLE and now >= self._due_at

    def seconds_until_due(self, now: float) -> float:
        """Seconds until the next checkpoint; 0 while one is under way."""
        return max(0.0, self._due_at - now) if self.phase is Phase.IDLE else 0.0

    def begin(self, offsets: dict[Split, int], now: float) -> None:
        """Freeze what is to be committed; everything published so far must be acknowledged first."""
        self.offsets, self.began_at = offsets, now
        self._enter(Phase.FLUSHING, now)

    def acknowledged(self, now: float) -> Mapping[Split, int]:
        """All that was published is acknowledged: these offsets may be committed."""
        assert self.phase is Phase.FLUSHING, "a commit follows a flush"
        self._enter(Phase.COMMITTING, now)
        return self.offsets

    def committed(self, now: float) -> Mapping[Split, int]:
        """The broker has the offsets; the next checkpoint is due an interval after this one began."""
        assert self.phase is Phase.COMMITTING, "committed without a commit"
        self._finish(max(now, self.began_at + self._interval_s), now)
        return self.offsets

    def failed(self, retry_at: float, now: float) -> None:
        """The checkpoint failed; another may begin at ``retry_at``."""
        self._finish(retry_at, now)

    def forget(self, splits: Collection[Split]) -> None:
        """These splits were taken away: their offsets must not be committed any more."""
        self.offsets = {split: offset for split, offset in self.offsets.items() if split not in splits}

    def _finish(self, due_at: float, now: float) -> None:
        self._due_at = due_at
        self._enter(Phase.IDLE, now)

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase, self.phase_began_at = phase, now

"""What may be committed, and where to start again: the bookkeeping of each owned split.

Rule: commit only what has nothing open before it. Batches settle in the order in which they were
dispatched, so the committable offset of a split is simply the last settled one + 1, provided that

1. a result of an older generation never reaches `settled` (a split that is not owned is ignored), and
2. an offset is committed only after everything published up to then is safe (`Checkpoint`).

The bug this prevents: a batch that failed is skipped, the next one settles, its offset is committed, and
the failed one is never read again.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from stream_infer.types import Split, Start

_UNKNOWN = -1


@dataclass(slots=True)
class _Progress:
    restart: int
    """Where to read again after a failure: the last commit, else where reading began."""
    read_to: int = _UNKNOWN
    """Offset after the last record received in this generation."""
    settled: int = _UNKNOWN
    """Next offset to commit once all that was published is safe."""


class OffsetTracker:
    """Progress of every owned split."""

    def __init__(self) -> None:
        self._splits: dict[Split, _Progress] = {}

    def assigned(self, starts: Mapping[Split, Start]) -> None:
        """These splits are owned from now on."""
        for split, start in starts.items():
            self._splits[split] = _Progress(start.offset)

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

    def received(self, first_offsets: Mapping[Split, int], next_offsets: Mapping[Split, int]) -> None:
        """Records from the first offsets to before the next ones have arrived."""
        for split, offset in first_offsets.items():
            progress = self._splits.get(split)
            if progress is not None:
                if progress.read_to == _UNKNOWN:
                    progress.restart = max(progress.restart, offset)
                progress.read_to = next_offsets[split]

    def reached(self, positions: Mapping[Split, int]) -> None:
        """Reading stands at ``positions``: what lies between the last record and there holds no record for us.

        Kafka: control records and aborted ones. Counts only where every record received is settled, and one was:
        after a rewind a client may still say for a moment where it stood before.
        """
        for split, position in positions.items():
            progress = self._splits.get(split)
            if progress is not None and _UNKNOWN < progress.read_to <= progress.settled:
                progress.settled = max(progress.settled, position)

    def settled(self, next_offsets: Mapping[Split, int]) -> None:
        """Everything below these offsets was handed to the sink (or passed over)."""
        for split, offset in next_offsets.items():
            progress = self._splits.get(split)
            if progress is not None:
                progress.settled = max(progress.settled, offset)

    def committable(self, splits: Collection[Split] | None = None) -> dict[Split, int]:
        """Offsets that are settled and not committed yet, of all owned splits or of these."""
        return {split: p.settled for split, p in self._chosen(splits) if p.settled > p.restart}

    def ends(self, splits: Collection[Split] | None = None) -> dict[Split, int]:
        """What an orderly end commits, of all owned splits or of these: the settled offset, else the last commit."""
        return {split: max(p.settled, p.restart) for split, p in self._chosen(splits)}

    def committed(self, offsets: Mapping[Split, int]) -> None:
        """The broker has these offsets."""
        for split, offset in offsets.items():
            progress = self._splits.get(split)
            if progress is not None:
                progress.restart = max(progress.restart, offset)

    def next_offset(self, split: Split) -> int:
        """First offset that is not settled."""
        progress = self._splits[split]
        return max(progress.settled, progress.restart)

    def restarts(self) -> dict[Split, int]:
        """Last commit of each owned split, or where reading began."""
        return {split: progress.restart for split, progress in self._splits.items()}

    def restart_offsets(self) -> dict[Split, int]:
        """Where each owned split has to be read again from. Splits that gave nothing yet are left out."""
        return {split: progress.restart for split, progress in self._splits.items() if progress.read_to != _UNKNOWN}

    def rewound(self, renamed: Mapping[Split, Split]) -> None:
        """Splits were rewound to their restart offsets, under new generations (old -> new)."""
        for old, new in renamed.items():
            progress = self._splits.pop(old, None)
            if progress is not None:
                self._splits[new] = _Progress(progress.restart)

    def _chosen(self, splits: Collection[Split] | None) -> Iterator[tuple[Split, _Progress]]:
        return ((split, p) for split, p in self._splits.items() if splits is None or split in splits)


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
        self._due_at = self._not_before = 0.0
        self.phase = Phase.IDLE
        self.began_at = 0.0
        self.phase_began_at = 0.0
        self.offsets: dict[Split, int] = {}

    def due(self, now: float, *, early: bool = False) -> bool:
        """True when a checkpoint may begin at ``now`` (seconds).

        ``early`` does not wait for the interval, only for the pause after a failure.
        """
        return self.phase is Phase.IDLE and now >= (self._not_before if early else self._due_at)

    def seconds_until_due(self, now: float, *, early: bool = False) -> float:
        """Seconds until the next checkpoint; 0 while one is under way."""
        due_at = self._not_before if early else self._due_at
        return max(0.0, due_at - now) if self.phase is Phase.IDLE else 0.0

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
        self._not_before = now
        self._finish(max(now, self.began_at + self._interval_s), now)
        return self.offsets

    def failed(self, retry_at: float, now: float) -> None:
        """The checkpoint failed; another may begin at ``retry_at``."""
        self._not_before = retry_at
        self._finish(retry_at, now)

    def forget(self, splits: Collection[Split]) -> None:
        """These splits were taken away: their offsets must not be committed any more."""
        self.offsets = {split: offset for split, offset in self.offsets.items() if split not in splits}

    def _finish(self, due_at: float, now: float) -> None:
        self._due_at = due_at
        self._enter(Phase.IDLE, now)

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase, self.phase_began_at = phase, now

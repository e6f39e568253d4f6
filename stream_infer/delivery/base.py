"""What both guarantees share: publishing, the bookkeeping of owned splits, marks, and when a checkpoint is due.

Rule: an offset is committed only when everything published up to it is safe. If that cannot be had, nothing is
committed and every owned split is read again from its last commit (`must_rewind`). Results of an older generation
are dropped before publishing. While a checkpoint is under way nothing is published, or it would never end under a
steady load; scoring goes on.

What may be uncommitted is bounded (`DeliverySettings.max_uncommitted`): a checkpoint comes early rather than late.
The crash watch (`stream_infer.core.crashes`) rests on that bound.

Owned by the pipeline's thread.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream_infer.clock import Clock, Deadline
from stream_infer.core import age
from stream_infer.core.crashes import CrashWatch
from stream_infer.core.limits import RejectLimit
from stream_infer.core.offsets import Checkpoint, OffsetTracker, Phase
from stream_infer.core.retry import Backoff, Retry
from stream_infer.errors import RetriableError, RetriesExhausted, StreamInferError, TooManyRejects
from stream_infer.ports import Instrument, Publisher, Source
from stream_infer.types import (
    Commit,
    Float64Array,
    Records,
    Reject,
    ScoredBatch,
    Split,
    Start,
    Status,
)
from stream_infer.work import WorkResult


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """Numbers of a delivery. Times in seconds.

    Args:
        commit_interval_s: between checkpoints.
        publish_timeout_s: after which what was published counts as not delivered.
        commit_timeout_s: after which a commit of offsets counts as failed.
        max_uncommitted: published records that are not committed yet, at most.
        watch_records: records of one split that may have been read behind its last commit, at most.
        commits: False to publish without ever committing (dry runs).
        backoff: delays after failures.
        max_consecutive_rejects, max_reject_ratio, reject_window: see `stream_infer.core.limits.RejectLimit`.
    """

    commit_interval_s: float
    publish_timeout_s: float
    commit_timeout_s: float
    max_uncommitted: int = 100_000
    watch_records: int = 108_192
    commits: bool = True
    backoff: Backoff = field(default_factory=Backoff)
    max_consecutive_rejects: int = 0
    max_reject_ratio: float = 1.0
    reject_window: int = 10_000


class Delivery(abc.ABC):
    """The publisher, the commits, and what is known of every owned split.

    Args:
        source: takes commits and rewinds.
        publisher: takes scored batches.
        settings: numbers.
        clock, instrument, jitter: as for `stream_infer.pipeline.Pipeline`.
    """

    def __init__(
        self,
        source: Source,
        publisher: Publisher,
        settings: DeliverySettings,
        clock: Clock,
        instrument: Instrument,
        jitter: Callable[[], float],
    ) -> None:
        self._source = source
        self._publisher = publisher
        self._settings = settings
        self._clock = clock
        self._instrument = instrument
        self._jitter = jitter
        self._checkpoint = Checkpoint(settings.commit_interval_s)
        self._publish_retry = Retry(settings.backoff)
        self._commit_retry = Retry(settings.backoff)
        self._limit = RejectLimit(settings.max_consecutive_rejects, settings.max_reject_ratio, settings.reject_window)
        self._crashes = CrashWatch(settings.watch_records)
        self._settled = self._frozen = 0
        self.offsets = OffsetTracker()
        self.must_rewind = False
        self.committed_records = 0
        """Records that a rewind does not bring back; fewer than that where partitions went to other members."""

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Connect the publisher."""
        self._publisher.start()

    def close(self) -> None:
        """Release the publisher. Nothing more is committed."""
        self._publisher.close()

    # ------------------------------------------------------------------ publish

    def ready(self, count: int) -> bool:
        """True when a batch of ``count`` records may be published now. Asked before every `publish`."""
        return self.may_publish() and self._publisher.room() >= count

    def may_publish(self) -> bool:
        """False while a checkpoint is under way, too much is uncommitted, or a failure waits for its retry."""
        if self._uncommitted() >= self._settings.max_uncommitted or not self._publish_retry.ready(self._now()):
            return False
        return self._accepts()

    @abc.abstractmethod
    def _accepts(self) -> bool:
        """False while the checkpoint does not let anything be published."""

    def publish(self, result: WorkResult) -> None:
        """Hand a batch to the publisher, without the rows of splits that are no longer owned in that generation.

        Raises:
            TooManyRejects: with this batch. Nothing of it is published.
            FatalError: the publisher refuses for good.
        """
        batch = self._current(result.batch)
        if batch is None:
            return
        self._check_rejects(batch)
        self._publishing(batch.records.splits)
        batch = _with_rejects(batch, self._publisher.publish(batch))
        self._note_settled(batch)
        self._instrument.batch_scored(
            len(batch.records), result.decode_seconds, result.score_seconds, result.encode_seconds
        )
        if batch.scored.model_calls > 1:
            self._instrument.batch_bisected(batch.scored.model_calls - 1)
        self._instrument.batch_settled(batch, self._latency_seconds(batch))

    @abc.abstractmethod
    def _publishing(self, splits: Collection[Split]) -> None:
        """Something of these splits is about to be published."""

    def _note_settled(self, batch: ScoredBatch) -> None:
        next_offsets = batch.records.next_offsets()
        self.offsets.settled(next_offsets)
        self._crashes.settled(_counts(batch.records), next_offsets)
        self._settled += len(batch.records)

    def _check_rejects(self, batch: ScoredBatch) -> None:
        rejected = np.zeros(len(batch.records), np.bool_)
        rejected[[reject.row for reject in batch.rejects]] = True
        excess = self._limit.excess(rejected)
        if excess is None:
            return
        last = batch.rejects[-1]
        split = batch.records.split(last.row)
        raise TooManyRejects(
            f"{excess}; the last one has reason {last.status.reason} (topic {split.source}, partition "
            f"{split.partition}, offset {int(batch.records.offset[last.row])}); nothing of this batch was published. "
            f"Mend the input or the model, or raise dead_letter.max_consecutive or dead_letter.max_ratio"
        )

    def _current(self, batch: ScoredBatch) -> ScoredBatch | None:
        stale = [i for i, split in enumerate(batch.records.splits) if not self.offsets.owns(split)]
        if not stale:
            return batch
        current = ~np.isin(batch.records.split_index, stale)
        return batch.only(current) if current.any() else None

    def _latency_seconds(self, batch: ScoredBatch) -> Float64Array:
        published = slice(None) if batch.payload.valid is None else batch.payload.valid
        latency_ms = self._clock.wall_ms() - age.event_times_ms(batch.records)[published]
        return np.maximum(latency_ms, 0) / 1000.0

    # ------------------------------------------------------------------ trials

    @property
    def careful(self) -> bool:
        """True while an owned split is suspected of holding an event that kills: one batch at a time, all committed."""
        return self._settings.commits and self._crashes.careful

    def alone(self) -> frozenset[Split]:
        """Splits of which one record makes a batch, with nothing beside it."""
        return self._crashes.alone() if self._settings.commits else frozenset()

    def condemned(self, records: Records) -> bool:
        """True for the one event that must not be tried again."""
        return self._settings.commits and self._crashes.condemned(records)

    def may_try(self, records: Records) -> bool:
        """True when these records may be decoded and scored: whatever a crash has to leave behind is committed."""
        return not self._waits_for_commit() and not self._marks(records)

    def mark(self, records: Records) -> bool:
        """Commit what a crash has to leave behind. False when there is nothing to commit, or it must wait.

        The source may bring a rebalance along.

        Raises:
            CommitFailed: it could not be committed now.
        """
        if self._waits_for_commit() or self._checkpoint.phase is not Phase.IDLE:
            return False
        marks = self._marks(records)
        if marks:
            self._source.commit_now(marks, Deadline.after(self._settings.commit_timeout_s, self._now()))
            self._crashes.marked({split: commit for split, commit in marks.items() if self.offsets.owns(split)})
        return bool(marks)

    def _waits_for_commit(self) -> bool:
        """True under suspicion while something is settled and not committed: it would be suspected, too."""
        return self.careful and bool(self.offsets.committable())

    def _marks(self, records: Records) -> dict[Split, Commit]:
        return self._crashes.marks(records, self.offsets.restarts()) if self._settings.commits else {}

    # ------------------------------------------------------------------ checkpoint

    @abc.abstractmethod
    def advance(self, drained: bool) -> bool:
        """Move the checkpoint on. False when there was nothing to do.

        Args:
            drained: nothing is open between poll and settle.

        Raises:
            FatalError: the sink or the broker refuses for good, or failed for longer than its budget.
        """

    def seconds_until_checkpoint(self, now: float) -> float:
        """Seconds until `advance` has something to do; infinity when nothing is settled."""
        if self._checkpoint.phase is Phase.IDLE and not self.offsets.committable():
            return float("inf")
        return self._checkpoint.seconds_until_due(now, early=self._is_early())

    def _is_early(self) -> bool:
        return self.careful or self._uncommitted() >= self._settings.max_uncommitted

    def _due_offsets(self, now: float, drained: bool) -> dict[Split, int]:
        """What a checkpoint that begins now commits; empty when none may begin."""
        if self.must_rewind or not self._checkpoint.due(now, early=self._is_early()):
            return {}
        if drained:
            self.offsets.reached({split: at.next_offset for split, at in self._source.positions().items()})
        offsets = self.offsets.committable()
        if not offsets:
            # Whatever was settled and not committed belonged to splits that are gone.
            self.committed_records = self._settled
        return offsets

    def _begin(self, offsets: dict[Split, int], now: float) -> None:
        self._checkpoint.begin(offsets, now)
        self._frozen = self._settled

    def _commits(self, offsets: Mapping[Split, int]) -> dict[Split, Commit]:
        return {split: Commit(offset, self._crashes.note(split, offset)) for split, offset in offsets.items()}

    def _committed(self) -> None:
        now = self._now()
        seconds = now - self._checkpoint.began_at
        offsets = self._checkpoint.committed(now)
        self.offsets.committed(offsets)
        self.committed_records = self._frozen
        if self._commit_retry.succeeded():
            self._instrument.retry_succeeded("commit")
        if self._publish_retry.succeeded():
            self._instrument.retry_succeeded("publish")
        self._instrument.checkpoint_committed(offsets, seconds)

    def _publish_failed(self, error: RetriableError) -> None:
        self.must_rewind = True
        self._failed(self._publish_retry, error)

    def _failed(self, retry: Retry, error: RetriableError) -> None:
        delay_s = self._retry_later(retry, error)
        now = self._now()
        self._checkpoint.failed(now + delay_s, now)
        self._instrument.checkpoint_failed(error.stage, str(error))

    def _retry_later(self, retry: Retry, error: RetriableError) -> float:
        now = self._now()
        delay_s = retry.failed(now, self._jitter())
        self._instrument.retry_scheduled(error.stage, retry.attempts, delay_s, str(error))
        give_up_if_exhausted(retry, now, error)
        return delay_s

    def _uncommitted(self) -> int:
        return self._settled - self.committed_records

    # ------------------------------------------------------------------ assign, rewind, revoke, end

    def assigned(self, starts: Mapping[Split, Start]) -> None:
        """These splits are owned from now on."""
        self.offsets.assigned(starts)
        for split, level in self._crashes.assigned(starts).items():
            self._instrument.crash_suspected(split, starts[split].offset, level)

    @abc.abstractmethod
    def rewind(self) -> None:
        """Read again from the last commit everything that may not have been delivered.

        Where that is not possible yet, `must_rewind` stays.
        """

    def _rewound(self, renamed: Mapping[Split, Split]) -> None:
        self.offsets.rewound(renamed)
        self._crashes.rewound(renamed)
        self._limit.reset()
        self.must_rewind = False
        self._settled = self.committed_records
        self._instrument.splits_changed("rewound", list(renamed.values()))

    @abc.abstractmethod
    def finish(self, deadline: Deadline, busy: Collection[Split], splits: Collection[Split] | None = None) -> bool:
        """An orderly end: commit what is settled of these splits, or of all, by ``deadline``. False if that failed.

        ``busy`` splits have events that are being tried at this moment: theirs is no orderly end, and is not
        said to be one.
        """

    def leave(self, deadline: Deadline, busy: Collection[Split]) -> None:
        """After a fatal error: commit no progress, but say that the end was an orderly one, where it was."""
        try:
            farewells = self._farewells(self._last_commits(deadline), busy)
            if farewells:
                self._source.commit_now(farewells, deadline)
        except StreamInferError as error:
            # The error that ends the process is the news; this one only costs the next owner some care.
            self._instrument.checkpoint_failed("commit", str(error))

    @abc.abstractmethod
    def _last_commits(self, deadline: Deadline) -> Mapping[Split, int]:
        """What is committed for every owned split.

        Raises:
            RetriableError: that cannot be said now.
        """

    def _farewells(self, offsets: Mapping[Split, int], busy: Collection[Split]) -> dict[Split, Commit]:
        if not self._settings.commits:
            return {}
        return {
            split: Commit(offset, self._crashes.farewell(split, offset))
            for split, offset in offsets.items()
            if self._crashes.is_marked(split) and split not in busy
        }

    def forget(self, splits: Collection[Split]) -> None:
        """These splits are no longer owned: nothing of them is published or committed any more."""
        self.offsets.removed(splits)
        self._crashes.removed(splits)
        self._checkpoint.forget(splits)

    def _now(self) -> float:
        return self._clock.monotonic()


def give_up_if_exhausted(retry: Retry, now: float, error: RetriableError) -> None:
    """Raise RetriesExhausted where ``retry`` has failed for longer than its budget."""
    if retry.exhausted(now):
        raise RetriesExhausted(
            f"{error.stage} has failed for {retry.seconds_failing(now):.0f} s (timeouts.retry_seconds): {error}"
        ) from error


def _counts(records: Records) -> dict[Split, int]:
    counts = np.bincount(records.split_index, minlength=len(records.splits)).tolist()
    return dict(zip(records.splits, counts, strict=True))


def _with_rejects(batch: ScoredBatch, refused: Sequence[tuple[int, Status]]) -> ScoredBatch:
    """The batch as it was really published: rows that the sink refused are rejects, not scored events."""
    if not refused:
        return batch
    published = np.ones(len(batch.records), np.bool_)
    published[[row for row, _ in refused]] = False
    rejects = [Reject(row, status, "the sink does not take it") for row, status in refused]
    kept = batch.only(published)
    return ScoredBatch(kept.records, kept.scored, kept.payload, (*batch.rejects, *rejects))

"""From a scored batch to a committed offset: at-least-once delivery.

Rule: an offset is committed only when everything published up to it was acknowledged. A checkpoint freezes the
settled offsets, flushes, and commits them; if one delivery fails, nothing is committed and every owned split has
to be read again from its last commit (`must_rewind`). Results of an older generation are dropped before publishing.
While a checkpoint flushes nothing is published (scoring goes on), or the flush would never end under a steady load.

Owned by the pipeline's thread. Waits `FLUSH_WAIT_S` at most in one call of `advance`; `finish` waits to its deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from stream_infer.clock import Clock, Deadline
from stream_infer.core import age
from stream_infer.core.offsets import Checkpoint, OffsetTracker, Phase
from stream_infer.core.retry import Backoff, Retry
from stream_infer.errors import CommitFailed, RetriableError, SinkUnavailable
from stream_infer.ports import Instrument, Sink, Source
from stream_infer.types import Float64Array, Reject, ScoredBatch, Split, Status
from stream_infer.work import WorkResult

FLUSH_WAIT_S = 0.001
_FINISH_WAIT_S = 0.1


class Delivery:
    """The sink, the commits, and what is known of every owned split.

    Args:
        source: takes commits and rewinds.
        sink: takes scored batches.
        commit_interval_s: seconds between checkpoints.
        publish_timeout_s, commit_timeout_s: seconds after which a flush or a commit counts as failed.
        commits: False to publish without ever committing (dry runs).
        backoff: delays after failures.
        clock, instrument, jitter: as for `stream_infer.pipeline.Pipeline`.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        *,
        commit_interval_s: float,
        publish_timeout_s: float,
        commit_timeout_s: float,
        commits: bool,
        backoff: Backoff,
        clock: Clock,
        instrument: Instrument,
        jitter: Callable[[], float],
    ) -> None:
        self._source = source
        self._sink = sink
        self._publish_timeout_s = publish_timeout_s
        self._commit_timeout_s = commit_timeout_s
        self._commits = commits
        self._clock = clock
        self._instrument = instrument
        self._jitter = jitter
        self._checkpoint = Checkpoint(commit_interval_s)
        self._publish_retry = Retry(backoff)
        self._commit_retry = Retry(backoff)
        self._settled = self._frozen = 0
        self.offsets = OffsetTracker()
        self.must_rewind = False
        self.committed_records = 0
        """Records that a rewind does not bring back; fewer than that where partitions went to other members."""

    # ------------------------------------------------------------------ publish

    def ready(self, count: int) -> bool:
        """True when a batch of ``count`` records may be published now. Asked before every `publish`."""
        return self.may_publish() and self._sink.room() >= count

    def may_publish(self) -> bool:
        """False while a checkpoint flushes or a failed delivery waits for its retry."""
        return self._checkpoint.phase is not Phase.FLUSHING and self._publish_retry.ready(self._now())

    def publish(self, result: WorkResult) -> None:
        """Hand a batch to the sink, without the rows of splits that are no longer owned in that generation."""
        batch = self._current(result.batch)
        if batch is None:
            return
        batch = _with_rejects(batch, self._sink.publish(batch))
        self.offsets.settled(batch.records.next_offsets())
        self._settled += len(batch.records)
        self._instrument.batch_scored(
            len(batch.records), result.decode_seconds, result.score_seconds, result.encode_seconds
        )
        if batch.scored.model_calls > 1:
            self._instrument.batch_bisected(batch.scored.model_calls - 1)
        self._instrument.batch_settled(batch, self._latency_seconds(batch))

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

    # ------------------------------------------------------------------ checkpoint

    def seconds_until_checkpoint(self, now: float) -> float:
        """Seconds until `advance` has something to do; infinity when nothing is settled."""
        if self._checkpoint.phase is Phase.IDLE and not self.offsets.committable():
            return float("inf")
        return self._checkpoint.seconds_until_due(now)

    def advance(self) -> bool:
        """Move the checkpoint on: begin, flush, commit. False when there was nothing to do.

        Raises:
            FatalError: the sink or the broker refuses for good.
        """
        now = self._now()
        phase = self._checkpoint.phase
        if phase is Phase.FLUSHING:
            self._await_flush(now)
        elif phase is Phase.COMMITTING:
            return self._await_commit(now)
        else:
            return self._begin(now)
        return True

    def _begin(self, now: float) -> bool:
        if not self._checkpoint.due(now) or self.must_rewind:
            return False
        offsets = self.offsets.committable()
        if offsets:
            self._checkpoint.begin(offsets, now)
            self._frozen = self._settled
            self._sink.begin_flush()
        return bool(offsets)

    def _await_flush(self, now: float) -> None:
        try:
            if self._sink.flushed(FLUSH_WAIT_S):
                self._acknowledged()
            elif now - self._checkpoint.phase_began_at >= self._publish_timeout_s:
                self._instrument.stage_timed_out("publish", self._publish_timeout_s)
                self._sink.abandon()
                raise SinkUnavailable(f"not acknowledged within {self._publish_timeout_s:g} s")
        except SinkUnavailable as error:
            self._publish_failed(error)

    def _acknowledged(self) -> None:
        if self._publish_retry.succeeded():
            self._instrument.retry_succeeded("publish")
        offsets = self._checkpoint.acknowledged(self._now())
        if not offsets or not self._commits:
            self._committed()
            return
        try:
            self._source.begin_commit(offsets)
        except CommitFailed as error:
            self._failed(self._commit_retry, error)

    def _await_commit(self, now: float) -> bool:
        try:
            if not self._checkpoint.offsets or self._source.commit_done():
                self._committed()
                return True
            if now - self._checkpoint.phase_began_at >= self._commit_timeout_s:
                self._instrument.stage_timed_out("commit", self._commit_timeout_s)
                raise CommitFailed(f"not acknowledged within {self._commit_timeout_s:g} s")
        except CommitFailed as error:
            # Everything is delivered, so nothing is read again: a later checkpoint commits as much or more.
            self._failed(self._commit_retry, error)
            return True
        return False

    def _committed(self) -> None:
        now = self._now()
        seconds = now - self._checkpoint.began_at
        offsets = self._checkpoint.committed(now)
        self.offsets.committed(offsets)
        self.committed_records = self._frozen
        if self._commit_retry.succeeded():
            self._instrument.retry_succeeded("commit")
        self._instrument.checkpoint_committed(offsets, seconds)

    def _publish_failed(self, error: SinkUnavailable) -> None:
        self.must_rewind = True
        self._failed(self._publish_retry, error)

    def _failed(self, retry: Retry, error: RetriableError) -> None:
        now = self._now()
        delay_s = retry.failed(now, self._jitter())
        self._checkpoint.failed(now + delay_s, now)
        self._instrument.checkpoint_failed(error.stage, str(error))
        self._instrument.retry_scheduled(error.stage, retry.attempts, delay_s, str(error))

    # ------------------------------------------------------------------ rewind, revoke, end

    def rewind(self) -> None:
        """Read again from the last commit everything that may not have been delivered."""
        renamed = self._source.rewind(self.offsets.restart_offsets())
        self.offsets.rewound(renamed)
        self.must_rewind = False
        self._settled = self.committed_records
        self._instrument.splits_changed("rewound", list(renamed.values()))

    def finish(self, deadline: Deadline, splits: Collection[Split] | None = None) -> bool:
        """Flush and commit what is settled (of these splits, or of all) by ``deadline``. False when that failed."""
        offsets = self.offsets.committable(splits)
        if self.must_rewind:
            return False
        if not offsets:
            return True
        began_at = self._now()
        try:
            self._flush(deadline)
            if self._commits:
                self._source.commit_now(offsets, deadline)
        except SinkUnavailable as error:
            self._publish_failed(error)
            return False
        except CommitFailed as error:
            self._instrument.checkpoint_failed(error.stage, str(error))
            return False
        self.offsets.committed(offsets)
        self._instrument.checkpoint_committed(offsets, self._now() - began_at)
        return True

    def _flush(self, deadline: Deadline) -> None:
        began_at = self._now()
        self._sink.begin_flush()
        while not self._sink.flushed(min(_FINISH_WAIT_S, deadline.remaining(self._now()))):
            if deadline.passed(self._now()):
                waited_s = self._now() - began_at
                self._instrument.stage_timed_out("publish", waited_s)
                self._sink.abandon()
                raise SinkUnavailable(f"not acknowledged within {waited_s:.3g} s")

    def forget(self, splits: Collection[Split]) -> None:
        """These splits are no longer owned: nothing of them is published or committed any more."""
        self.offsets.removed(splits)
        self._checkpoint.forget(splits)

    def _now(self) -> float:
        return self._clock.monotonic()


def _with_rejects(batch: ScoredBatch, refused: Sequence[tuple[int, Status]]) -> ScoredBatch:
    """The batch as it was really published: rows that the sink refused are rejects, not scored events."""
    if not refused:
        return batch
    published = np.ones(len(batch.records), np.bool_)
    published[[row for row, _ in refused]] = False
    rejects = [Reject(row, status, "the sink does not take it") for row, status in refused]
    kept = batch.only(published)
    return ScoredBatch(kept.records, kept.scored, kept.payload, (*batch.rejects, *rejects))

"""At least once: acknowledged, then committed.

Rule: a checkpoint freezes the settled offsets, flushes, and commits them. If one delivery fails, nothing is committed
and every owned split is read again from its last commit. A commit that fails costs nothing but time: everything is
delivered, and a later checkpoint commits as much or more.

Waits `FLUSH_WAIT_S` at most in one call of `advance`; `finish` waits to its deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from stream_infer.clock import Clock, Deadline
from stream_infer.core.offsets import Phase
from stream_infer.delivery.base import Delivery, DeliverySettings
from stream_infer.errors import CommitFailed, SinkUnavailable
from stream_infer.ports import Instrument, Sink, Source
from stream_infer.types import Split

FLUSH_WAIT_S = 0.001
_FINISH_WAIT_S = 0.1


class AtLeastOnce(Delivery):
    """Flush, check, commit. Arguments as for `Delivery`."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        settings: DeliverySettings,
        clock: Clock,
        instrument: Instrument,
        jitter: Callable[[], float],
    ) -> None:
        super().__init__(source, sink, settings, clock, instrument, jitter)
        self._sink = sink

    def _accepts(self) -> bool:
        return self._checkpoint.phase is not Phase.FLUSHING

    def _publishing(self, splits: Collection[Split]) -> None:
        """Each event stands for itself."""

    def advance(self, drained: bool) -> bool:
        """Begin, flush, commit; see `Delivery.advance`."""
        now = self._now()
        phase = self._checkpoint.phase
        if phase is Phase.FLUSHING:
            self._await_flush(now)
        elif phase is Phase.COMMITTING:
            return self._await_commit(now)
        elif offsets := self._due_offsets(now, drained):
            self._begin(offsets, now)
            self._sink.begin_flush()
        else:
            return False
        return True

    def _await_flush(self, now: float) -> None:
        try:
            if self._sink.flushed(FLUSH_WAIT_S):
                self._acknowledged()
            elif now - self._checkpoint.phase_began_at >= self._settings.publish_timeout_s:
                self._instrument.stage_timed_out("publish", self._settings.publish_timeout_s)
                self._sink.abandon()
                raise SinkUnavailable(f"not acknowledged within {self._settings.publish_timeout_s:g} s")
        except SinkUnavailable as error:
            self._publish_failed(error)

    def _acknowledged(self) -> None:
        if self._publish_retry.succeeded():
            self._instrument.retry_succeeded("publish")
        offsets = self._checkpoint.acknowledged(self._now())
        if not offsets or not self._settings.commits:
            self._committed()
            return
        try:
            self._source.begin_commit(self._commits(offsets))
        except CommitFailed as error:
            self._failed(self._commit_retry, error)

    def _await_commit(self, now: float) -> bool:
        try:
            done = not self._checkpoint.offsets or self._source.commit_done()
            if self._checkpoint.phase is not Phase.COMMITTING:
                # The source brought a revoke along, in which this commit came to its end.
                return True
            if done:
                self._committed()
                return True
            if now - self._checkpoint.phase_began_at >= self._settings.commit_timeout_s:
                self._instrument.stage_timed_out("commit", self._settings.commit_timeout_s)
                raise CommitFailed(f"not acknowledged within {self._settings.commit_timeout_s:g} s")
        except CommitFailed as error:
            self._failed(self._commit_retry, error)
            return True
        return False

    def rewind(self) -> None:
        """Go back to the last commits; see `Delivery.rewind`."""
        self._rewound(self._source.rewind(self.offsets.restart_offsets()))

    def finish(self, deadline: Deadline, busy: Collection[Split], splits: Collection[Split] | None = None) -> bool:
        """Flush, then commit; see `Delivery.finish`."""
        self._await_end(deadline)
        if self.must_rewind:
            return False
        progress = self.offsets.committable(splits)
        ends = self.offsets.ends(splits)
        began_at = self._now()
        try:
            if progress:
                self._flush(deadline)
            commits = {**(self._commits(progress) if self._settings.commits else {}), **self._farewells(ends, busy)}
            if commits:
                self._source.commit_now(commits, deadline)
        except SinkUnavailable as error:
            self._publish_failed(error)
            return False
        except CommitFailed as error:
            self._instrument.checkpoint_failed(error.stage, str(error))
            return not progress
        if progress:
            self.offsets.committed(progress)
            self._instrument.checkpoint_committed(progress, self._now() - began_at)
        return True

    def _await_end(self, deadline: Deadline) -> None:
        """Hear how the commit under way ends: a second one would keep that from us."""
        while self._checkpoint.phase is Phase.COMMITTING and not deadline.passed(self._now()):
            if not self._await_commit(self._now()):
                self._clock.sleep(FLUSH_WAIT_S)

    def _flush(self, deadline: Deadline) -> None:
        began_at = self._now()
        self._sink.begin_flush()
        while not self._sink.flushed(min(_FINISH_WAIT_S, deadline.remaining(self._now()))):
            if deadline.passed(self._now()):
                waited_s = self._now() - began_at
                self._instrument.stage_timed_out("publish", waited_s)
                self._sink.abandon()
                raise SinkUnavailable(f"not acknowledged within {waited_s:.3g} s")

    def _last_commits(self, deadline: Deadline) -> Mapping[Split, int]:
        return self.offsets.restarts()

"""Exactly once, from Kafka to Kafka: outputs, dead letters and offsets in one transaction.

Rule: what was published since the last checkpoint and the offsets it answers are seen together, or never. A transaction
that cannot be committed is aborted, and every owned split is read again from what the group says is committed (the
outcome of a commit that got no answer is known to nobody else).

Fencing. The offsets of a transaction carry this process's membership of the group at the moment of the commit, taken
between two polls, when everything owned is still owned: partitions leave only inside a poll. So whatever happens to the
transaction afterwards, the broker takes its offsets only while nobody else can have read on from the old ones.

A split that leaves takes its published events along: they are committed before the revoke returns, or the
transaction is aborted as a whole and the splits that stay are rewound.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from stream_infer.clock import Clock, Deadline
from stream_infer.core.offsets import Phase
from stream_infer.delivery.base import Delivery, DeliverySettings
from stream_infer.errors import CommitFailed, SinkUnavailable, SourceUnavailable
from stream_infer.ports import Instrument, Source, TransactionalSink
from stream_infer.types import Commit, Split

_ABORT_TIMEOUT_S = 5.0
"""One try to abort; far below the watchdog's patience with a turn of the loop."""
_FINISH_WAIT_S = 0.05


class ExactlyOnce(Delivery):
    """One transaction a checkpoint. Arguments as for `Delivery`."""

    def __init__(
        self,
        source: Source,
        sink: TransactionalSink,
        settings: DeliverySettings,
        clock: Clock,
        instrument: Instrument,
        jitter: Callable[[], float],
    ) -> None:
        super().__init__(source, sink, settings, clock, instrument, jitter)
        self._sink = sink
        self._inside: set[Split] = set()
        """Splits with published events in the open transaction."""

    def _accepts(self) -> bool:
        return self._checkpoint.phase is Phase.IDLE and not self.must_rewind

    def _publishing(self, splits: Collection[Split]) -> None:
        self._inside.update(splits)

    def advance(self, drained: bool) -> bool:
        """Begin a commit, or hear how it ended; see `Delivery.advance`."""
        now = self._now()
        if self._checkpoint.phase is Phase.COMMITTING:
            return self._await_commit(0.0)
        offsets = self._due_offsets(now, drained)
        return bool(offsets) and self._begin_commit(offsets, self._commits(offsets))

    def _begin_commit(self, offsets: dict[Split, int], commits: Mapping[Split, Commit]) -> bool:
        now = self._now()
        self._begin(offsets, now)
        try:
            membership = self._source.membership()
        except CommitFailed as error:
            # The next poll takes the partitions away, and with them what was published.
            self._failed(self._commit_retry, error)
            return False
        self._sink.begin_commit(commits, membership)
        self._checkpoint.acknowledged(now)
        return True

    def _await_commit(self, wait_s: float) -> bool:
        try:
            if not self._sink.commit_done(wait_s):
                return False
        except SinkUnavailable as error:
            self._instrument.transaction_aborted(str(error))
            self._publish_failed(error)
            return True
        self._inside.clear()
        self._committed()
        return True

    def rewind(self) -> None:
        """Abort, ask the group what is committed, go back to it; see `Delivery.rewind`."""
        if not self._publish_retry.ready(self._now()):
            return
        try:
            found = self._last_commits(Deadline.after(_ABORT_TIMEOUT_S, self._now()))
        except (SinkUnavailable, SourceUnavailable) as error:
            self._retry_later(self._publish_retry, error)
            return
        self.offsets.committed(found)
        self._rewound(self._source.rewind(self.offsets.restart_offsets()))

    def _last_commits(self, deadline: Deadline) -> Mapping[Split, int]:
        self._sink.abort(deadline)
        self._inside.clear()
        owned = self.offsets.restarts()
        return {**owned, **self._source.committed(list(owned))}

    def finish(self, deadline: Deadline, busy: Collection[Split], splits: Collection[Split] | None = None) -> bool:
        """End the commit under way, then commit the rest in one transaction; see `Delivery.finish`.

        A commit that is not answered by ``deadline`` goes on by itself: its offsets are fenced.
        """
        if not self._await_end(deadline) or self.must_rewind:
            return False
        progress = self.offsets.committable()
        farewells = self._farewells(self.offsets.ends(splits), busy)
        if progress:
            begun = self._begin_commit(progress, {**self._commits(progress), **farewells})
            return begun and self._await_end(deadline) and not self.must_rewind
        return self._say_farewell(farewells, deadline)

    def _await_end(self, deadline: Deadline) -> bool:
        while self._checkpoint.phase is Phase.COMMITTING:
            if deadline.passed(self._now()):
                self._instrument.stage_timed_out("commit", self._now() - self._checkpoint.phase_began_at)
                return False
            self._await_commit(min(_FINISH_WAIT_S, deadline.remaining(self._now())))
        return True

    def _say_farewell(self, farewells: Mapping[Split, Commit], deadline: Deadline) -> bool:
        try:
            if farewells:
                self._source.commit_now(farewells, deadline)
        except CommitFailed as error:
            self._instrument.checkpoint_failed(error.stage, str(error))
        return True

    def forget(self, splits: Collection[Split]) -> None:
        """As `Delivery.forget`; a transaction that holds events of these splits can only be aborted."""
        super().forget(splits)
        if self._checkpoint.phase is not Phase.COMMITTING and not self._inside.isdisjoint(splits):
            self.must_rewind = True

"""The line: poll -> batch -> score -> publish -> commit. ``run``, ``replay`` and ``demo`` are this same code.

Rule: one thread owns the pipeline, its source and its sink, and `Pipeline.step` is the only place that knows
the order of things.

    step = admit     poll as much as the gate has room for; records go to the batcher
           dispatch  hand due batches to the scorer, as many as may be in flight; where a crash would have to leave
                     word behind (`stream_infer.core.crashes`), that is committed first
           settle    in dispatch order: publish scored events and dead letters
           commit    every commit interval: flush, then commit what is settled (`stream_infer.delivery`)

Waiting. With batches in flight no wait is longer than a millisecond while the gate is open, so a finished batch
never waits for a poll to time out. Nobody listens for records while a batch waits for more: the line sleeps, and then
takes what has come. A step in which nothing moved rests for a millisecond.

A batch that meets bad weather (registry away, model call stopped) stays at the head and is tried again, so that
order holds; later batches may be scored meanwhile but wait behind it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass

from stream_infer.clock import Clock, Deadline
from stream_infer.core.batching import Batch
from stream_infer.core.flow import FlowGate, GateState
from stream_infer.core.lag import lags, oldest_timestamps
from stream_infer.core.retry import Retry
from stream_infer.core.settings import Settings
from stream_infer.delivery.base import Delivery, give_up_if_exhausted
from stream_infer.errors import CommitFailed, FatalError, RetriableError, ScoreTimeout, Stuck
from stream_infer.executors import Executor
from stream_infer.ports import Instrument, Source
from stream_infer.types import Split, Start
from stream_infer.work import BatchWork, WorkResult

_BUSY_WAIT_S = 0.001
"""Longest wait while batches are in flight and the gate is open."""
_HELD_WAIT_S = 0.05
"""Longest wait for a batch in flight while the gate is not open: nothing else could be done meanwhile."""
_IDLE_WAIT_S = 0.1
"""Longest wait for a record when there is nothing else to do; bounds the reaction to a signal."""
_MEMBERSHIP_INTERVAL_S = 0.2
"""How often the source is polled for nothing but the group membership while the gate is not open."""
_LAG_INTERVAL_S = 5.0
_LEAVE_TIMEOUT_S = 2.0
"""How long a process that has failed tries to say so in the group's offsets."""
_SCORE_TIMEOUTS_ALLOWED = 3
"""A batch whose model call was stopped this often ends the process: the model is stuck, not slow."""


@dataclass(slots=True)
class _Flight:
    """A dispatched batch; ``future`` is None while it waits to be tried again."""

    batch: Batch
    future: Future[WorkResult] | None
    retry: Retry
    failed_stage: str = ""

    @property
    def running(self) -> bool:
        return self.future is not None and not self.future.done()

    def touches(self, splits: Collection[Split]) -> bool:
        return any(split in splits for split in self.batch.records.splits)


class Pipeline:
    """One source, one sink, and the work between them. It is the source's listener.

    Args:
        source: where records come from.
        delivery: publishes and commits, by one guarantee or the other.
        work: what happens to a batch; may raise RetriableError or FatalError.
        executor: runs ``work``.
        settings: numbers.
        clock: the only clock read.
        instrument: told what happened.
        jitter: gives a number in 0..1 for the backoff of retries.
    """

    def __init__(
        self,
        source: Source,
        delivery: Delivery,
        work: BatchWork,
        executor: Executor,
        settings: Settings,
        clock: Clock,
        instrument: Instrument,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._work = work
        self._executor = executor
        self._settings = settings
        self._clock = clock
        self._instrument = instrument
        self._jitter = jitter
        self._batcher = settings.batcher()
        self._gate = FlowGate(settings.flow)
        self._flights: deque[_Flight] = deque()
        self._poll_retry = Retry(settings.backoff)
        self._opened = ExitStack()
        self._draining = False
        self._closed = False
        self._moved = False
        self._polled = 0
        self._last_poll = self._lag_due = float("-inf")

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Open the publisher, then join the group: nothing is polled before it can be published."""
        self._delivery.start()
        self._opened.callback(self._delivery.close)
        self._source.start(self)
        self._opened.callback(self._source.close)

    def run(self, stopping: Callable[[], bool]) -> str:
        """Step until ``stopping()`` or the run's own end, then drain.

        Returns:
            ``stopped``, ``finished``, or ``incomplete`` where the drain did not settle and commit everything.
        """
        try:
            while not (stopped := stopping()) and not self._finished():
                self.step()
            drained = self.drain()
        except Stuck:
            # Whoever reads on from here has to know that this was no orderly end.
            raise
        except FatalError:
            self._delivery.leave(Deadline.after(_LEAVE_TIMEOUT_S, self._now()), self._busy())
            raise
        if not drained:
            return "incomplete"
        return "stopped" if stopped else "finished"

    def step(self) -> None:
        """One turn of the line. Waits about `_IDLE_WAIT_S` at most, and somewhere if there is nothing to do."""
        self._moved = False
        self._admit()
        self._dispatch()
        self._mark()
        self._settle()
        self._commit()
        self._rest()

    def drain(self) -> bool:
        """Stop polling; settle what was polled and commit it within the drain timeout. True when all was."""
        deadline = Deadline.after(self._settings.drain_timeout_s, self._now())
        self._draining = True
        while self._open_records() and not self._delivery.must_rewind and not deadline.passed(self._now()):
            self.step()
        settled = not self._open_records()
        committed = self._delivery.finish(deadline, self._busy())
        if not (settled and committed):
            self._instrument.stage_timed_out("drain", self._settings.drain_timeout_s)
        return settled and committed

    def close(self) -> None:
        """Leave the group, then release the sink, as far as they were opened. Nothing more is committed."""
        self._closed = True
        self._opened.close()

    # ------------------------------------------------------------------ admit

    def _admit(self) -> None:
        now = self._now()
        self._instrument.ticked(now)
        if self._delivery.must_rewind and not self._draining:
            self._rewind()
        self._regulate(now)
        self._observe_lag(now)
        room = self._room()
        if not self._poll_retry.ready(now):
            return
        if room > 0:
            self._poll(room, self._nap(self._poll_wait(now)))
        elif now - self._last_poll >= _MEMBERSHIP_INTERVAL_S:
            self._poll(0, 0.0)

    def _room(self) -> int:
        if self._draining or self._ending():
            return 0
        room = min(self._gate.room(self._open_records()), self._batcher.missing())
        if self._settings.max_records is not None:
            room = min(room, self._settings.max_records - self._polled)
        return room

    def _poll_wait(self, now: float) -> float:
        if self._flights:
            return 0.0
        until_checkpoint = self._delivery.seconds_until_checkpoint(now)
        return min(_IDLE_WAIT_S, self._batcher.seconds_until_due(now), until_checkpoint)

    def _nap(self, wait_s: float) -> float:
        """Where a batch waits for more, sleep; gives the wait for a record that is left.

        A poll for each event that comes would cost more than is saved by scoring them together, and the client cannot
        wait for less than a millisecond.
        """
        if wait_s <= 0.0 or not len(self._batcher):
            return wait_s
        self._moved = True
        self._clock.sleep(min(wait_s, self._batcher.seconds_to_nap(self._now())))
        return 0.0

    def _poll(self, max_records: int, wait_s: float) -> None:
        try:
            records = self._source.poll(max_records, wait_s)
        except RetriableError as error:
            self._schedule(self._poll_retry, error)
            return
        self._last_poll = now = self._now()
        self._moved = self._moved or wait_s > 0
        if self._poll_retry.succeeded():
            self._instrument.retry_succeeded("poll")
        if records is not None and len(records):
            self._moved = True
            self._polled += len(records)
            self._delivery.offsets.received(records.first_offsets(), records.next_offsets())
            self._batcher.add(records, now)
            self._instrument.records_polled(len(records), records.nbytes)

    def _regulate(self, now: float) -> None:
        changed = self._gate.update(self._open_records(), self._open_bytes(), now)
        if changed is None:
            return
        if changed is GateState.PAUSED:
            self._source.pause()
        elif changed is GateState.OPEN:
            self._source.resume()
        self._instrument.gate_changed(changed.value)

    def _open_records(self) -> int:
        return len(self._batcher) + sum(len(flight.batch) for flight in self._flights)

    def _open_bytes(self) -> int:
        return self._batcher.nbytes + sum(flight.batch.records.nbytes for flight in self._flights)

    def _rewind(self) -> None:
        self._delivery.rewind()
        if self._delivery.must_rewind:
            return
        self._batcher.clear()
        self._polled = self._delivery.committed_records
        # What runs still holds its worker; its result is dropped when it comes, since nobody owns its splits.
        self._flights = deque(flight for flight in self._flights if flight.running)

    # ------------------------------------------------------------------ dispatch

    def _dispatch(self) -> None:
        while len(self._flights) < (1 if self._delivery.careful else self._settings.max_in_flight):
            idle = sum(flight.running for flight in self._flights) < self._settings.parallel
            drain = self._draining or self._ending()
            batch = self._batcher.take(self._now(), drain=drain, alone=self._delivery.alone(), idle=idle)
            if batch is None:
                return
            self._moved = True
            self._instrument.batch_dispatched(len(batch), batch.trigger.value, batch.waited_s)
            flight = _Flight(batch, None, Retry(self._settings.backoff))
            self._flights.append(flight)
            self._submit(flight)

    def _mark(self) -> None:
        """Commit what has to be committed before the next batch may be tried.

        Not while batches are settled: the commit may bring a revoke along, which settles them itself.
        """
        waiting = next((flight for flight in self._flights if flight.future is None), None)
        if waiting is None or not waiting.retry.ready(self._now()):
            return
        try:
            if self._delivery.mark(waiting.batch.records):
                self._moved = True
        except CommitFailed as error:
            self._retry_work(waiting, error)

    def _submit(self, flight: _Flight) -> None:
        """Begin the work on a batch, unless something has to be committed first and is not yet."""
        records = flight.batch.records
        if not self._delivery.may_try(records):
            return
        work = self._work.condemn if self._delivery.condemned(records) else self._work.score
        flight.future = self._executor.submit(work, records)

    # ------------------------------------------------------------------ settle

    def _settle(self) -> None:
        while self._flights and self._delivery.may_publish():
            head = self._flights[0]
            if head.running or head.touches(self._delivery.offsets.owned()):
                result = self._result(head)
                if result is None or not self._delivery.ready(len(head.batch)):
                    return
                self._publish(result)
            self._flights.popleft()
            self._moved = True

    def _publish(self, result: WorkResult) -> None:
        began_at = self._now()
        self._delivery.publish(result)
        work_s = result.decode_seconds + result.score_seconds + result.encode_seconds
        self._batcher.scored(len(result.batch.records), work_s + self._now() - began_at)

    def _result(self, flight: _Flight) -> WorkResult | None:
        """The flight's result; None while it is not there yet or has to be tried again."""
        if flight.future is None:
            if not flight.retry.ready(self._now()):
                return None
            self._submit(flight)
        future = flight.future
        if future is None:
            return None
        if not future.done():
            self._moved = True
            self._executor.wait(future, _BUSY_WAIT_S if self._gate.state is GateState.OPEN else _HELD_WAIT_S)
            if not future.done():
                return None
        try:
            result = future.result()
        except RetriableError as error:
            self._retry_work(flight, error)
            return None
        if flight.retry.succeeded():
            self._instrument.retry_succeeded(flight.failed_stage)
        return result

    def _retry_work(self, flight: _Flight, error: RetriableError) -> None:
        if isinstance(error, ScoreTimeout) and flight.retry.attempts + 1 >= _SCORE_TIMEOUTS_ALLOWED:
            raise Stuck(f"the model did not answer in {_SCORE_TIMEOUTS_ALLOWED} tries of one batch: {error}") from error
        flight.future, flight.failed_stage = None, error.stage
        self._schedule(flight.retry, error)

    def _schedule(self, retry: Retry, error: RetriableError) -> None:
        delay_s = retry.failed(self._now(), self._jitter())
        self._instrument.retry_scheduled(error.stage, retry.attempts, delay_s, str(error))
        give_up_if_exhausted(retry, self._now(), error)

    # ------------------------------------------------------------------ commit, rest

    def _commit(self) -> None:
        if self._delivery.advance(drained=not self._open_records()):
            self._moved = True

    def _rest(self) -> None:
        if not self._moved:
            self._clock.sleep(_BUSY_WAIT_S)

    # ------------------------------------------------------------------ rebalances (inside source.poll)

    def splits_assigned(self, starts: Mapping[Split, Start]) -> None:
        """Own these from now on. A source resumes what it is assigned, so the gate must not believe in a pause."""
        self._gate.unpaused(self._now())
        self._delivery.assigned(starts)
        self._instrument.splits_changed("assigned", list(starts))

    def splits_revoked(self, splits: Sequence[Split]) -> None:
        """Settle and commit what is in flight of these splits, under one deadline; drop the rest."""
        if self._closed:
            return
        leaving = set(splits)
        deadline = Deadline.after(self._settings.drain_timeout_s, self._now())
        self._batcher.drop(leaving)
        while self._must_wait_for(leaving) and not deadline.passed(self._now()):
            self._moved = False
            self._mark()
            self._settle()
            self._commit()
            self._rest()
        self._delivery.finish(deadline, self._busy(), leaving)
        self._forget(leaving, "revoked")

    def splits_lost(self, splits: Sequence[Split]) -> None:
        """Somebody else has them already: drop, never commit."""
        if self._closed:
            return
        leaving = set(splits)
        self._batcher.drop(leaving)
        self._forget(leaving, "lost")

    def records_lost(self, split: Split, count: int) -> None:
        """Nothing can be done about them but to say so."""
        self._instrument.records_lost(split, count)

    def _must_wait_for(self, splits: Collection[Split]) -> bool:
        return not self._delivery.must_rewind and any(flight.touches(splits) for flight in self._flights)

    def _busy(self) -> set[Split]:
        """Splits of which a batch is being worked on."""
        return {split for flight in self._flights if flight.running for split in flight.batch.records.splits}

    def _forget(self, splits: Collection[Split], kind: str) -> None:
        self._delivery.forget(splits)
        self._instrument.splits_changed(kind, list(splits))

    # ------------------------------------------------------------------ end, lag

    def _finished(self) -> bool:
        return self._ending() and not self._open_records() and not self._delivery.must_rewind

    def _ending(self) -> bool:
        if self._settings.max_records is not None and self._polled >= self._settings.max_records:
            return True
        return self._settings.until_caught_up and self._source.caught_up()

    def _observe_lag(self, now: float) -> None:
        if now < self._lag_due:
            return
        self._lag_due = now + _LAG_INTERVAL_S
        self._instrument.lag_observed(self._lags())
        self._instrument.buffered_changed(self._open_records(), self._open_bytes(), len(self._flights))
        if learned := self._batcher.learned():
            cost = learned.cost
            self._instrument.batching_learned(cost.fixed_s, cost.per_event_s, learned.wait_s)

    def _lags(self) -> Mapping[Split, tuple[int, float | None]]:
        positions = self._source.positions()
        next_offsets = {split: position.next_offset for split, position in positions.items()}
        next_offsets |= {split: self._delivery.offsets.next_offset(split) for split in self._delivery.offsets.owned()}
        held = [flight.batch.records for flight in self._flights]
        oldest = oldest_timestamps([*held, *self._batcher.waiting()])
        ends = {split: position.end_offset for split, position in positions.items()}
        known = {split: offset for split, offset in next_offsets.items() if offset >= 0}
        return lags(known, ends, oldest, self._clock.wall_ms())

    def _now(self) -> float:
        return self._clock.monotonic()


__all__ = ["Pipeline", "Settings"]

"""A Kafka consumer group as a `stream_infer.ports.Source`.

Rule: one thread owns the consumer, and the client decides nothing: where to start, what to commit and when to
go back is said here, explicitly, for each partition.

Theory of operation. The client calls back (rebalances, commit results) only from inside its own ``fetch``, so each
call to that may bring a message nobody asked for, or take partitions away; and inside a callback the client must not
be asked for messages again. Therefore

1. every message goes through one buffer (`stream_infer.kafka.intake`), and a revoked partition is taken out of it
   inside the callback, before its next owner starts;
2. a generation is given to a partition when it is assigned and when it is rewound, never in between;
3. a commit is confirmed by its offsets (`stream_infer.kafka.commits`), inside a callback by asking for them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicPartition

from stream_infer.clock import Clock, Deadline
from stream_infer.errors import CommitFailed, RetriableError, SourceUnavailable, StreamInferError
from stream_infer.kafka.assignment import LogBounds, OnDataLoss, OwnedPartition, StartMode, StartPolicy
from stream_infer.kafka.client import Report
from stream_infer.kafka.commits import CommitUnderWay, as_partitions
from stream_infer.kafka.errors import OFFSET_GONE, place, to_error, translated
from stream_infer.kafka.fetching import Fetching
from stream_infer.kafka.intake import Intake
from stream_infer.kafka.membership import check_membership
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.ownership import Ownership
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.records import Place
from stream_infer.kafka.watch import ConnectionWatch
from stream_infer.ports import SourceListener
from stream_infer.types import Commit, Records, Split

_LOGGER = logging.getLogger("stream_infer.kafka")

_MAX_CARRIED = 1000
"""Messages kept from polls that wanted none. Five polls a second reach it in minutes; then fetching pauses."""
_LOOKUP_TIMEOUT_S = 2.0
"""Bounds one look-up of committed offsets, in which nothing else happens. The open transaction of an owner that died
keeps the answer back for longer: then the question is put again."""
_PLACE_AGAIN_S = 4.0
"""Pause before that, in which the other partitions are read."""
_PROBE_TIMEOUT_S = 0.5
"""How long a poll asks for a sign of life while all brokers are down."""
_CLOSE_TIMEOUT_S = 4.0
"""How long leaving the group may take. If it does not end, the group waits for the session to run out."""
_SERVE_S = 0.002
"""Slice in which a synchronous commit waits for its answer: the client's poll goes on waiting when it has come."""
_COMMIT_LOOKUP_S = 0.5
"""How long the group is asked for its offsets inside a callback; several round trips to a distant cluster."""


@dataclass(frozen=True, slots=True)
class KafkaPosition:
    """Where reading stands on one partition; -1 where unknown."""

    next_offset: int
    end_offset: int


class KafkaSource:
    """Reads topics as a member of a consumer group.

    Args:
        properties: of `consumer_properties`.
        bounds: asked for the ends of the log (a `KafkaAdmin`).
        topics: what to subscribe to.
        start: where a partition without a committed offset starts.
        on_data_loss: what to do where a committed offset is gone.
        clock: gives ``received_ms`` and bounds waits.
    """

    def __init__(
        self,
        properties: Properties,
        bounds: LogBounds,
        *,
        topics: Sequence[str],
        start: StartMode,
        on_data_loss: OnDataLoss,
        clock: Clock,
    ) -> None:
        self._properties = properties
        self._topics = list(topics)
        self._clock = clock
        self._policy = StartPolicy(start, on_data_loss, bounds, _LOOKUP_TIMEOUT_S)
        self._watch = ConnectionWatch(str(properties["bootstrap.servers"]))
        self._owned = Ownership()
        self._unplaced: list[TopicPartition] = []
        self._place_again_at = 0.0
        self._gaps: set[Place] = set()
        self._commit = CommitUnderWay()
        self._failure: StreamInferError | None = None
        self._paused_by_caller = self._paused_by_carry = False
        self._closing = self._in_callback = False

    # ------------------------------------------------------------------ life

    def start(self, listener: SourceListener) -> None:
        """Join the group.

        Raises:
            FatalError: the client refuses its properties.
        """
        self._listener = listener
        with translated("joining the group"):
            self._consumer = NativeConsumer(self._properties, on_error=self._watch, on_commit=self._commit.answered)
            self._intake = Intake(self._consumer, self._owned, self._clock)
            self._fetching = Fetching(self._consumer, self._owned, self._properties)
            self._consumer.subscribe(
                self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )

    def close(self) -> None:
        """Leave the group, without committing anything. Where no broker answers, that is not waited for."""
        # The client revokes everything from inside close; polling there, as a commit would, never returns.
        self._closing = True
        # While a commit is still on its way the client's close waits for as long as a request may take.
        leaving = threading.Thread(target=self._consumer.close, name="leave-group", daemon=True)
        leaving.start()
        leaving.join(_CLOSE_TIMEOUT_S)
        if leaving.is_alive():
            _LOGGER.warning("the group was not left: no answer", extra={"waited_seconds": _CLOSE_TIMEOUT_S})

    # ------------------------------------------------------------------ read

    def poll(self, max_records: int, timeout_s: float) -> Records | None:
        """At most ``max_records`` records; see `stream_infer.ports.Source`.

        Raises:
            SourceUnavailable: all brokers are down, or a fetch fails for now.
            FatalError: DataLoss, NotAuthorized, TopicMissing, Fenced.
        """
        with translated("reading"):
            self._place_rest()
            self._bridge_gaps()
            self._intake.read_again(self._fetching)
            self._fill(max_records, timeout_s)
        self._raise_failure()
        records = self._intake.take(max_records)
        self._bound_carried()
        if records is None:
            self._check_connection()
        return records

    def pause(self) -> None:
        """Stop fetching; membership stays. What was fetched ahead is fetched again after `resume`."""
        self._paused_by_caller = True
        self._apply_pause()

    def resume(self) -> None:
        """Fetch again."""
        self._paused_by_caller = False
        self._apply_pause()

    def rewind(self, offsets: Mapping[Split, int]) -> Mapping[Split, Split]:
        """Go back to ``offsets`` under new generations; splits no longer owned are left out of the answer."""
        renamed = {}
        targets = []
        generation = self._owned.next_generation()
        for split, offset in offsets.items():
            partition = self._owned.restart(split, offset, generation)
            if partition is not None:
                renamed[split] = partition.split
                targets.append(partition.at(offset))
        self._intake.drop([(target.topic, target.partition) for target in targets])
        with translated("rewinding"):
            self._fetching.move(targets)
        return renamed

    def caught_up(self) -> bool:
        """True when every owned split has been read to the end that stood there when it was assigned."""
        if not self._intake.complete or self._unplaced or not self._owned:
            return False
        return all(offset >= partition.end_at_start for partition, offset in self._owned.next_offsets(self._consumer))

    def positions(self) -> Mapping[Split, KafkaPosition]:
        """What is cheaply known of each owned split, without asking the broker."""
        carried = self._intake.first_offsets()
        return {
            partition.split: KafkaPosition(carried.get(partition.place, offset), self._cached_end(partition))
            for partition, offset in self._owned.next_offsets(self._consumer)
        }

    # ------------------------------------------------------------------ commit

    def begin_commit(self, commits: Mapping[Split, Commit]) -> None:
        """Start committing next offsets. One that is still under way is no longer waited for.

        Raises:
            CommitFailed: it could not be sent.
            FatalError: it is refused for good.
        """
        self._commit.begin(self._consumer, as_partitions(commits))

    def commit_done(self) -> bool:
        """True when the commit under way has been acknowledged. Serves callbacks; does not wait.

        Raises:
            CommitFailed: it was refused for now.
            FatalError: it was refused for good.
        """
        if self._commit.waiting:
            self._await_commit(0.0)
        return self._commit.done()

    def commit_now(self, commits: Mapping[Split, Commit], deadline: Deadline) -> None:
        """Commit and wait. Also called from inside a revoke.

        Raises:
            CommitFailed: not acknowledged by ``deadline``.
            FatalError: it is refused for good.
        """
        if not commits:
            return
        self.begin_commit(commits)
        while not self._commit.done():
            if deadline.passed(self._clock.monotonic()):
                self._commit.forget()
                raise CommitFailed(f"committing offsets: no answer in time from {self._watch.address}")
            self._await_commit(min(_SERVE_S, deadline.remaining(self._clock.monotonic())))

    def committed(self, splits: Collection[Split]) -> Mapping[Split, int]:
        """What the group has for these splits, asked afresh; waits for transactions that are still open.

        Raises:
            SourceUnavailable: no answer in time.
            FatalError: NotAuthorized.
        """
        asked = self._owned.current(splits)
        if not asked:
            return {}
        places = [TopicPartition(split.source, split.partition) for split in asked]
        found = self._policy.committed(self._consumer, places)
        return {split: answer.offset for split, answer in zip(asked, found, strict=True) if answer.offset >= 0}

    def membership(self) -> bytes:
        """Who this process is in the group at this moment; see `stream_infer.ports.Source`.

        Raises:
            CommitFailed: it is no member.
            FatalError: the client's answer has a form that is not known here.
        """
        with translated("asking for the group membership", retriable=CommitFailed):
            membership = self._consumer.consumer_group_metadata()
        check_membership(membership, str(self._properties["group.id"]))
        return membership

    def _await_commit(self, wait_s: float) -> None:
        if not self._in_callback:
            self._serve(wait_s)
            return
        self._commit.look_up(self._consumer, max(wait_s, _COMMIT_LOOKUP_S))
        if self._commit.waiting:
            self._clock.sleep(wait_s)

    # ------------------------------------------------------------------ messages

    def _fill(self, max_records: int, timeout_s: float) -> None:
        """Have ``max_records`` records at hand, waiting for the first only."""
        missing = max_records - len(self._intake)
        if not self._intake:
            self._fetch(max(1, max_records), timeout_s)
        elif missing > 0:
            self._fetch(missing, 0.0)
        elif max_records == 0:
            self._serve(0.0)

    def _serve(self, wait_s: float) -> None:
        """Let the client call back; a message that comes along is carried."""
        self._fetch(1, wait_s)
        self._bound_carried()

    def _fetch(self, max_messages: int, wait_s: float) -> None:
        count, reports = self._intake.fetch(max_messages, wait_s)
        for report in reports:
            self._note(report)
        if count:
            self._watch.received()

    def _note(self, report: Report) -> None:
        """An error in the place of a message."""
        error, where = report.error, (report.topic, max(report.partition, 0))
        if error.code() in OFFSET_GONE:
            if where in self._owned:
                self._gaps.add(where)
        elif error.code() == KafkaError._MAX_POLL_EXCEEDED:
            # The client gives everything up and joins again by itself: on_lost and on_assign follow.
            _LOGGER.warning("the group was left: max.poll.interval.ms passed without a poll")
        else:
            group = f"as a member of group {self._properties['group.id']}"
            self._keep_failure(to_error(error, "reading", where=place(*where) if where[0] else group))

    def _keep_failure(self, error: StreamInferError) -> None:
        """Remember what to raise once the client's call is over; what is final outweighs what may pass."""
        if self._failure is None or isinstance(self._failure, RetriableError):
            self._failure = error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _bridge_gaps(self) -> None:
        for where in list(self._gaps):
            partition = self._owned[where]
            [(_, wanted)] = self._owned.next_offsets(self._consumer, [partition])
            partition.start_offset, lost = self._policy.after_gap(partition, wanted)
            self._fetching.move([partition.at(partition.start_offset)])
            self._gaps.discard(where)
            if lost:
                self._listener.records_lost(partition.split, lost)

    def _check_connection(self) -> None:
        """Called when nothing came. While all brokers are down, ask for a sign of life."""
        refusal = self._watch.refusal()
        if refusal is not None:
            raise refusal
        if not self._watch.down:
            return
        try:
            self._consumer.probe(self._topics[0], _PROBE_TIMEOUT_S)
        except KafkaException as error:
            self._watch.silent()
            raise SourceUnavailable(self._watch.reason()) from error
        self._watch.answered()

    def _bound_carried(self) -> None:
        """Stop fetching when too much is carried, and go on when all of it was handed out."""
        if len(self._intake) >= _MAX_CARRIED and not self._paused_by_carry:
            self._paused_by_carry = True
            self._apply_pause()
        elif not self._intake and self._paused_by_carry:
            self._paused_by_carry = False
            self._apply_pause()

    # ------------------------------------------------------------------ partitions

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        if self._closing:
            return
        self._watch.answered()
        with self._callback():
            try:
                placed = self._policy.place(self._consumer, partitions, self._owned.next_generation())
            except RetriableError as error:
                # Accept the assignment, or the group would wait for us; a later poll finds out where to read.
                self._fetching.add([TopicPartition(p.topic, p.partition, OFFSET_END) for p in partitions])
                self._consumer.pause(partitions)
                self._unplaced += partitions
                _LOGGER.warning(
                    "where to read new partitions was not known at once", extra=_told(partitions, reason=str(error))
                )
                self._not_placed(error)
            else:
                self._fetching.add([partition.at(partition.start_offset) for partition in placed])
                self._adopt(placed)

    def _place_rest(self) -> None:
        """Find the start of partitions that could not be placed when they were assigned."""
        if not self._unplaced or (self._owned and self._clock.monotonic() < self._place_again_at):
            return
        try:
            placed = self._policy.place(self._consumer, self._unplaced, self._owned.next_generation())
        except RetriableError as error:
            self._not_placed(error)
            return
        _LOGGER.info("where to read new partitions was found out", extra=_told(self._unplaced))
        self._fetching.move([partition.at(partition.start_offset) for partition in placed])
        self._unplaced = []
        self._adopt(placed)

    def _not_placed(self, error: RetriableError) -> None:
        """The caller hears of it where nothing can be read; otherwise it would back off from what can."""
        self._place_again_at = self._clock.monotonic() + _PLACE_AGAIN_S
        if not self._owned:
            self._keep_failure(error)

    def _adopt(self, placed: Sequence[OwnedPartition]) -> None:
        if not placed:
            return
        self._owned.add(placed)
        # A partition that was paused when it left comes back paused.
        self._paused_by_caller = self._paused_by_carry = False
        self._apply_pause()
        self._listener.splits_assigned({partition.split: partition.start for partition in placed})

    def _on_revoke(self, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, self._listener.splits_revoked)

    def _on_lost(self, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, self._listener.splits_lost)

    def _give_up(self, partitions: Sequence[TopicPartition], tell: Callable[[Sequence[Split]], None]) -> None:
        if self._closing:
            return
        places = [(partition.topic, partition.partition) for partition in partitions]
        with self._callback():
            tell(self._owned.splits(places))
        self._owned.remove(places)
        self._gaps.difference_update(places)
        self._unplaced = [p for p in self._unplaced if (p.topic, p.partition) not in places]
        self._intake.drop(places)

    @contextlib.contextmanager
    def _callback(self) -> Iterator[None]:
        """The block runs inside the client's poll, and must not poll it."""
        self._in_callback = True
        try:
            yield
        finally:
            self._in_callback = False

    def _apply_pause(self) -> None:
        with translated("pausing"):
            if self._paused_by_caller or self._paused_by_carry:
                self._consumer.pause(self._owned.anywhere())
            else:
                self._consumer.resume(self._owned.anywhere())

    def _cached_end(self, partition: OwnedPartition) -> int:
        return max(self._consumer.cached_end(*partition.place), partition.end_at_start)


def _told(partitions: Sequence[TopicPartition], **more: str) -> dict[str, object]:
    return {"partitions": [f"{partition.topic}-{partition.partition}" for partition in partitions], **more}


__all__ = ["KafkaPosition", "KafkaSource"]

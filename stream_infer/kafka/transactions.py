"""A transactional Kafka producer as a `stream_infer.ports.TransactionalSink`.

Rule: after a failure nothing is assumed. A transaction counts as committed only where the broker has said so;
otherwise it is ended by `abort`, and whoever published it asks the group what is committed.

Theory of operation. The client's calls block for as long as a broker takes, so a commit is a job for a thread of its
own, `transaction`; the owner's thread asks now and then how it ended. The two never use the producer for a
transactional call at the same time: while a job runs, nothing is published, begun or aborted.

An error of the client has three flags, and they say what to do, never its code:

    retriable            the same call again, until the deadline
    txn_requires_abort   abort; the producer lives on
    fatal, or none       the producer is past saving: a new one takes its name

A new producer of the same name ends by its start (``init_transactions``) what the old one left open: the broker aborts
it, or brings to its end a commit that had begun. That is also the way out when a commit got no answer, because such
a transaction can neither be aborted nor repeated. An old request that still arrives is refused by its epoch.

Fencing. A producer is also past saving when its transaction was open for longer than ``transaction.timeout.ms``, or
when another one has taken its name. These look alike. So a fenced producer takes its name back, once; a second time
within a minute means that another instance really has it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from stream_infer.clock import Clock, Deadline
from stream_infer.errors import FatalError, Fenced, NotAuthorized, RetriableError, SinkUnavailable, StreamInferError
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.commits import as_partitions
from stream_infer.kafka.errors import describe, from_exception, is_refusal
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.publisher import Outputs, Publisher
from stream_infer.kafka.sink import require_topics
from stream_infer.types import Commit, ScoredBatch, Split, Status

_LOGGER = logging.getLogger("stream_infer.kafka")

_CALL_S = 1.0
"""Longest single call of the client; the same call again finds out how the one before went on."""
_RETRY_S = 0.02
_INIT_TIMEOUT_S = 30.0
"""At the start, and when the sink had to be connected anew. A coordinator that is loading takes seconds."""
_CLOSE_TIMEOUT_S = 1.5
_FENCED_TWICE_S = 60.0

_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
_GROUP_MOVED_ON = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)


class TransactionalKafkaSink:
    """Publishes in transactions that also hold the consumer's offsets.

    Args:
        properties: of `producer_properties` with a transaction.
        admin: asked whether the topics exist.
        outputs: where things go.
        stable_name: the transactional id is the name of an instance, which another process may have by mistake.
        commit_timeout_s: seconds after which a commit without an answer has failed.
        clock: for ``failed_at``, and to bound waits.
    """

    def __init__(
        self,
        properties: Properties,
        admin: KafkaAdmin,
        *,
        outputs: Outputs,
        stable_name: bool,
        commit_timeout_s: float,
        clock: Clock,
    ) -> None:
        self._admin = admin
        self._outputs = outputs
        self._stable_name = stable_name
        self._commit_timeout_s = commit_timeout_s
        self._clock = clock
        self._transactional_id = str(properties["transactional.id"])
        self._publisher = Publisher(properties, outputs, clock)
        self._producer: Producer | None = None
        self._open = False
        self._job: Future[None] | None = None
        self._fenced_at = float("-inf")
        self._thread = _Worker("transaction")

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Connect, see that every topic exists, and end what an earlier producer of this name left open.

        Raises:
            SinkUnavailable: no answer.
            FatalError: TopicMissing, NotAuthorized, or the client refuses its properties.
        """
        require_topics(self._admin, self._outputs)
        self._thread.start()
        self._connect(Deadline.after(_INIT_TIMEOUT_S, self._clock.monotonic()))

    def close(self) -> None:
        """Release the connection; an open transaction is aborted if that is quickly done."""
        deadline = Deadline.after(_CLOSE_TIMEOUT_S, self._clock.monotonic())
        try:
            if self._open and self._job_ended(deadline) and self._producer is not None:
                self._call(self._producer.abort_transaction, deadline)
        except (KafkaException, SinkUnavailable) as error:
            # Its timeout will end it: readers wait until then.
            _LOGGER.warning("an open transaction was left to its timeout: %s", _words(error))
        self._thread.stop()
        # Not Producer.close(): that flushes, for as long as it takes. The connection goes with the object.
        self._producer = None

    def _connect(self, deadline: Deadline) -> None:
        """A new producer under the old name, ready for a transaction."""
        self._producer = None
        producer = self._publisher.connect()
        try:
            self._call(producer.init_transactions, deadline)
        except KafkaException as exception:
            raise self._named(exception.args[0], "opening a transactional producer", exception) from exception
        self._producer = producer
        self._open = False
        self._publisher.take_failure()

    # ------------------------------------------------------------------ publish

    def room(self) -> int:
        """How many more events it takes now. Serves delivery reports."""
        if self._producer is None or self._job is not None:
            return 0
        return self._publisher.room()

    def publish(self, batch: ScoredBatch) -> list[tuple[int, Status]]:
        """Add every payload and every reject to the transaction; see `stream_infer.ports.Publisher`.

        Raises:
            FatalError: a topic is gone or closed to us, or a dead letter is too large even for the client.
        """
        self._begin()
        return self._publisher.publish(batch)

    def _begin(self) -> None:
        assert self._job is None, "nothing is published while a transaction is being committed"
        if self._open:
            return
        assert self._producer is not None, "a failed transaction is aborted first"
        try:
            self._producer.begin_transaction()
        except KafkaException as exception:
            # The client refuses what it knows to be past saving; the commit will hear the same and be aborted.
            _LOGGER.warning("a transaction could not begin: %s", describe(exception.args[0]))
        self._open = True

    # ------------------------------------------------------------------ commit

    def begin_commit(self, commits: Mapping[Split, Commit], membership: bytes) -> None:
        """Start committing what was published and ``commits`` with it. Never blocks."""
        self._begin()
        producer = self._producer
        assert producer is not None, "a transaction is open"
        deadline = Deadline.after(self._commit_timeout_s, self._clock.monotonic())
        partitions = as_partitions(commits)
        self._job = self._thread.submit(lambda: self._commit(producer, partitions, membership, deadline))

    def _commit(
        self, producer: Producer, partitions: list[TopicPartition], membership: bytes, deadline: Deadline
    ) -> None:
        """On the thread `transaction`. Raises KafkaException or SinkUnavailable."""
        self._call(lambda timeout_s: producer.send_offsets_to_transaction(partitions, membership, timeout_s), deadline)
        self._call(producer.commit_transaction, deadline)

    def commit_done(self, wait_s: float = 0.0) -> bool:
        """Wait up to ``wait_s`` seconds; True when the transaction is committed, False while it is under way.

        Raises:
            SinkUnavailable: it was not, or nobody knows.
            FatalError: as SinkUnavailable, and it will not get better.
        """
        assert self._job is not None, "begin_commit comes first"
        try:
            self._job.result(wait_s)
        except NotDone:
            if not self._job.done():
                return False
            raise
        except KafkaException as exception:
            self._job = None
            raise self._not_committed(exception) from exception
        except SinkUnavailable:
            self._job = None
            raise self._publisher.take_failure() or SinkUnavailable(
                f"committing a transaction: no answer within {self._commit_timeout_s:g} s from "
                f"{self._publisher.watch.address}"
            ) from None
        self._job = None
        self._open = False
        self._publisher.watch.answered()
        self._publisher.take_failure()
        return True

    def _not_committed(self, exception: KafkaException) -> StreamInferError:
        """Why a transaction cannot be committed: the failed delivery says more than the commit that it spoils."""
        error: KafkaError = exception.args[0]
        failure = self._publisher.take_failure()
        if isinstance(failure, FatalError):
            return failure
        if error.code() in _GROUP_MOVED_ON:
            return SinkUnavailable(f"committing a transaction failed: the group has moved on ({error.name()})")
        if failure is not None:
            return failure
        if is_refusal(error):
            return from_exception(exception, "committing a transaction", retriable=SinkUnavailable)
        return SinkUnavailable(f"committing a transaction failed: {describe(error)}")

    # ------------------------------------------------------------------ abort

    def abort(self, deadline: Deadline) -> None:
        """End the open transaction so that nothing of it is seen. Waits to ``deadline``.

        Raises:
            SinkUnavailable: not possible now; call it again before publishing.
            FatalError: Fenced, NotAuthorized.
        """
        if not self._job_ended(deadline):
            raise SinkUnavailable("aborting a transaction: its commit is still under way")
        if self._producer is not None and self._open:
            self._abort(self._producer, deadline)
        if self._producer is None:
            self._connect(deadline)
        self._open = False
        self._publisher.take_failure()

    def _abort(self, producer: Producer, deadline: Deadline) -> None:
        try:
            self._call(producer.abort_transaction, deadline)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            self._producer = None
            self._note_fenced(error)
            _LOGGER.warning("the transactional producer was replaced: %s", describe(error))

    def _note_fenced(self, error: KafkaError) -> None:
        if error.code() not in _FENCED:
            return
        now = self._clock.monotonic()
        if self._stable_name and now - self._fenced_at < _FENCED_TWICE_S:
            raise Fenced(
                f"another instance runs under the name {self._transactional_id} (the transactional.id made of name, "
                f"source.group_id and instance), and the two shut each other out; give every replica its own instance"
            )
        self._fenced_at = now

    def _job_ended(self, deadline: Deadline) -> bool:
        """Wait for a commit that nobody asks about any more."""
        if self._job is None:
            return True
        try:
            self._job.result(deadline.remaining(self._clock.monotonic()))
        except NotDone:
            return False
        except (KafkaException, SinkUnavailable):
            self._job = None
            return True
        # It was committed after all: there is nothing left to abort.
        self._job, self._open = None, False
        return True

    # ------------------------------------------------------------------ calls

    def _call(self, call: Callable[[float], object], deadline: Deadline) -> None:
        """Make a call of the client again and again while it says retriable.

        Raises:
            KafkaException: it failed for another reason.
            SinkUnavailable: the deadline passed.
        """
        while True:
            remaining_s = deadline.remaining(self._clock.monotonic())
            try:
                call(max(0.001, min(_CALL_S, remaining_s)))
            except KafkaException as exception:
                error: KafkaError = exception.args[0]
                if not error.retriable() or error.fatal() or error.txn_requires_abort():
                    raise
                if deadline.passed(self._clock.monotonic()):
                    address = self._publisher.watch.address
                    raise SinkUnavailable(f"no answer from {address} in time: {describe(error)}") from exception
                self._clock.sleep(_RETRY_S)
            else:
                return

    def _named(self, error: KafkaError, doing: str, exception: KafkaException) -> StreamInferError:
        self._note_fenced(error)
        named = from_exception(exception, doing, retriable=SinkUnavailable)
        if isinstance(named, NotAuthorized | RetriableError):
            return named
        return SinkUnavailable(f"{doing} failed: {describe(error)}")


class _Worker:
    """One daemon thread that runs one job after the other. A call that never returns must not keep the process."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the job that runs."""
        self._jobs.put(None)

    def submit(self, job: Callable[[], None]) -> Future[None]:
        future: Future[None] = Future()
        self._jobs.put(lambda: _fulfil(future, job))
        return future

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _fulfil(future: Future[None], job: Callable[[], None]) -> None:
    try:
        job()
    except Exception as error:  # not swallowed: whoever asks for the result meets it
        future.set_exception(error)
    else:
        future.set_result(None)


def _words(error: KafkaException | SinkUnavailable) -> str:
    return describe(error.args[0]) if isinstance(error, KafkaException) else str(error)


__all__ = ["TransactionalKafkaSink"]

"""A transactional Kafka producer as a `stream_infer.ports.TransactionalSink`.

Rule: after a failure nothing is assumed. A transaction counts as committed only where the broker has said so;
otherwise it is ended by `abort`, and whoever published it asks the group what is committed.

Theory of operation. The client's calls block for as long as a broker takes, so a commit is carried out by a thread of
its own, `transaction`; the owner's thread asks now and then how it ended. While it is under way nothing is published,
begun or aborted, so the two never use the producer at the same time.

    IDLE --publish--> OPEN --begin_commit--> COMMITTING --committed--> IDLE
                        |                        |
                        +------ a failure -------+--> FAILED --abort_transaction--> IDLE
                                                 |      |
                                                 +------+-> LOST --a new producer--> NEW --init_transactions--> IDLE

An error of the client has three flags, and they say what to do:

    retriable            the same call again, until the deadline
    txn_requires_abort   abort; the producer lives on, unless the error is that no answer came
    fatal, or none       the producer is past saving: a new one takes its name

A new producer of the same name ends with its start (``init_transactions``) what the old one left open: the broker
aborts it, or brings to its end a commit that had begun; requests of the old one that are still on their way are
refused by their epoch. That is also the way out where a call got no answer: a commit that may have begun can neither be
aborted nor repeated, and offsets that are still on their way could arrive in the next transaction of the same epoch.

Fencing. A producer is shut out when its transaction was open for longer than ``transaction.timeout.ms``, or when
another one has taken its name: a rival, or a predecessor that was thought dead. So it takes its name back, once. A
second time within a minute, with no transaction that was too old, it is a rival.
"""

from __future__ import annotations

import enum
import logging
import queue
import threading
from collections.abc import Mapping

from confluent_kafka import KafkaError

from stream_infer.clock import Clock, Deadline
from stream_infer.errors import FatalError, Fenced, SinkUnavailable, StreamInferError
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.commits import as_partitions
from stream_infer.kafka.errors import CLIENT_EXCEPTIONS, client_error, describe, is_refusal, is_transient, to_error
from stream_infer.kafka.fencing import FENCED, Fencing
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.publisher import Outputs, Publisher
from stream_infer.kafka.sink import require_topics
from stream_infer.kafka.transaction_commit import TransactionCommit, carry_out_all, insist
from stream_infer.types import Commit, ScoredBatch, Split, Status

_LOGGER = logging.getLogger("stream_infer.kafka")

_START_TIMEOUT_S = 30.0
"""The first transaction of a new cluster waits for a topic to be created; a coordinator that loads takes seconds."""
_CLOSE_TIMEOUT_S = 1.5
_LATE_REPORT_S = 0.05
"""The client's threads set a transaction's error first, and queue the report of the delivery that caused it then."""
_GROUP_MOVED_ON = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
_COMMITTING = "committing a transaction"
_ABORTING = "aborting a transaction"
_MOST_HUNG = 20
"""Clients left behind in a hanging call before the process ends. Each costs some megabytes and threads."""


class _State(enum.Enum):
    """Where the producer and its transaction stand; see the drawing above."""

    NEW = enum.auto()
    IDLE = enum.auto()
    OPEN = enum.auto()
    COMMITTING = enum.auto()
    FAILED = enum.auto()
    LOST = enum.auto()
    SHUT_OUT = enum.auto()
    """A rival has the name, and nothing of ours is open any more. For good."""


class TransactionalKafkaSink:
    """Publishes in transactions that also hold the consumer's offsets.

    Args:
        properties: of `producer_properties` with a transaction.
        admin: asked whether the topics exist.
        outputs: where things go.
        stable_name: the transactional id is the name of an instance, which another process may have by mistake.
        commit_timeout_s: seconds after which a commit without an answer has failed.
        clock: for ``failed_at``, and to bound waits. Read on both threads.
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
        self._commit_timeout_s = commit_timeout_s
        self._clock = clock
        self._transactional_id = str(properties["transactional.id"])
        self._publisher = Publisher(properties, outputs, clock)
        self._fencing = Fencing(stable_name, int(properties["transaction.timeout.ms"]) / 1000)
        self._state = _State.LOST
        self._failed_by: KafkaError | None = None
        self._topics_in_doubt = False
        self._commit: TransactionCommit | None = None
        self._hung: list[threading.Event] = []
        self._commits: queue.SimpleQueue[TransactionCommit | None] = queue.SimpleQueue()

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Connect, see that every topic exists, and end what an earlier producer of this name left open.

        Raises:
            SinkUnavailable: no answer.
            FatalError: TopicMissing, NotAuthorized, or the client or the broker refuses the properties.
        """
        require_topics(self._admin, self._outputs)
        self._publisher.connect()
        self._state = _State.NEW
        self._initialize(self._after(_START_TIMEOUT_S))
        self._start_thread()

    def close(self) -> None:
        """Release the connection; an open transaction is aborted if that is quickly done."""
        deadline = self._after(_CLOSE_TIMEOUT_S)
        try:
            self._end_commit(deadline)
            if self._state in (_State.OPEN, _State.FAILED):
                self._abort(deadline)
        except (SinkUnavailable, FatalError) as error:
            _LOGGER.warning(
                "an open transaction was left to its timeout, until when readers wait", extra={"reason": str(error)}
            )
        self._commits.put(None)
        self._publisher.disconnect()

    def _initialize(self, deadline: Deadline) -> None:
        error = insist(self._publisher.producer.init_transactions, deadline, self._clock, stop=self._is_refused)
        if error is None:
            self._state = _State.IDLE
            self._publisher.watch.answered()
            return
        if not error.retriable():
            self._lose(error)
        raise self._not_initialized(error)

    def _is_refused(self) -> bool:
        """True where the credentials were refused, which the call itself does not say."""
        self._publisher.serve()
        return self._publisher.watch.refusal() is not None

    def _not_initialized(self, error: KafkaError) -> StreamInferError:
        doing, where = "opening a transactional producer", f"with transactional.id {self._transactional_id}"
        if error.code() in FENCED:
            return SinkUnavailable(f"{doing} {where} failed: {describe(error)}")
        if error.code() == KafkaError.INVALID_TRANSACTION_TIMEOUT:
            return FatalError(
                f"{doing} {where} failed: lower delivery.transaction_timeout_ms, or raise the broker's "
                f"transaction.max.timeout.ms above it"
            )
        return self._publisher.watch.refusal() or to_error(error, doing, where=where, retriable=SinkUnavailable)

    # ------------------------------------------------------------------ publish

    def room(self) -> int:
        """How many more events it takes now. Serves delivery reports."""
        if self._state not in (_State.IDLE, _State.OPEN):
            return 0
        room = self._publisher.room()
        # What cannot be committed any more need not grow.
        return 0 if self._publisher.failed else room

    def publish(self, batch: ScoredBatch) -> list[tuple[int, Status]]:
        """Add every payload and every reject to the transaction; see `stream_infer.ports.Publisher`.

        Where the transaction cannot begin, or has failed, nothing is sent, and `commit_done` will say so.

        Raises:
            FatalError: a topic is gone or closed to us, or a dead letter is too large even for the client.
        """
        return self._publisher.publish(batch) if self._begin() else []

    def _begin(self) -> bool:
        assert self._state is not _State.COMMITTING, "nothing is published while a transaction is being committed"
        if self._state is _State.IDLE:
            self._fencing.transaction_began(self._clock.monotonic())
            try:
                self._publisher.producer.begin_transaction()
            except CLIENT_EXCEPTIONS as exception:
                self._failed(client_error(exception))
            else:
                self._state = _State.OPEN
        return self._state is _State.OPEN

    # ------------------------------------------------------------------ commit

    def begin_commit(self, commits: Mapping[Split, Commit], membership: bytes) -> None:
        """Start committing what was published and ``commits`` with it. Never blocks."""
        may_commit = self._begin()
        deadline = self._after(self._commit_timeout_s)
        self._commit = TransactionCommit(
            self._publisher.producer, as_partitions(commits), membership, deadline, self._clock
        )
        if may_commit:
            self._state = _State.COMMITTING
            self._commits.put(self._commit)
        else:
            self._commit.fail(self._failed_by)

    def commit_done(self, wait_s: float = 0.0) -> bool:
        """Wait up to ``wait_s`` seconds; True when the transaction is committed, False while it is under way.

        Raises:
            SinkUnavailable: it was not, or nobody knows.
            FatalError: as SinkUnavailable, and it will not get better.
        """
        commit = self._commit
        assert commit is not None, "begin_commit comes first"
        if not commit.ended.wait(wait_s):
            self._check_hung(commit)
            return False
        self._conclude(commit)
        if commit.committed:
            return True
        raise self._not_committed(commit.error)

    def _check_hung(self, commit: TransactionCommit) -> None:
        """Give up a call of the client that does not come back, with its thread and its producer.

        Sending offsets waits for the group's coordinator without a timeout, and forever where the client has dropped
        that broker meanwhile (librdkafka issues 5456 and 5511). The defaults in `stream_infer.kafka.properties` keep
        it from dropping any but those that left the cluster.

        Raises:
            SinkUnavailable: it was given up.
            FatalError: it was one too many. Each keeps a client's threads and memory.
        """
        if self._clock.monotonic() < commit.hung_at:
            return
        self._commit = None
        self._lose(None)
        self._publisher.leave_behind()
        # Some are only late: a request that was sent just before the deadline has its own timeout.
        self._hung = [ended for ended in (*self._hung, commit.ended) if not ended.is_set()]
        if len(self._hung) > _MOST_HUNG:
            raise FatalError(f"{_COMMITTING}: {len(self._hung)} calls of the Kafka client never came back")
        # The thread ends, and lets go of the producer, if its call comes back after all.
        self._commits.put(None)
        self._start_thread()
        raise SinkUnavailable(f"{_COMMITTING}: the Kafka client does not come back, and gets a successor")

    def _start_thread(self) -> None:
        # A daemon: a call that hangs must not keep the process from ending.
        self._commits = queue.SimpleQueue()
        threading.Thread(target=carry_out_all, args=(self._commits,), name="transaction", daemon=True).start()

    def _conclude(self, commit: TransactionCommit) -> None:
        self._commit = None
        if commit.committed:
            self._state = _State.IDLE
            self._publisher.watch.answered()
        else:
            self._topics_in_doubt = commit.error is None or commit.error.code() not in _GROUP_MOVED_ON
            self._failed(commit.error)

    def _not_committed(self, error: KafkaError | None) -> StreamInferError:
        """Why a transaction cannot be committed: the failed delivery says more than the commit that it spoils."""
        failure = self._failed_delivery(error)
        if isinstance(failure, FatalError) or error is None:
            return failure or SinkUnavailable(f"{_COMMITTING} failed")
        if is_refusal(error):
            return to_error(error, _COMMITTING, retriable=SinkUnavailable)
        if error.code() in _GROUP_MOVED_ON:
            return SinkUnavailable(f"{_COMMITTING} failed: the group moved on without this member ({error.name()})")
        if error.retriable():
            address = self._publisher.watch.address
            return failure or SinkUnavailable(f"{_COMMITTING}: no answer in time from {address} ({error.name()})")
        return failure or SinkUnavailable(f"{_COMMITTING} failed: {describe(error)}")

    def _failed_delivery(self, error: KafkaError | None) -> StreamInferError | None:
        """The delivery that spoilt the transaction, which the client may tell of after the transaction's own error."""
        spoilt = error is not None and error.txn_requires_abort() and error.code() not in _GROUP_MOVED_ON
        if spoilt and not self._publisher.failed:
            self._publisher.serve(_LATE_REPORT_S)
        return self._publisher.take_failure()

    # ------------------------------------------------------------------ abort

    def abort(self, deadline: Deadline) -> None:
        """End the open transaction so that nothing of it is seen. Waits to ``deadline``.

        A commit that is under way is given up; it may happen all the same.

        Raises:
            SinkUnavailable: not possible now; call it again before publishing.
            FatalError: Fenced, NotAuthorized, TopicMissing.
        """
        self._end_commit(deadline)
        if self._state in (_State.OPEN, _State.FAILED):
            self._abort(deadline)
        if self._state is _State.LOST:
            self._replace()
        if self._state is _State.NEW:
            self._initialize(deadline)
        self._publisher.take_failure()
        self._check_topics()

    def _check_topics(self) -> None:
        """A topic that was deleted is to the client not known everywhere yet: it waits, and says nothing."""
        in_doubt, self._topics_in_doubt = self._topics_in_doubt, False
        if in_doubt:
            require_topics(self._admin, self._outputs)

    def _end_commit(self, deadline: Deadline) -> None:
        """Wait for a commit that nobody asks about any more."""
        commit = self._commit
        if commit is None:
            return
        commit.given_up.set()
        if not commit.ended.wait(deadline.remaining(self._clock.monotonic())):
            self._check_hung(commit)
            raise SinkUnavailable(f"{_ABORTING}: its commit is still under way")
        self._conclude(commit)

    def _abort(self, deadline: Deadline) -> None:
        error = insist(self._publisher.producer.abort_transaction, deadline, self._clock)
        if error is None:
            self._state = _State.IDLE
        elif error.retriable():
            self._state = _State.FAILED
            raise SinkUnavailable(f"{_ABORTING}: no answer in time from {self._publisher.watch.address}")
        else:
            self._lose(error)

    def _failed(self, error: KafkaError | None) -> None:
        if error is not None and error.txn_requires_abort() and not _is_silence(error):
            self._state, self._failed_by = _State.FAILED, error
        else:
            self._lose(error)

    def _lose(self, error: KafkaError | None) -> None:
        self._state, self._failed_by = _State.LOST, error

    def _replace(self) -> None:
        """A new producer under the old name."""
        error = self._failed_by
        if error is not None and error.code() in FENCED and self._fencing.by_a_rival(self._clock.monotonic()):
            self._state = _State.SHUT_OUT
            raise Fenced(
                f"another process publishes as transactional.id {self._transactional_id}, and the two shut each other "
                f"out; the id is made of name, source.group_id and instance: give every replica its own instance"
            )
        _LOGGER.warning(
            "the transactional producer was replaced",
            extra={"reason": "no answer" if error is None else describe(error)},
        )
        self._publisher.connect()
        self._state = _State.NEW

    def _after(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, self._clock.monotonic())


def _is_silence(error: KafkaError) -> bool:
    """True where offsets may still be on their way: they would fall into the next transaction of the same producer."""
    return is_transient(error) and error.code() not in _GROUP_MOVED_ON


__all__ = ["TransactionalKafkaSink"]

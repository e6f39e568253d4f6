"""A transactional client that answers as a script says, and the sink over it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from stream_infer.clock import Deadline
from stream_infer.errors import TopicMissing
from stream_infer.kafka.client import OnFailed, Outgoing
from stream_infer.kafka.dead_letters import ClientHeaders
from stream_infer.kafka.properties import Transaction, producer_properties
from stream_infer.kafka.publisher import Outputs
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.testing import FakeClock, FakeWork, records
from stream_infer.types import Commit, Int64Array, Split

BATCH = FakeWork().score(records([b"one", b"bad", b"two"])).batch
COMMITS = {Split("payments", 0, 1): Commit(3, "running")}
AGAIN = KafkaError(KafkaError._TIMED_OUT, retriable=True)


class Cluster:
    """What the clients are answered, and what they asked. ``script["commit"]`` holds errors for the next commits."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.script: dict[str, deque[KafkaError]] = defaultdict(deque)
        self.calls: list[str] = []
        self.producers: list[Client] = []
        self.topics_exist = True

    def require_topics(self, names: list[str]) -> None:
        """As the admin does."""
        self.calls.append("topics")
        if not self.topics_exist:
            raise TopicMissing(f"topics do not exist: {names}")

    def answer(self, call: str, timeout_s: float = 0.0) -> None:
        self.calls.append(call)
        if self.script[call]:
            error = self.script[call].popleft()
            if error.retriable():
                self.clock.sleep(timeout_s)
            raise KafkaException(error)


class Client:
    """A producer of the `Cluster`."""

    def __init__(self, cluster: Cluster, failed: OnFailed) -> None:
        self._cluster = cluster
        self._failed = failed
        self.sent: list[bytes | None] = []
        self.late: list[KafkaError] = []
        """Deliveries that have failed, and are told of by a poll that waits."""
        self.init_transactions = lambda timeout_s: cluster.answer("init", timeout_s)
        self.begin_transaction = lambda: cluster.answer("begin")
        self.send_offsets_to_transaction: Callable[..., object] = lambda *arguments: cluster.answer(
            "offsets", arguments[-1]
        )
        self.commit_transaction = lambda timeout_s: cluster.answer("commit", timeout_s)
        self.abort_transaction = lambda timeout_s: cluster.answer("abort", timeout_s)

    def __len__(self) -> int:
        return 0

    def poll(self, timeout_s: float) -> None:
        if self._cluster.script["poll"]:
            raise KafkaException(self._cluster.script["poll"].popleft())
        while timeout_s and self.late:
            self.fail(self.late.pop())

    def fail(self, error: KafkaError) -> None:
        """A message to partition 2 of the output is not delivered."""
        self._failed(error, "scored", 2)

    def flush(self, timeout_s: float) -> int:
        self.poll(timeout_s)
        return 0

    def purge(self) -> None:
        self._cluster.calls.append("purge")

    def produce(
        self, topic: str, outgoing: Outgoing, rows: Int64Array, headers: ClientHeaders | None = None
    ) -> tuple[int, KafkaError | None]:
        if self._cluster.script["produce"]:
            return 0, self._cluster.script["produce"].popleft()
        self.sent += [outgoing.values[row] for row in rows.tolist()]
        return len(rows), None


def new_sink(cluster: Cluster, *, stable: bool = True) -> TransactionalKafkaSink:
    transaction = Transaction("svc-group-0", 15_000)
    admin: Any = cluster
    return TransactionalKafkaSink(
        producer_properties("127.0.0.1:9", {}, client_id="svc", publish_timeout_s=30, transaction=transaction),
        admin,
        outputs=Outputs("scored", "dead", "group"),
        stable_name=stable,
        commit_timeout_s=30,
        clock=cluster.clock,
    )


def soon(cluster: Cluster, seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds, cluster.clock.monotonic())


def commit(sink: TransactionalKafkaSink) -> None:
    sink.begin_commit(COMMITS, b"member")
    assert sink.commit_done(10.0)

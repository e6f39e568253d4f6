"""A transactional client that answers as a script says, and the sink over it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from stream_infer.clock import Deadline
from stream_infer.errors import TopicMissing
from stream_infer.kafka.properties import Transaction, producer_properties
from stream_infer.kafka.publisher import Outputs
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.testing import FakeClock, FakeWork, records
from stream_infer.types import Commit, Split

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

    def __init__(self, cluster: Cluster, settings: dict[str, Any]) -> None:
        self._cluster = cluster
        self.failed: Callable[[KafkaError, Any], None] = settings["on_delivery"]
        self.sent: list[bytes] = []
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

    def purge(self, **_what: Any) -> None:
        self._cluster.calls.append("purge")

    def produce(self, topic: str, value: bytes, *rest: Any, **more: Any) -> None:
        if self._cluster.script["produce"]:
            raise KafkaException(self._cluster.script["produce"].popleft())
        self.sent.append(value)


class Message:
    def topic(self) -> str:
        return "scored"

    def partition(self) -> int:
        return 2


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

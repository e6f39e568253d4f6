"""The transactional sink against a scripted client: which call follows which answer."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_infer.clock import Deadline
from stream_infer.errors import FatalError, Fenced, NotAuthorized, SinkUnavailable, TopicMissing
from stream_infer.kafka import publisher as publisher_module
from stream_infer.kafka.properties import Transaction, producer_properties
from stream_infer.kafka.publisher import Outputs
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.testing import FakeClock, FakeWork, records
from stream_infer.types import Commit, Split

BATCH = FakeWork().score(records([b"one", b"bad", b"two"])).batch
COMMITS = {Split("payments", 0, 1): Commit(3, "running")}
AGAIN = KafkaError(KafkaError._TIMED_OUT, retriable=True)
FENCED = KafkaError(KafkaError._FENCED, "fenced by newer producer instance", fatal=True)
MOVED_ON = KafkaError(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True)
SPOILT = KafkaError(KafkaError._INCONSISTENT, "1 message(s) failed delivery", txn_requires_abort=True)


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


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(FakeClock())

    def connect(settings: dict[str, Any]) -> Client:
        made.producers.append(Client(made, settings))
        return made.producers[-1]

    monkeypatch.setattr(publisher_module, "Producer", connect)
    return made


@pytest.fixture
def sink(cluster: Cluster) -> Iterator[TransactionalKafkaSink]:
    made = new_sink(cluster)
    made.start()
    cluster.calls.clear()
    yield made
    for errors in cluster.script.values():
        errors.clear()
    made.close()


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


def test_a_transaction_from_begin_to_end(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    sink.publish(BATCH)
    sink.publish(BATCH)
    commit(sink)
    assert cluster.calls == ["begin", "offsets", "commit"]
    assert len(cluster.producers[0].sent) == 6


def test_offsets_alone_are_a_transaction_too(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    commit(sink)
    assert cluster.calls == ["begin", "offsets", "commit"]


def test_nothing_open_is_nothing_to_abort(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    sink.abort(soon(cluster))
    assert cluster.calls == []


def test_after_an_abort_a_new_transaction_begins(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    sink.publish(BATCH)
    sink.abort(soon(cluster))
    sink.publish(BATCH)
    assert cluster.calls == ["begin", "abort", "begin"]
    assert len(cluster.producers) == 1


def test_an_abortable_failure_keeps_the_producer(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    cluster.script["offsets"].append(MOVED_ON)
    sink.publish(BATCH)
    with pytest.raises(SinkUnavailable, match=r"the group moved on .*ILLEGAL_GENERATION"):
        commit(sink)
    assert sink.room() == 0
    sink.abort(soon(cluster))
    assert sink.room() > 0
    assert cluster.calls == ["begin", "offsets", "abort"]
    assert len(cluster.producers) == 1


@pytest.mark.parametrize("call", ["begin", "offsets", "commit"])
@pytest.mark.parametrize("error", [FENCED, KafkaError(KafkaError._INVALID_ARG)])
def test_a_producer_past_saving_is_replaced_and_never_aborted(
    cluster: Cluster, sink: TransactionalKafkaSink, call: str, error: KafkaError
) -> None:
    cluster.script[call].append(error)
    sink.publish(BATCH)
    with pytest.raises(SinkUnavailable):
        commit(sink)
    sink.abort(soon(cluster))
    assert "abort" not in cluster.calls
    assert len(cluster.producers) == 2
    commit(sink)


@pytest.mark.parametrize("call", ["offsets", "commit"])
def test_after_a_commit_without_an_answer_the_producer_is_replaced(
    cluster: Cluster, sink: TransactionalKafkaSink, call: str
) -> None:
    cluster.script[call].extend([AGAIN] * 1000)
    sink.publish(BATCH)
    with pytest.raises(SinkUnavailable, match="no answer in time from"):
        commit(sink)
    sink.abort(soon(cluster))
    assert "abort" not in cluster.calls
    assert len(cluster.producers) == 2


def test_an_abort_without_an_answer_is_to_be_repeated(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    cluster.script["abort"].extend([AGAIN] * 15)
    sink.publish(BATCH)
    with pytest.raises(SinkUnavailable, match="aborting a transaction: no answer in time"):
        sink.abort(soon(cluster))
    assert sink.room() == 0
    sink.abort(soon(cluster))
    assert sink.room() > 0
    assert len(cluster.producers) == 1


def test_an_abort_that_is_refused_replaces_the_producer(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    cluster.script["abort"].append(KafkaError(KafkaError._STATE))
    sink.publish(BATCH)
    sink.abort(soon(cluster))
    assert len(cluster.producers) == 2
    assert sink.room() > 0


def test_a_new_producer_that_gets_no_answer_is_asked_again(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    cluster.script["commit"].append(FENCED)
    with pytest.raises(SinkUnavailable):
        commit(sink)
    cluster.script["init"].extend([AGAIN] * 15)
    with pytest.raises(SinkUnavailable):
        sink.abort(soon(cluster))
    sink.abort(soon(cluster))
    assert len(cluster.producers) == 2
    assert sink.room() > 0


def test_two_of_one_name_shut_each_other_out_until_one_stops(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    for attempt in (1, 2):
        cluster.script["commit"].append(FENCED)
        sink.publish(BATCH)
        with pytest.raises(SinkUnavailable):
            commit(sink)
        if attempt == 1:
            sink.abort(soon(cluster))
    with pytest.raises(Fenced, match=r"svc-group-0.*instance"):
        sink.abort(soon(cluster))
    sink.abort(soon(cluster))
    assert len(cluster.producers) == 2


def test_a_failed_delivery_says_more_than_the_commit_that_it_spoils(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    sink.publish(BATCH)
    cluster.producers[0].failed(KafkaError(KafkaError._MSG_TIMED_OUT), Message())
    assert sink.room() == 0
    cluster.script["commit"].append(SPOILT)
    with pytest.raises(SinkUnavailable, match="publishing to topic scored, partition 2 failed"):
        commit(sink)


def test_a_delivery_that_is_refused_for_good_outweighs_everything(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    sink.publish(BATCH)
    cluster.producers[0].failed(KafkaError(KafkaError._MSG_TIMED_OUT), Message())
    cluster.producers[0].failed(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), Message())
    cluster.script["offsets"].append(MOVED_ON)
    with pytest.raises(FatalError, match=r"topic scored, partition 2.*max\.message\.bytes"):
        commit(sink)


def test_what_failed_is_forgotten_with_its_transaction(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    sink.publish(BATCH)
    cluster.producers[0].failed(KafkaError(KafkaError._MSG_TIMED_OUT), Message())
    sink.abort(soon(cluster))
    assert sink.room() > 0


def test_a_delivery_that_failed_because_the_producer_was_shut_out_is_no_refusal(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    sink.publish(BATCH)
    cluster.producers[0].failed(FENCED, Message())
    assert sink.room() == 0
    cluster.script["offsets"].append(FENCED)
    with pytest.raises(SinkUnavailable):
        commit(sink)


def test_why_a_transaction_could_not_begin_is_said_when_it_is_committed(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    cluster.script["begin"].append(FENCED)
    assert sink.publish(BATCH) == []
    assert cluster.producers[0].sent == []
    with pytest.raises(SinkUnavailable, match="fenced by newer producer instance"):
        commit(sink)


def test_a_commit_that_nobody_waits_for_any_more_is_given_up(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    sink._commit_timeout_s = float("inf")
    cluster.script["commit"].extend([AGAIN] * 200_000)
    sink.begin_commit(COMMITS, b"member")
    # The fake time flies on the other thread.
    sink.abort(soon(cluster, 1e8))
    assert cluster.script["commit"], "it went on to the end"
    assert len(cluster.producers) == 2


def test_what_an_abort_purges_is_no_failure(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    sink.publish(BATCH)
    cluster.producers[0].failed(KafkaError(KafkaError._PURGE_QUEUE), Message())
    assert sink.room() > 0


def test_a_missing_right_is_final(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    refused = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, txn_requires_abort=True)
    cluster.script["offsets"].append(refused)
    with pytest.raises(NotAuthorized, match="group"):
        commit(sink)


@pytest.mark.parametrize("call", ["poll", "produce"])
def test_a_producer_that_ends_while_it_is_used_is_replaced(
    cluster: Cluster, sink: TransactionalKafkaSink, call: str
) -> None:
    cluster.script[call].append(FENCED)
    sink.publish(BATCH)
    assert sink.room() == 0
    cluster.script["offsets"].append(FENCED)
    with pytest.raises(SinkUnavailable):
        commit(sink)
    sink.abort(soon(cluster))
    assert sink.room() > 0


def test_topics_are_looked_for_again_after_a_delivery_that_failed(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    cluster.script["commit"].append(SPOILT)
    sink.publish(BATCH)
    with pytest.raises(SinkUnavailable):
        commit(sink)
    cluster.topics_exist = False
    with pytest.raises(TopicMissing):
        sink.abort(soon(cluster))
    sink.abort(soon(cluster))
    assert cluster.calls == ["begin", "offsets", "commit", "abort", "topics"]


def test_a_start_without_an_answer_may_be_repeated(cluster: Cluster) -> None:
    made = new_sink(cluster)
    cluster.script["init"].extend([AGAIN] * 60)
    with pytest.raises(SinkUnavailable, match=r"with transactional\.id svc-group-0"):
        made.start()
    made.start()
    commit(made)
    made.close()


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, NotAuthorized, "transactional id"),
        (KafkaError.INVALID_TRANSACTION_TIMEOUT, FatalError, r"delivery\.transaction_timeout_ms"),
    ],
)
def test_a_start_that_is_refused_names_the_remedy(
    cluster: Cluster, code: int, error: type[Exception], sentence: str
) -> None:
    cluster.script["init"].append(KafkaError(code, fatal=True))
    with pytest.raises(error, match=sentence):
        new_sink(cluster).start()


def test_closing_aborts_what_is_open(cluster: Cluster) -> None:
    made = new_sink(cluster)
    made.start()
    made.publish(BATCH)
    made.close()
    assert cluster.calls[-1] == "abort"


def test_closing_gives_an_abort_little_time(cluster: Cluster) -> None:
    made = new_sink(cluster)
    made.start()
    made.publish(BATCH)
    cluster.script["abort"].extend([AGAIN] * 1000)
    began = cluster.clock.monotonic()
    made.close()
    assert cluster.clock.monotonic() - began <= 2.0


def test_a_call_of_the_client_that_never_comes_back_is_left_behind_with_its_producer(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    """Found by a trial: a connection that broke between two requests left `send_offsets_to_transaction` waiting."""
    never, freed = threading.Event(), threading.Event()

    def hang(*_arguments: Any) -> None:
        never.wait()
        freed.set()

    sink.publish(BATCH)
    cluster.producers[0].send_offsets_to_transaction = hang
    sink.begin_commit(COMMITS, b"member")
    cluster.clock.advance(30.5)
    assert not sink.commit_done()
    cluster.clock.advance(1.0)
    with pytest.raises(SinkUnavailable, match="does not come back"):
        sink.commit_done()
    assert cluster.calls[-1] == "purge"
    sink.abort(soon(cluster))
    assert len(cluster.producers) == 2
    sink.publish(BATCH)
    commit(sink)
    never.set()
    assert freed.wait(10.0)


def test_too_many_of_them_end_the_process(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    never = threading.Event()
    for _ in range(20):
        hang_once(cluster, sink, never)
        with pytest.raises(SinkUnavailable):
            sink.commit_done()
        sink.abort(soon(cluster))
    hang_once(cluster, sink, never)
    with pytest.raises(FatalError, match="21 calls of the Kafka client never came back"):
        sink.commit_done()
    never.set()


def hang_once(cluster: Cluster, sink: TransactionalKafkaSink, never: threading.Event) -> None:
    sink.publish(BATCH)
    cluster.producers[-1].send_offsets_to_transaction = lambda *_arguments: never.wait()
    sink.begin_commit(COMMITS, b"member")
    cluster.clock.advance(31.5)

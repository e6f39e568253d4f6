"""The transactional sink on a real broker: what a reader of committed events sees, whatever happens on the way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from integration.brokers import Kafka
from integration.kafka_rig import CLOCK, QUICK, Member, admin_of, fill, messages_in
from integration.local_kafka import LocalKafka
from integration.mock.rig import scored_batch
from integration.proxy import Mode, TcpProxy
from integration.topics import Topics, unique_name
from stream_infer.clock import Deadline
from stream_infer.errors import CommitFailed, FatalError, Fenced, SinkUnavailable, SourceUnavailable, TopicMissing
from stream_infer.kafka.properties import Transaction, producer_properties
from stream_infer.kafka.publisher import Outputs, Route
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.types import Commit, Reject, Split, Status

IMPATIENT = {"socket.timeout.ms": 1000}
"""A connection that is silent is given up sooner than by default."""


def soon(seconds: float = 20) -> Deadline:
    return Deadline.after(seconds, CLOCK.monotonic())


@dataclass
class Rig:
    """A member of a group that owns the one partition of its input, and sinks that commit for it."""

    address: str
    topics: Topics
    input: str = field(init=False)
    output: str = field(init=False)
    flagged: str = field(init=False)
    dead: str = field(init=False)
    group: str = field(default_factory=lambda: unique_name("group"))
    opened: list[TransactionalKafkaSink] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.input, self.output, self.flagged, self.dead = (self.topics.create(1) for _ in range(4))

    def join(self, client: Mapping[str, Any] = QUICK) -> Member:
        """One more member of the group. It is assigned when somebody polls it."""
        self.members.append(Member(self.address, self.input, self.group, client=client))
        return self.members[-1]

    def owner(self) -> tuple[Member, Split]:
        """A member, and the split that it owns."""
        member = self.join()
        while not member.listener.owned:
            member.poll()
        return member, member.listener.owned[0]

    def sink(
        self,
        *,
        name: str | None = None,
        stable: bool = False,
        through: str | None = None,
        client: Mapping[str, Any] | None = None,
        transaction_timeout_ms: int = 30_000,
        commit_timeout_s: float = 20,
    ) -> TransactionalKafkaSink:
        """A started sink; ``through`` is an address other than the broker's own."""
        transaction = Transaction(name or unique_name("instance"), transaction_timeout_ms)
        address = through or self.address
        properties = producer_properties(
            address, client or {}, client_id="tests", publish_timeout_s=20, transaction=transaction
        )
        sink = TransactionalKafkaSink(
            properties,
            admin_of(address),
            outputs=Outputs(self.output, self.dead, self.group, (Route("flagged", self.flagged),)),
            stable_name=stable,
            commit_timeout_s=commit_timeout_s,
            clock=CLOCK,
        )
        sink.start()
        self.opened.append(sink)
        return sink

    def seen(self, topic: str | None = None) -> list[bytes | None]:
        """Values that a reader of committed events sees."""
        return [message.value() for message in messages_in(self.address, topic or self.output)]

    def committed(self) -> tuple[int, str | None]:
        """Offset and note, as another process sees them; it waits for open transactions."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": self.group})
        [found] = consumer.committed([TopicPartition(self.input, 0)], timeout=10)
        consumer.close()
        return found.offset, found.metadata

    def close(self) -> None:
        for sink in self.opened:
            sink.close()
        for member in self.members:
            member.source.close()


@pytest.fixture
def rig(kafka: Kafka, topics: Topics) -> Iterator[Rig]:
    made = Rig(kafka.bootstrap_servers, topics)
    yield made
    made.close()


@pytest.fixture(scope="module")
def strict_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker that ends transactions as soon as they are too old, instead of within ten seconds."""
    settings = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "200"}
    with LocalKafka(tmp_path_factory.mktemp("strict-kafka"), heap="256m", settings=settings) as broker:
        yield broker


@pytest.fixture
def strict_rig(strict_kafka: LocalKafka) -> Iterator[Rig]:
    made = Rig(strict_kafka.bootstrap_servers, Topics(strict_kafka.bootstrap_servers))
    yield made
    made.close()


@pytest.fixture
def proxy(strict_kafka: LocalKafka, tcp_proxy: Callable[..., TcpProxy]) -> TcpProxy:
    """Before the broker of `strict_rig`."""
    advertised_port = int(strict_kafka.advertised_address.rsplit(":", 1)[1])
    return tcp_proxy(strict_kafka.proxied_address, advertised_port)


def commit(sink: TransactionalKafkaSink, commits: Mapping[Split, Commit], membership: bytes) -> None:
    deadline = soon(30)
    sink.begin_commit(commits, membership)
    while not sink.commit_done(0.1):
        assert not deadline.passed(CLOCK.monotonic()), "not answered in time"


def test_events_routes_dead_letters_offsets_and_notes_are_one(rig: Rig) -> None:
    member, split = rig.owner()
    sink = rig.sink()
    sink.publish(scored_batch([b"one", b"two", None], flagged=[1], rejects=[Reject(2, Status.MALFORMED, "")]))
    # Everything has arrived at the broker, and waits there.
    sink._publisher.flush(10)
    assert rig.seen() == rig.seen(rig.flagged) == rig.seen(rig.dead) == []
    commit(sink, {split: Commit(3, "running")}, member.source.membership())
    assert rig.seen() == [b"one", b"two"]
    assert rig.seen(rig.flagged) == [b"two"]
    assert rig.seen(rig.dead) == [b"in2"]
    assert rig.committed() == (3, "running")


def test_the_note_of_a_transaction_reaches_the_next_owner(rig: Rig) -> None:
    member, split = rig.owner()
    fill(rig.address, rig.input, 5, 1)
    commit(rig.sink(), {split: Commit(3, "running")}, member.source.membership())
    member.source.close()
    rig.members.remove(member)
    heir, inherited = rig.owner()
    assert heir.listener.starts[inherited] == (3, 5, "running")


def test_what_was_aborted_is_never_seen(rig: Rig) -> None:
    member, split = rig.owner()
    sink = rig.sink()
    sink.publish(scored_batch([b"gone", None], flagged=[0], rejects=[Reject(1, Status.MALFORMED, "")]))
    sink._publisher.flush(10)
    sink.abort(soon())
    sink.publish(scored_batch([b"never sent"]))
    sink.abort(soon())
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(1)}, member.source.membership())
    assert (rig.seen(), rig.seen(rig.flagged), rig.seen(rig.dead)) == ([b"kept"], [], [])


def test_commits_are_carried_out_by_a_thread_of_their_own_that_ends_with_the_sink(rig: Rig) -> None:
    before = threading.active_count()
    sink = rig.sink()
    assert [thread.name for thread in threading.enumerate()].count("transaction") == 1
    rig.opened.remove(sink)
    sink.close()
    deadline = soon(5)
    while threading.active_count() > before:
        assert not deadline.passed(CLOCK.monotonic()), threading.enumerate()
        time.sleep(0.01)


# ------------------------------------------------------------------ the group moves on


def test_a_membership_of_the_past_commits_nothing(rig: Rig) -> None:
    member, split = rig.owner()
    past = member.source.membership()
    sink = rig.sink()
    sink.publish(scored_batch([b"late"]))
    second = rig.join()
    while not second.listener.told and member.source.membership() == past:
        member.poll()
        second.poll()
    with pytest.raises(SinkUnavailable, match="the group moved on"):
        commit(sink, {split: Commit(1)}, past)
    assert sink.room() == 0
    sink.abort(soon())
    assert rig.seen() == []
    assert rig.committed()[0] < 0
    owner = member if member.listener.owned else second
    sink.publish(scored_batch([b"in time"]))
    commit(sink, {split: Commit(1)}, owner.source.membership())
    assert rig.seen() == [b"in time"]


def test_who_has_not_joined_is_no_member(rig: Rig) -> None:
    member = rig.join()
    with pytest.raises(CommitFailed, match=f"no member of group {rig.group}"):
        member.source.membership()


def test_who_did_not_poll_in_time_is_no_member(rig: Rig) -> None:
    member = rig.join(
        {"consumer": {"session.timeout.ms": 1000, "heartbeat.interval.ms": 200, "max.poll.interval.ms": 1000}}
    )
    while not member.listener.owned:
        member.poll()
    assert member.source.membership()
    # The client leaves the group in the background, at the next whole second.
    time.sleep(2.5)
    with pytest.raises(CommitFailed, match="no member"):
        member.source.membership()


# ------------------------------------------------------------------ another one takes the name


def take_the_name(rig: Rig, name: str) -> Producer:
    rival = Producer({"bootstrap.servers": rig.address, "transactional.id": name})
    rival.init_transactions(20)
    return rival


@pytest.mark.parametrize("moment", ["before it begins", "while it is open"])
def test_a_producer_that_was_shut_out_takes_its_name_back(rig: Rig, moment: str) -> None:
    member, split = rig.owner()
    name = unique_name("name")
    sink = rig.sink(name=name, stable=True)
    if moment == "while it is open":
        sink.publish(scored_batch([b"lost"]))
        sink._publisher.flush(10)
    take_the_name(rig, name)
    sink.publish(scored_batch([b"lost"]))
    with pytest.raises(SinkUnavailable):
        commit(sink, {split: Commit(1)}, member.source.membership())
    sink.abort(soon())
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(1)}, member.source.membership())
    assert rig.seen() == [b"kept"]


def test_being_shut_out_shows_where_room_is_asked_for(rig: Rig) -> None:
    """The client raises it from any call that serves callbacks."""
    member, split = rig.owner()
    name = unique_name("name")
    sink = rig.sink(name=name)
    sink.publish(scored_batch([b"lost"]))
    sink._publisher.flush(10)
    take_the_name(rig, name)
    sink.publish(scored_batch([b"lost"] * 100))
    deadline = soon()
    while sink.room():
        assert not deadline.passed(CLOCK.monotonic()), "a producer that was shut out still takes events"
    assert sink.publish(scored_batch([b"lost"])) == []
    with pytest.raises(SinkUnavailable):
        commit(sink, {split: Commit(1)}, member.source.membership())
    sink.abort(soon())
    assert sink.room() > 0
    assert rig.seen() == []


def shut_out(rig: Rig, sink: TransactionalKafkaSink, member: Member, name: str) -> None:
    take_the_name(rig, name)
    sink.publish(scored_batch([b"lost"]))
    with pytest.raises(SinkUnavailable, match="_FENCED"):
        commit(sink, {}, member.source.membership())
    sink.abort(soon())


def test_a_rival_with_the_same_instance_name_stops_the_run(rig: Rig) -> None:
    member, _ = rig.owner()
    name = unique_name("name")
    sink = rig.sink(name=name, stable=True)
    shut_out(rig, sink, member, name)
    with pytest.raises(Fenced, match=rf"transactional\.id {name}.*own instance"):
        shut_out(rig, sink, member, name)
    # Whoever stops in order asks for this once more, and must not take the name back again.
    sink.abort(soon())
    assert sink.room() == 0


def test_a_random_name_has_no_rival(rig: Rig) -> None:
    member, _ = rig.owner()
    name = unique_name("name")
    sink = rig.sink(name=name, stable=False)
    for _ in range(3):
        shut_out(rig, sink, member, name)
    assert sink.room() > 0


def test_a_transaction_that_became_too_old_is_no_rivalry(strict_rig: Rig) -> None:
    member, split = strict_rig.owner()
    sink = strict_rig.sink(stable=True, transaction_timeout_ms=1000)
    for _ in range(2):
        sink.publish(scored_batch([b"too old"]))
        sink._publisher.flush(10)
        time.sleep(1.5)
        with pytest.raises(SinkUnavailable):
            commit(sink, {split: Commit(1)}, member.source.membership())
        sink.abort(soon())
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(1)}, member.source.membership())
    assert strict_rig.seen() == [b"kept"]


def test_a_predecessor_that_died_keeps_nobody_waiting(rig: Rig) -> None:
    name = unique_name("name")
    rig.sink(name=name, stable=True).publish(scored_batch([b"of the dead"]))
    rig.opened[0]._publisher.flush(10)
    member, split = rig.owner()
    sink = rig.sink(name=name, stable=True)
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(1)}, member.source.membership())
    assert rig.seen() == [b"kept"]


# ------------------------------------------------------------------ a network that swallows


def test_a_commit_without_an_answer_is_settled_by_asking_the_group(strict_rig: Rig, proxy: TcpProxy) -> None:
    member, split = strict_rig.owner()
    sink = strict_rig.sink(through=proxy.address, client=IMPATIENT, commit_timeout_s=1)
    sink.publish(scored_batch([b"maybe"]))
    sink._publisher.flush(10)
    proxy.mode = Mode.BLACK_HOLE
    began = CLOCK.monotonic()
    sink.begin_commit({split: Commit(1)}, member.source.membership())
    assert not sink.commit_done()
    assert CLOCK.monotonic() - began < 0.5
    assert sink.room() == 0
    with pytest.raises(SinkUnavailable, match=f"no answer in time from {proxy.address}"):
        sink.commit_done(10)
    began = CLOCK.monotonic()
    with pytest.raises(SinkUnavailable):
        sink.abort(soon(1))
    assert CLOCK.monotonic() - began < 3
    assert sink.room() == 0
    proxy.mode = Mode.PASS
    abort_at_last(sink)
    happened = member.source.committed([split]) == {split: 1}
    assert strict_rig.seen() == ([b"maybe"] if happened else [])
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(2)}, member.source.membership())
    assert strict_rig.seen()[-1] == b"kept"


def abort_at_last(sink: TransactionalKafkaSink) -> None:
    """Try until it works, as the pipeline does."""
    deadline = soon(40)
    while True:
        try:
            sink.abort(soon(5))
        except SinkUnavailable:
            assert not deadline.passed(CLOCK.monotonic()), "the network is back and nothing was aborted"
        else:
            return


def test_a_commit_that_nobody_waits_for_is_given_up(strict_rig: Rig, proxy: TcpProxy) -> None:
    member, split = strict_rig.owner()
    sink = strict_rig.sink(through=proxy.address, client=IMPATIENT, commit_timeout_s=60)
    # Not a message is delivered, so the commit never comes to its end.
    proxy.mode = Mode.BLACK_HOLE
    sink.publish(scored_batch([b"lost"]))
    sink.begin_commit({}, member.source.membership())
    proxy_back = threading.Timer(1.0, setattr, (proxy, "mode", Mode.PASS))
    proxy_back.start()
    abort_at_last(sink)
    proxy_back.join()
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(1)}, member.source.membership())
    assert strict_rig.seen()[-1] == b"kept"


@pytest.mark.parametrize("committing", [False, True])
def test_closing_does_not_wait_for_a_network_that_swallows(
    strict_rig: Rig, proxy: TcpProxy, committing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    member, split = strict_rig.owner()
    sink = strict_rig.sink(through=proxy.address)
    sink.publish(scored_batch([b"lost"]))
    sink._publisher.flush(10)
    proxy.mode = Mode.BLACK_HOLE
    if committing:
        sink.begin_commit({split: Commit(1)}, member.source.membership())
    strict_rig.opened.remove(sink)
    began = CLOCK.monotonic()
    with caplog.at_level(logging.WARNING, "stream_infer.kafka"):
        sink.close()
    assert CLOCK.monotonic() - began < 3
    assert "an open transaction was left to its timeout" in caplog.text


def test_closing_ends_the_open_transaction(rig: Rig) -> None:
    sink = rig.sink()
    sink.publish(scored_batch([b"lost"]))
    sink._publisher.flush(10)
    rig.opened.remove(sink)
    sink.close()
    other = Producer({"bootstrap.servers": rig.address})
    other.produce(rig.output, b"behind it")
    assert other.flush(10) == 0
    # While a transaction is open nothing behind its first event is seen.
    assert rig.seen() == [b"behind it"]


# ------------------------------------------------------------------ what will not get better


def test_a_topic_that_was_deleted_is_named(rig: Rig) -> None:
    member, split = rig.owner()
    sink = rig.sink(commit_timeout_s=2)
    sink.publish(scored_batch([b"before"]))
    commit(sink, {split: Commit(1)}, member.source.membership())
    admin = AdminClient({"bootstrap.servers": rig.address})
    admin.delete_topics([rig.output])[rig.output].result(10)
    rig.topics._created.remove(rig.output)
    sink.publish(scored_batch([b"after"]))
    with pytest.raises(SinkUnavailable):
        commit(sink, {split: Commit(2)}, member.source.membership())
    with pytest.raises(TopicMissing, match=rig.output):
        sink.abort(soon())
    sink.abort(soon())
    assert rig.committed()[0] == 1


def test_an_event_that_the_topic_does_not_take_is_fatal_with_the_remedy(rig: Rig) -> None:
    member, split = rig.owner()
    rig.output = rig.topics.create(1, config={"max.message.bytes": "1000"})
    sink = rig.sink()
    sink.publish(scored_batch([np.random.default_rng(1).bytes(5000)]))
    with pytest.raises(FatalError, match=rf"topic {rig.output}.*max\.message\.bytes"):
        commit(sink, {split: Commit(1)}, member.source.membership())
    sink.abort(soon())
    assert rig.committed()[0] < 0


def test_a_timeout_above_the_brokers_limit_names_the_key(rig: Rig) -> None:
    with pytest.raises(FatalError, match=r"delivery\.transaction_timeout_ms.*transaction\.max\.timeout\.ms"):
        rig.sink(transaction_timeout_ms=2_000_000_000)


def test_a_missing_topic_is_named_at_the_start(rig: Rig) -> None:
    rig.output = "no-output"
    with pytest.raises(TopicMissing, match="no-output"):
        rig.sink()


# ------------------------------------------------------------------ offsets of open transactions


def open_with_offsets(rig: Rig, commits: Mapping[Split, int], membership: bytes) -> Producer:
    """A transaction of somebody else that holds these offsets and is not ended."""
    other = take_the_name(rig, unique_name("other"))
    other.begin_transaction()
    offsets = [TopicPartition(split.source, split.partition, offset) for split, offset in commits.items()]
    other.send_offsets_to_transaction(offsets, membership, 10)
    return other


def test_what_is_committed_waits_for_open_transactions(rig: Rig) -> None:
    member, split = rig.owner()
    other = open_with_offsets(rig, {split: 7}, member.source.membership())
    with pytest.raises(SourceUnavailable):
        member.source.committed([split])
    other.commit_transaction(10)
    assert member.source.committed([split]) == {split: 7}


def test_partitions_of_an_open_transaction_do_not_keep_the_others_from_being_read(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.input = rig.topics.create(2)
    first, second = rig.join(), rig.join()
    while not (len(first.listener.owned) == len(second.listener.owned) == 1):
        first.poll()
        second.poll()
    [leaving], [staying] = first.listener.owned, second.listener.owned
    other = open_with_offsets(rig, {leaving: 3}, first.source.membership())
    fill(rig.address, rig.input, 10, 2)
    rig.members.remove(first)
    caplog.clear()
    with caplog.at_level(logging.INFO, "stream_infer.kafka"):
        first.source.close()
        deadline = soon(15)
        while "not known at once" not in caplog.text or len(second.read) < 5:
            assert not deadline.passed(CLOCK.monotonic()), second.read
            second.poll()
        fill(rig.address, rig.input, 10, 2)
        while len(second.read) < 10:
            assert not deadline.passed(CLOCK.monotonic()), second.read
            second.poll()
        assert {partition for partition, _ in second.read} == {staying.partition}
        other.commit_transaction(10)
        while len(second.read) < 17:
            assert not deadline.passed(CLOCK.monotonic()), second.read
            second.poll()
    assert [offset for partition, offset in second.read if partition == leaving.partition] == list(range(3, 10))
    told = [record.getMessage() for record in caplog.records if record.name == "stream_infer.kafka"]
    assert told == ["where to read new partitions was not known at once", "where to read new partitions was found out"]

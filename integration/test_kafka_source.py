"""The source on a real broker: members that come and go, gaps in the log, outages, transactions."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from integration.brokers import Kafka
from integration.kafka_rig import CLOCK, QUICK, Member, admin_of, everything, fill
from integration.local_kafka import LocalKafka
from integration.proxy import Mode, TcpProxy
from integration.topics import Topics, unique_name
from stream_infer.clock import Deadline
from stream_infer.errors import CommitFailed, DataLoss, FatalError, SourceUnavailable, TopicMissing
from stream_infer.kafka.assignment import StartMode
from stream_infer.types import Commit

PROTOCOLS: Mapping[str, Mapping[str, Any]] = {
    "cooperative": QUICK,
    "range": {**QUICK, "partition.assignment.strategy": "range"},
    "kip848": {"group.protocol": "consumer"},
}

Join = Callable[..., Member]


@pytest.fixture
def join(kafka: Kafka) -> Iterator[Join]:
    """Makes members of a group on the session's broker; they leave at the end."""
    members: list[Member] = []

    def make(topic: str, group_id: str, **options: Any) -> Member:
        members.append(Member(options.pop("bootstrap_servers", kafka.bootstrap_servers), topic, group_id, **options))
        return members[-1]

    yield make
    for member in members:
        member.source.close()


def poll_until(condition: Callable[[], bool], *members: Member, timeout_s: float = 20) -> None:
    deadline = Deadline.after(timeout_s, CLOCK.monotonic())
    while not condition():
        assert not deadline.passed(CLOCK.monotonic()), [member.listener.told for member in members]
        for member in members:
            member.poll(max_records=10, timeout_s=0.02)


def commit_at(kafka: Kafka, topic: str, group_id: str, offset: int) -> None:
    """Leave a committed offset of partition 0 behind."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": group_id})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def delete_below(kafka: Kafka, topic: str, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for done in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        done.result(10)


@pytest.mark.parametrize("client", PROTOCOLS.values(), ids=PROTOCOLS)
def test_members_come_and_go_and_every_record_is_read_once(
    kafka: Kafka, topics: Topics, join: Join, client: Mapping[str, Any]
) -> None:
    topic, group = topics.create(4), unique_name("group")
    fill(kafka.bootstrap_servers, topic, 4000, 4)
    first = join(topic, group, client=client)
    poll_until(lambda: len(first.read) > 200, first)
    second = join(topic, group, client=client)
    poll_until(lambda: len(second.read) > 200, first, second)
    assert len(first.listener.owned) == len(second.listener.owned) == 2
    assert not {split.partition for split in first.listener.owned} & {s.partition for s in second.listener.owned}
    second.commit()
    second.source.close()
    poll_until(lambda: len(first.listener.owned) == 4, first)
    first.read_until_caught_up()
    assert sorted(first.read + second.read) == everything(4000, 4)
    assert not any(kind == "lost" for kind, _ in first.listener.told)


def test_a_generation_is_not_used_twice(kafka: Kafka, topics: Topics, join: Join) -> None:
    topic, group = topics.create(2), unique_name("group")
    fill(kafka.bootstrap_servers, topic, 100, 2)
    client = PROTOCOLS["range"]
    first = join(topic, group, client=client)
    poll_until(lambda: len(first.listener.owned) == 2, first)
    second = join(topic, group, client=client)
    poll_until(lambda: [len(member.listener.owned) for member in (first, second)] == [1, 1], first, second)
    given = [split for kind, splits in first.listener.told if kind == "assigned" for split in splits]
    assert len(given) == len(set(given)) == 3


def test_a_rewind_right_after_the_assignment(kafka: Kafka, topics: Topics, join: Join) -> None:
    topic = topics.create(2)
    fill(kafka.bootstrap_servers, topic, 200, 2)
    member = join(topic, unique_name("group"))
    while not member.listener.owned:
        member.poll(max_records=0)
    renamed = member.source.rewind(dict.fromkeys(member.listener.owned, 40))
    assert all(new.generation > old.generation for old, new in renamed.items())
    assert sorted(member.read_until_caught_up()) == sorted((p, o) for p in (0, 1) for o in range(40, 100))


def test_a_paused_member_that_gets_partitions_reads_them(kafka: Kafka, topics: Topics, join: Join) -> None:
    topic, group = topics.create(2), unique_name("group")
    fill(kafka.bootstrap_servers, topic, 200, 2)
    first, second = join(topic, group), join(topic, group)
    poll_until(lambda: len(first.listener.owned) == len(second.listener.owned) == 1, first, second)
    first.source.pause()
    second.commit()
    second.source.close()
    poll_until(lambda: len(first.listener.owned) == 2, first)
    first.read_until_caught_up()
    assert sorted({*first.read, *second.read}) == everything(200, 2)


@pytest.mark.parametrize(("start", "offsets"), [("earliest", range(30, 50)), ("latest", range(0))])
def test_a_group_without_a_commit_starts_as_configured(
    kafka: Kafka, topics: Topics, join: Join, start: StartMode, offsets: range
) -> None:
    topic = topics.create(1)
    fill(kafka.bootstrap_servers, topic, 50, 1)
    delete_below(kafka, topic, 30)
    member = join(topic, unique_name("group"), start=start)
    assert [offset for _, offset in member.read_until_caught_up()] == list(offsets)


def test_start_fail_names_the_partition(topics: Topics, join: Join) -> None:
    topic = topics.create(1)
    member = join(topic, unique_name("group"), start="fail")
    with pytest.raises(FatalError, match=f"topic {topic}, partition 0"):
        member.read_until_caught_up()


def test_a_deleted_offset_stops_the_run(kafka: Kafka, topics: Topics, join: Join) -> None:
    topic, group = topics.create(1), unique_name("group")
    fill(kafka.bootstrap_servers, topic, 50, 1)
    commit_at(kafka, topic, group, 10)
    delete_below(kafka, topic, 30)
    member = join(topic, group)
    with pytest.raises(DataLoss, match=f"topic {topic}, partition 0, offset 10: 20 records were deleted"):
        member.read_until_caught_up()


def test_a_deleted_offset_is_counted_where_the_run_goes_on(
    kafka: Kafka, topics: Topics, join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    topic, group = topics.create(1), unique_name("group")
    fill(kafka.bootstrap_servers, topic, 50, 1)
    commit_at(kafka, topic, group, 10)
    delete_below(kafka, topic, 30)
    with caplog.at_level(logging.WARNING, "stream_infer.kafka"):
        member = join(topic, group, on_data_loss="continue")
        assert [offset for _, offset in member.read_until_caught_up()] == list(range(30, 50))
    [lost] = [vars(record)["lost_records"] for record in caplog.records if "lost_records" in vars(record)]
    assert lost == 20


def test_an_offset_beyond_the_end_is_a_loss_too(kafka: Kafka, topics: Topics, join: Join) -> None:
    topic, group = topics.create(1), unique_name("group")
    fill(kafka.bootstrap_servers, topic, 5, 1)
    commit_at(kafka, topic, group, 1000)
    member = join(topic, group)
    with pytest.raises(DataLoss, match="created anew"):
        poll_until(lambda: False, member)


def test_records_deleted_under_a_slow_reader_are_a_loss(kafka: Kafka, topics: Topics, join: Join) -> None:
    topic = topics.create(1)
    # One record a batch, and a consumer that fetches ahead as little as it can.
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "batch.num.messages": 1})
    for _ in range(200):
        producer.produce(topic, bytes(10_000))
    assert producer.flush(30) == 0
    client = {"consumer": {"queued.min.messages": 1, "queued.max.messages.kbytes": 1, "fetch.message.max.bytes": 10}}
    member = join(topic, unique_name("group"), client=client)
    poll_until(lambda: bool(member.read), member)
    delete_below(kafka, topic, 190)
    with pytest.raises(DataLoss, match="the log begins at 190"):
        member.read_until_caught_up()


def test_aborted_records_are_not_read_and_do_not_keep_a_run_from_ending(
    kafka: Kafka, topics: Topics, join: Join
) -> None:
    topic = topics.create(1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": unique_name("tx")})
    producer.init_transactions(10)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for number in range(5):
            producer.produce(topic, b"%d" % number)
        producer.flush(10)
        end(10)
    member = join(topic, unique_name("group"))
    assert [offset for _, offset in member.read_until_caught_up()] == [0, 1, 2, 3, 4]
    [position] = member.source.positions().values()
    assert position.next_offset == position.end_offset == 12


class HesitantBounds:
    """Bounds of the log that are not to be had at the first attempt."""

    def __init__(self, kafka: Kafka) -> None:
        self._admin = admin_of(kafka.bootstrap_servers)
        self.refusals = 1

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[tuple[str, int], int]:
        if self.refusals:
            self.refusals -= 1
            raise SourceUnavailable("not now")
        return self._admin.ends(partitions)

    def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[tuple[str, int], int]:
        return self._admin.beginnings(partitions)


@pytest.mark.parametrize("client", PROTOCOLS.values(), ids=PROTOCOLS)
def test_partitions_that_cannot_be_placed_at_once_are_placed_later(
    kafka: Kafka, topics: Topics, join: Join, client: Mapping[str, Any]
) -> None:
    topic = topics.create(2)
    fill(kafka.bootstrap_servers, topic, 200, 2)
    member = join(topic, unique_name("group"), client=client, bounds=HesitantBounds(kafka))
    with pytest.raises(SourceUnavailable, match="not now"):
        member.read_until_caught_up()
    assert not member.listener.owned
    assert sorted(member.read_until_caught_up()) == everything(200, 2)


def test_a_missing_topic_is_named(join: Join) -> None:
    member = join("no-such-topic", unique_name("group"))
    with pytest.raises(TopicMissing, match="no-such-topic"):
        poll_until(lambda: False, member)


def test_a_member_that_did_not_poll_in_time_loses_its_splits_and_comes_back(
    kafka: Kafka, topics: Topics, join: Join
) -> None:
    topic = topics.create(1)
    fill(kafka.bootstrap_servers, topic, 10, 1)
    # The shortest that a broker takes by default.
    client = {"consumer": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 200, "max.poll.interval.ms": 6000}}
    member = join(topic, unique_name("group"), client=client)
    member.read_until_caught_up()
    member.commit()
    time.sleep(7)
    poll_until(lambda: [kind for kind, _ in member.listener.told] == ["assigned", "lost", "assigned"], member)
    assert len(member.read) == 10


def test_a_commit_that_is_not_answered_ends_at_its_deadline(
    local_kafka: LocalKafka, kafka_proxy: TcpProxy, join: Join
) -> None:
    topics = Topics(local_kafka.bootstrap_servers)
    topic = topics.create(1)
    fill(local_kafka.bootstrap_servers, topic, 10, 1)
    member = join(topic, unique_name("group"), bootstrap_servers=kafka_proxy.address)
    member.read_until_caught_up()
    [split] = member.listener.owned
    kafka_proxy.mode = Mode.BLACK_HOLE
    began = CLOCK.monotonic()
    with pytest.raises(CommitFailed, match="no answer in time"):
        member.source.commit_now({split: Commit(5)}, Deadline.after(0.5, began))
    assert CLOCK.monotonic() - began < 1.5
    kafka_proxy.mode = Mode.PASS
    # The late answer to offset 5 must not be taken for the answer to offset 7.
    member.source.commit_now({split: Commit(7)}, Deadline.after(10, CLOCK.monotonic()))
    topics.delete_all()


def test_an_outage_is_told_while_it_lasts_and_reading_goes_on_after_it(
    start_kafka: Callable[..., LocalKafka], join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    broker = start_kafka(heap="256m")
    topic = Topics(broker.bootstrap_servers).create(1)
    fill(broker.bootstrap_servers, topic, 10, 1)
    member = join(topic, unique_name("group"), bootstrap_servers=broker.bootstrap_servers)
    member.read_until_caught_up()
    caplog.set_level(logging.INFO, "stream_infer.kafka")
    broker.kill_node()
    with pytest.raises(SourceUnavailable, match=broker.bootstrap_servers):
        poll_until(lambda: False, member)
    for _ in range(5):
        with pytest.raises(SourceUnavailable):
            member.poll()
    broker.start_node()
    fill(broker.bootstrap_servers, topic, 10, 1)
    poll_through(member, 20)
    told = [record.getMessage() for record in caplog.records if record.name == "stream_infer.kafka"]
    assert told == ["all brokers became unreachable", "brokers were reached again"]
    assert len(caplog.records) < 20


def poll_through(member: Member, count: int) -> None:
    """Poll as the pipeline does, which takes an unavailable source for bad weather."""
    deadline = Deadline.after(60, CLOCK.monotonic())
    while len(member.read) < count:
        assert not deadline.passed(CLOCK.monotonic()), f"read {len(member.read)} records, then nothing"
        with contextlib.suppress(SourceUnavailable):
            member.poll()

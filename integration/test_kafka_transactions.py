"""The transactional sink on a real broker: what a reader of committed events sees, whatever happens on the way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from integration.brokers import Kafka
from integration.kafka_rig import CLOCK, Member, fill
from integration.mock.rig import scored_batch
from integration.topics import Topics, unique_name
from integration.transaction_rig import Rig, commit, soon, take_the_name
from stream_infer.errors import CommitFailed, FatalError, Fenced, SinkUnavailable, SourceUnavailable, TopicMissing
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.types import Commit, Reject, Split, Status


@pytest.fixture
def rig(kafka: Kafka, topics: Topics) -> Iterator[Rig]:
    made = Rig(kafka.bootstrap_servers, topics)
    yield made
    made.close()


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
    before = set(threading.enumerate())
    sink = rig.sink()
    made = set(threading.enumerate()) - before
    assert [thread.name for thread in made].count("transaction") == 1
    rig.opened.remove(sink)
    sink.close()
    for thread in made:
        thread.join(5)
        assert not thread.is_alive(), thread


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


def test_a_predecessor_that_died_keeps_nobody_waiting(rig: Rig) -> None:
    name = unique_name("name")
    rig.sink(name=name, stable=True).publish(scored_batch([b"of the dead"]))
    rig.opened[0]._publisher.flush(10)
    member, split = rig.owner()
    sink = rig.sink(name=name, stable=True)
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(1)}, member.source.membership())
    assert rig.seen() == [b"kept"]


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

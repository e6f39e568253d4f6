"""The source against librdkafka's mock cluster. Two members and everything the mock cannot do: see integration/."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import pytest

from integration.mock.rig import Event, Listener
from stream_infer.clock import Deadline, SystemClock
from stream_infer.errors import FatalError
from stream_infer.kafka import source as source_module
from stream_infer.kafka.source import KafkaSource
from stream_infer.types import Commit, HeaderList, Records, Split, Start

Produce = Callable[[Sequence[Event]], str]
OpenSource = Callable[..., tuple[KafkaSource, Listener]]
ReadAll = Callable[..., Records | None]

HEADERS: HeaderList = [("trace", b"\x00\xff"), ("empty", b""), ("null", None), ("trace", b"again")]


def events(count: int) -> list[Event]:
    return [(b"k%d" % i, b"v%d" % i, i % 4, []) for i in range(count)]


def soon() -> Deadline:
    return Deadline.after(5, SystemClock().monotonic())


def poll_often(source: KafkaSource) -> None:
    for _ in range(100):
        source.poll(10, 0.1)


def test_everything_is_read_once_and_in_order(produce: Produce, open_source: OpenSource, read_all: ReadAll) -> None:
    source, listener = open_source(produce(events(1000)), "order")
    records = read_all(source)
    assert records is not None
    assert sorted(records.values.to_list(), key=str) == sorted((b"v%d" % i for i in range(1000)), key=str)
    for index, split in enumerate(records.splits):
        assert records.offset[records.split_index == index].tolist() == list(range(250)), split
    assert {split.partition for split in listener.owned} == {0, 1, 2, 3}


def test_bytes_nulls_headers_and_timestamps_survive(
    produce: Produce, open_source: OpenSource, read_all: ReadAll
) -> None:
    topic = produce([(b"\xff", b"\x00", 0, HEADERS), (None, b"", 0, []), (b"k", None, 0, [])])
    source, _ = open_source(topic, "bytes")
    records = read_all(source)
    assert records is not None
    assert records.headers is not None
    assert records.values.to_list() == [b"\x00", b"", None]
    assert records.keys.to_list() == [b"\xff", None, b"k"]
    assert records.headers[0] == HEADERS
    assert records.timestamp_ms.tolist() == [1000, 1001, 1002]


def test_no_more_than_asked_for(produce: Produce, open_source: OpenSource, read_all: ReadAll) -> None:
    source, _ = open_source(produce(events(100)), "few")
    sizes = [len(records) for records in itertools.islice(iter(lambda: source.poll(7, 1.0), None), 10)]
    assert max(sizes) <= 7
    assert sum(sizes) + len(read_all(source) or ()) == 100


def test_what_a_poll_for_nothing_brings_is_handed_out_later(
    produce: Produce, open_source: OpenSource, read_all: ReadAll
) -> None:
    source, listener = open_source(produce(events(100)), "nothing")
    while len(listener.owned) < 4:
        assert source.poll(0, 0.05) is None
    for _ in range(20):
        assert source.poll(0, 0.01) is None
    assert not source.caught_up()
    records = read_all(source)
    assert records is not None
    assert len(records) == 100


def test_carrying_is_bounded_and_nothing_is_lost_by_it(
    produce: Produce, open_source: OpenSource, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_MAX_CARRIED", 10)
    source, _ = open_source(produce(events(200)), "bounded")
    while len(source._intake) < 10:
        source.poll(0, 0.01)
    for _ in range(100):
        source.poll(0, 0.0)
    assert len(source._intake) == 10
    records = read_all(source)
    assert records is not None
    assert sorted(records.offset.tolist()) == sorted(list(range(50)) * 4)


def test_a_rewind_reads_again_under_a_new_generation(
    produce: Produce, open_source: OpenSource, read_all: ReadAll
) -> None:
    source, _ = open_source(produce(events(100)), "rewind")
    records = read_all(source)
    assert records is not None
    old = records.splits[0]
    renamed = source.rewind({old: 5})
    assert list(renamed) == [old]
    assert renamed[old].generation > old.generation
    assert not source.caught_up()
    again = read_all(source)
    assert again is not None
    assert again.splits == (renamed[old],)
    assert again.offset.tolist() == list(range(5, 25))


def test_a_rewind_drops_what_was_carried_of_those_splits_only(
    produce: Produce, open_source: OpenSource, read_all: ReadAll
) -> None:
    source, listener = open_source(produce(events(80)), "carried")
    while len(source._intake) < 5:
        source.poll(0, 0.05)
    (_, carried_partition), *_ = source._intake.first_offsets()
    [split] = [split for split in listener.owned if split.partition == carried_partition]
    source.rewind({split: 0})
    records = read_all(source)
    assert records is not None
    assert sorted(records.offset.tolist()) == sorted(list(range(20)) * 4)


def test_a_rewind_ignores_splits_of_an_older_generation(
    produce: Produce, open_source: OpenSource, read_all: ReadAll
) -> None:
    source, _ = open_source(produce(events(8)), "older")
    records = read_all(source)
    assert records is not None
    split = records.splits[0]
    source.rewind({split: 0})
    assert source.rewind({split: 0}) == {}


def test_reading_goes_on_where_it_was_committed(produce: Produce, open_source: OpenSource, read_all: ReadAll) -> None:
    topic = produce(events(100))
    first, _ = open_source(topic, "resume")
    records = read_all(first)
    assert records is not None
    first.commit_now(dict.fromkeys(records.splits, Commit(20)), soon())
    first.close()
    second, _ = open_source(topic, "resume")
    rest = read_all(second)
    assert rest is not None
    assert sorted(rest.offset.tolist()) == sorted(list(range(20, 25)) * 4)


def test_a_commit_is_confirmed_while_polling_for_nothing(
    produce: Produce, open_source: OpenSource, read_all: ReadAll
) -> None:
    source, _ = open_source(produce(events(8)), "async")
    records = read_all(source)
    assert records is not None
    assert source.commit_done()
    source.begin_commit({split: Commit(offset) for split, offset in records.next_offsets().items()})
    while not source.commit_done():
        source.poll(0, 0.01)


def test_start_latest_reads_only_what_comes_later(produce: Produce, open_source: OpenSource) -> None:
    source, listener = open_source(produce(events(8)), "latest", start="latest")
    while not listener.owned:
        assert source.poll(10, 0.1) is None
    assert source.caught_up()
    assert {position.next_offset for position in source.positions().values()} == {2}


def test_start_fail_refuses_to_guess(produce: Produce, open_source: OpenSource) -> None:
    source, _ = open_source(produce(events(8)), "guess", start="fail")
    with pytest.raises(FatalError, match="no committed offset"):
        poll_often(source)


def test_positions_know_next_and_end(produce: Produce, open_source: OpenSource, read_all: ReadAll) -> None:
    source, listener = open_source(produce(events(40)), "positions")
    read_all(source)
    positions = source.positions()
    assert set(positions) == set(listener.owned)
    assert {(position.next_offset, position.end_offset) for position in positions.values()} == {(10, 10)}


def test_what_is_carried_is_not_read_yet(produce: Produce, open_source: OpenSource) -> None:
    source, listener = open_source(produce(events(40)), "carried-positions")
    while len(source._intake) < 3:
        source.poll(0, 0.05)
    carried = {partition for _, partition in source._intake.first_offsets()}
    assert carried
    positions = source.positions()
    assert [positions[split].next_offset for split in listener.owned if split.partition in carried] == [0] * len(
        carried
    )


def test_a_pause_stops_reading_and_keeps_the_place(
    produce: Produce, open_source: OpenSource, read_all: ReadAll
) -> None:
    source, listener = open_source(produce(events(400)), "pause")
    while not listener.owned:
        source.poll(0, 0.05)
    source.pause()
    paused = [source.poll(10, 0.02) for _ in range(3)]
    source.resume()
    rest = read_all(source)
    assert rest is not None
    assert sum(len(records) for records in paused if records is not None) + len(rest) == 400


def test_an_error_of_the_listener_reaches_the_caller_of_poll_as_itself(
    produce: Produce, open_source: OpenSource
) -> None:
    source, listener = open_source(produce(events(8)), "listener")

    def refuse(starts: Mapping[Split, Start]) -> None:
        raise FatalError(f"the listener refuses {len(starts)} splits")

    listener.splits_assigned = refuse  # type: ignore[method-assign]  # scripted fault
    with pytest.raises(FatalError, match="the listener refuses"):
        poll_often(source)

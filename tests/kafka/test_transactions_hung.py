"""Calls of the client that do not come back; see `stream_infer.kafka.properties` for how that can be."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stream_infer.clock import Deadline
from stream_infer.errors import FatalError, SinkUnavailable
from stream_infer.kafka.transactions import TransactionalKafkaSink
from tests.kafka.scripted_cluster import BATCH, COMMITS, Cluster, commit, soon


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What hanging calls wait for, until the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def hang_once(cluster: Cluster, sink: TransactionalKafkaSink, never: threading.Event) -> None:
    """A commit whose first call has not come back when its time is over, and a little more."""
    sink.publish(BATCH)
    cluster.producers[-1].send_offsets_to_transaction = lambda *_arguments: never.wait()
    sink.begin_commit(COMMITS, b"member")
    cluster.clock.advance(30.9)
    assert not sink.commit_done()
    cluster.clock.advance(0.2)


def transaction_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "transaction"]


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive(), "a call that comes back after all is the last of its thread"


def test_a_call_of_the_client_that_never_comes_back_is_left_behind_with_its_producer(
    cluster: Cluster, sink: TransactionalKafkaSink, never: threading.Event
) -> None:
    """Found by a trial: a connection that broke between two requests left `send_offsets_to_transaction` waiting."""
    threads = transaction_threads()
    hang_once(cluster, sink, never)
    with pytest.raises(SinkUnavailable, match="does not come back"):
        sink.commit_done()
    assert cluster.calls[-1] == "purge"
    assert sink.room() == 0
    sink.abort(soon(cluster))
    assert "abort" not in cluster.calls
    assert len(cluster.producers) == 2
    sink.publish(BATCH)
    commit(sink)
    never.set()
    join(threads)


def test_too_many_of_them_end_the_process(
    cluster: Cluster, sink: TransactionalKafkaSink, never: threading.Event
) -> None:
    threads, late = transaction_threads(), threading.Event()
    hang_once(cluster, sink, late)
    with pytest.raises(SinkUnavailable, match="does not come back"):
        sink.commit_done()
    sink.abort(soon(cluster))
    # What is only late does not count.
    late.set()
    join(threads)
    for _ in range(20):
        hang_once(cluster, sink, never)
        # An abort notices it as well.
        with pytest.raises(SinkUnavailable, match="does not come back"):
            sink.abort(Deadline(cluster.clock.monotonic()))
        sink.abort(soon(cluster))
        commit(sink)
    hang_once(cluster, sink, never)
    with pytest.raises(FatalError, match="21 calls of the Kafka client never came back"):
        sink.commit_done()

"""The transactional sink on a network that swallows, delays or breaks, and a broker that ends what became too old."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from integration.kafka_rig import CLOCK, Member
from integration.local_kafka import LocalKafka
from integration.mock.rig import scored_batch
from integration.proxy import Mode, TcpProxy
from integration.support_requests import Api, RequestProxy
from integration.topics import Topics
from integration.transaction_rig import Rig, abort_at_last, commit, soon
from stream_infer.errors import SinkUnavailable
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.types import Commit, Split

IMPATIENT = {"socket.timeout.ms": 1000}
"""A connection that is silent is given up sooner than by default."""


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


@pytest.fixture
def request_proxy(strict_kafka: LocalKafka) -> Iterator[RequestProxy]:
    """The same, for requests of one kind."""
    advertised_port = int(strict_kafka.advertised_address.rsplit(":", 1)[1])
    with contextlib.closing(RequestProxy(strict_kafka.proxied_address, advertised_port)) as proxy:
        yield proxy


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


# ------------------------------------------------------------------ a network that delays


def lose_patience(rig: Rig, request_proxy: RequestProxy, kind: Api) -> tuple[Member, Split, TransactionalKafkaSink]:
    """A commit of offset 9 whose requests of one kind are held back until nobody waits for them any more."""
    member, split = rig.owner()
    sink = rig.sink(through=request_proxy.address, client=IMPATIENT, commit_timeout_s=2)
    sink.publish(scored_batch([b"maybe"]))
    sink._publisher.flush(10)
    request_proxy.withhold(kind)
    with pytest.raises(SinkUnavailable):
        commit(sink, {split: Commit(9)}, member.source.membership())
    assert request_proxy.withheld_requests > 0
    return member, split, sink


@pytest.mark.parametrize("kind", [Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN])
def test_what_arrives_after_the_abort_changes_nothing(strict_rig: Rig, request_proxy: RequestProxy, kind: Api) -> None:
    """It would fall into the next transaction, if that had the same producer."""
    member, split, sink = lose_patience(strict_rig, request_proxy, kind)
    request_proxy.withhold()
    abort_at_last(sink)
    assert member.source.committed([split]) == {}
    sink.publish(scored_batch([b"kept"]))
    sink._publisher.flush(10)
    # The next transaction has sent its offsets and not ended when the request arrives.
    late = request_proxy.withheld_requests
    request_proxy.withhold(Api.END_TXN)
    sink.begin_commit({split: Commit(1)}, member.source.membership())
    while request_proxy.withheld_requests == late:
        assert not sink.commit_done(0.01)
    request_proxy.let_through(late)
    time.sleep(0.2)
    request_proxy.let_through()
    assert sink.commit_done(10)
    assert strict_rig.seen() == [b"kept"]
    assert member.source.committed([split]) == {split: 1}


def test_a_commit_that_arrives_before_the_abort_has_happened(strict_rig: Rig, request_proxy: RequestProxy) -> None:
    member, split, sink = lose_patience(strict_rig, request_proxy, Api.END_TXN)
    request_proxy.let_through()
    assert strict_rig.committed()[0] == 9
    abort_at_last(sink)
    assert member.source.committed([split]) == {split: 9}
    assert strict_rig.seen() == [b"maybe"]


# ------------------------------------------------------------------ a network that breaks


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_break_between_two_commits_delays_the_second_by_a_moment(
    strict_rig: Rig, proxy: TcpProxy, seconds: float
) -> None:
    """By default the client drops its brokers when none can be reached, and then waits for them for ever."""
    member, split = strict_rig.owner()
    sink = strict_rig.sink(through=proxy.address, client=IMPATIENT)
    commit(sink, {split: Commit(1)}, member.source.membership())
    proxy.mode = Mode.RESET
    time.sleep(seconds)
    proxy.mode = Mode.PASS
    began = CLOCK.monotonic()
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(2)}, member.source.membership())
    assert CLOCK.monotonic() - began < 5
    assert strict_rig.seen() == [b"kept"]


def test_a_client_that_waits_for_ever_gets_a_successor(strict_rig: Rig, proxy: TcpProxy) -> None:
    member, split = strict_rig.owner()
    forgetful = {**IMPATIENT, "metadata.recovery.strategy": "rebootstrap"}
    sink = strict_rig.sink(through=proxy.address, client=forgetful, commit_timeout_s=2)
    commit(sink, {split: Commit(1)}, member.source.membership())
    proxy.mode = Mode.RESET
    time.sleep(0.5)
    proxy.mode = Mode.PASS
    sink.publish(scored_batch([b"lost"]))
    with pytest.raises(SinkUnavailable, match="does not come back"):
        commit(sink, {split: Commit(2)}, member.source.membership())
    abort_at_last(sink)
    assert member.source.committed([split]) == {split: 1}
    sink.publish(scored_batch([b"kept"]))
    commit(sink, {split: Commit(2)}, member.source.membership())
    assert strict_rig.seen() == [b"kept"]

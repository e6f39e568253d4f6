"""The transactional sink against a scripted client: which call follows which answer."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from stream_infer.errors import FatalError, Fenced, NotAuthorized, SinkUnavailable, TopicMissing
from stream_infer.kafka.transactions import TransactionalKafkaSink
from tests.kafka.scripted_cluster import AGAIN, BATCH, COMMITS, Cluster, commit, new_sink, soon

FENCED = KafkaError(KafkaError._FENCED, "fenced by newer producer instance", fatal=True)
MOVED_ON = KafkaError(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True)
SPOILT = KafkaError(KafkaError._INCONSISTENT, "1 message(s) failed delivery", txn_requires_abort=True)


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


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.NOT_COORDINATOR])
def test_offsets_that_may_still_be_on_their_way_never_meet_the_next_transaction(
    cluster: Cluster, sink: TransactionalKafkaSink, code: int
) -> None:
    """The client would abort and go on with the same epoch."""
    cluster.script["offsets"].append(KafkaError(code, txn_requires_abort=True))
    with pytest.raises(SinkUnavailable):
        commit(sink)
    sink.abort(soon(cluster))
    assert "abort" not in cluster.calls
    assert len(cluster.producers) == 2


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
    cluster.producers[0].fail(KafkaError(KafkaError._MSG_TIMED_OUT))
    assert sink.room() == 0
    cluster.script["commit"].append(SPOILT)
    with pytest.raises(SinkUnavailable, match="publishing to topic scored, partition 2 failed"):
        commit(sink)


def test_a_delivery_that_is_told_of_after_the_error_that_it_caused_is_named_all_the_same(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    """The client queues the report of a delivery behind the transaction's error, and offsets fail in between."""
    sink.publish(BATCH)
    cluster.producers[0].late.append(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    cluster.script["offsets"].append(SPOILT)
    with pytest.raises(FatalError, match=r"topic scored, partition 2.*max\.message\.bytes"):
        commit(sink)


def test_a_delivery_that_is_refused_for_good_outweighs_everything(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    sink.publish(BATCH)
    cluster.producers[0].fail(KafkaError(KafkaError._MSG_TIMED_OUT))
    cluster.producers[0].fail(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    cluster.script["offsets"].append(MOVED_ON)
    with pytest.raises(FatalError, match=r"topic scored, partition 2.*max\.message\.bytes"):
        commit(sink)


def test_what_failed_is_forgotten_with_its_transaction(cluster: Cluster, sink: TransactionalKafkaSink) -> None:
    sink.publish(BATCH)
    cluster.producers[0].fail(KafkaError(KafkaError._MSG_TIMED_OUT))
    sink.abort(soon(cluster))
    assert sink.room() > 0


def test_a_delivery_that_failed_because_the_producer_was_shut_out_is_no_refusal(
    cluster: Cluster, sink: TransactionalKafkaSink
) -> None:
    sink.publish(BATCH)
    cluster.producers[0].fail(FENCED)
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
    cluster.producers[0].fail(KafkaError(KafkaError._PURGE_QUEUE))
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

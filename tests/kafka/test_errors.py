from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_infer.errors import (
    CommitFailed,
    FatalError,
    Fenced,
    NotAuthorized,
    RetriableError,
    SourceUnavailable,
    TopicMissing,
)
from stream_infer.kafka.errors import client_error, from_exception, place, to_error, translated


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError._TRANSPORT, SourceUnavailable),
        (KafkaError._ALL_BROKERS_DOWN, SourceUnavailable),
        (KafkaError._TIMED_OUT, SourceUnavailable),
        (KafkaError.NOT_LEADER_FOR_PARTITION, SourceUnavailable),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, SourceUnavailable),
        (KafkaError.NOT_ENOUGH_REPLICAS, SourceUnavailable),
        (KafkaError.ILLEGAL_GENERATION, SourceUnavailable),
        (KafkaError._AUTHENTICATION, NotAuthorized),
        (KafkaError.SASL_AUTHENTICATION_FAILED, NotAuthorized),
        (KafkaError._SSL, NotAuthorized),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, NotAuthorized),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, NotAuthorized),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, NotAuthorized),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TopicMissing),
        (KafkaError._UNKNOWN_TOPIC, TopicMissing),
        (KafkaError.FENCED_INSTANCE_ID, Fenced),
        (KafkaError._FENCED, Fenced),
        (KafkaError.INCONSISTENT_GROUP_PROTOCOL, FatalError),
        (KafkaError.UNSUPPORTED_COMPRESSION_TYPE, FatalError),
    ],
)
def test_a_code_says_what_the_pipeline_does(code: int, expected: type[Exception]) -> None:
    assert type(to_error(KafkaError(code), "reading")) is expected


def test_the_clients_flags_decide_where_the_code_is_not_known() -> None:
    assert isinstance(to_error(KafkaError(KafkaError.INVALID_REQUEST), "reading"), FatalError)
    assert isinstance(to_error(KafkaError(KafkaError.INVALID_REQUEST, retriable=True), "reading"), RetriableError)


def test_a_fatal_flag_outweighs_a_code_that_may_pass() -> None:
    error = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True)
    assert isinstance(to_error(error, "publishing"), FatalError)


def test_the_caller_names_the_stage_of_what_may_pass() -> None:
    error = to_error(KafkaError(KafkaError._TIMED_OUT), "committing offsets", retriable=CommitFailed)
    assert isinstance(error, CommitFailed)


def test_a_message_names_the_place_and_the_remedy() -> None:
    error = to_error(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "reading", where=place("payments", 3, 1042))
    assert "topic payments, partition 3, offset 1042" in str(error)
    assert "ACL" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(KafkaError._AUTHENTICATION, "sasl.password"), (KafkaError._SSL, "ssl.ca.location")],
)
def test_a_refusal_names_the_property_to_check(code: int, remedy: str) -> None:
    assert remedy in str(to_error(KafkaError(code), "connecting"))


def test_an_exception_is_mapped_by_the_error_it_carries() -> None:
    error = from_exception(KafkaException(KafkaError(KafkaError._TRANSPORT, "refused")), "reading", where="at x:1")
    assert isinstance(error, SourceUnavailable)
    assert str(error) == "reading at x:1 failed: refused (_TRANSPORT)"


def masked_by_a_callback(error: Exception) -> SystemError:
    """What the client raises when two callbacks of ours ran into its fatal error."""
    first, second = SystemError("code() returned a result with an exception set"), SystemError("and once more")
    first.__cause__, second.__cause__ = error, first
    return second


def test_a_fatal_error_that_a_callback_ran_into_is_found_behind_it() -> None:
    fenced = KafkaError(KafkaError._FENCED, fatal=True)
    masked = masked_by_a_callback(KafkaException(fenced))
    assert client_error(masked) == fenced
    with pytest.raises(Fenced), translated("reading"):
        raise masked


def test_another_system_error_is_a_bug_and_stays_one() -> None:
    bug = masked_by_a_callback(ValueError("ours"))
    with pytest.raises(SystemError) as found, translated("reading"):
        raise bug
    assert found.value is bug


def test_a_place_leaves_out_what_is_not_known() -> None:
    assert place("payments", 0, -1001) == "topic payments, partition 0"
    assert place(None) == ""

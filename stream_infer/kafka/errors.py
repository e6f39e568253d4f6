"""KafkaError -> the tree of `stream_infer.errors`, by the client's own codes and flags, never by its text.

Rule: what an operator must change is fatal (credentials, rights, topics, a fenced identity); what the next
minute may change is retriable; what is in neither list is fatal too, because repeating what is not understood
helps nobody. Every message says what was being done, on which topic, partition and offset, and the remedy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from confluent_kafka import KafkaError, KafkaException

from stream_infer.errors import (
    FatalError,
    Fenced,
    NotAuthorized,
    RetriableError,
    SourceUnavailable,
    StreamInferError,
    TopicMissing,
)

AUTHENTICATION = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)
"""Who we are is not believed."""

TLS = frozenset({KafkaError._SSL})
"""No trusted connection: a certificate is refused by one side or the other."""

_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
    KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED: "delegation token",
}

_MISSING = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)

_FENCED = frozenset(
    {KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID, KafkaError.PRODUCER_FENCED, KafkaError.UNRELEASED_INSTANCE_ID}
)

CLIENT_EXCEPTIONS = (KafkaException, SystemError)
"""What a call of the client may raise where it serves callbacks; `client_error` says what is behind it."""

OFFSET_GONE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
"""The offset to read from does not exist (``auto.offset.reset = error`` reports it instead of jumping)."""

_TRANSIENT = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._IN_PROGRESS,
        KafkaError._PREV_IN_PROGRESS,
        KafkaError._RETRY,
        KafkaError._STATE,
        KafkaError._NODE_UPDATE,
        KafkaError._DESTROY_BROKER,
        KafkaError._QUEUE_FULL,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._INTR,
        KafkaError._NO_OFFSET,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._BAD_MSG,
        KafkaError._PARTIAL,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.LISTENER_NOT_FOUND,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.INVALID_FETCH_SESSION_EPOCH,
        KafkaError.FETCH_SESSION_ID_NOT_FOUND,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.MEMBER_ID_REQUIRED,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        # The broker forgot an idempotent producer's state: the messages fail, the next ones get a new epoch.
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_MSG,
        KafkaError.REBOOTSTRAP_REQUIRED,
    }
)


def is_refusal(error: KafkaError) -> bool:
    """True where the broker (or TLS) refuses who we are, or what we ask."""
    return error.code() in AUTHENTICATION or error.code() in TLS or error.code() in _RIGHTS


def is_transient(error: KafkaError) -> bool:
    """True where trying again later may work."""
    return not error.fatal() and (error.retriable() or error.code() in _TRANSIENT)


def to_error(
    error: KafkaError,
    doing: str,
    *,
    where: str = "",
    retriable: Callable[[str], RetriableError] = SourceUnavailable,
) -> StreamInferError:
    """The error to raise for what the client reports.

    Args:
        error: the client's report.
        doing: what was being done, as a gerund: ``"reading"``, ``"committing offsets"``.
        where: the topic, partition, group or address concerned, as `place` writes it.
        retriable: what to make of an error that may pass.
    """
    on = f" {where}" if where else ""
    code = error.code()
    if is_refusal(error):
        return NotAuthorized(_refused(error, doing, on))
    if code in _MISSING:
        return TopicMissing(f"{doing}{on} failed: it does not exist (create it: stream-infer topics create CONFIG)")
    if code in _FENCED:
        return Fenced(
            f"{doing}{on} failed: another instance with the same group.instance.id or transactional.id took over; "
            f"give every instance its own"
        )
    sentence = f"{doing}{on} failed: {describe(error)}"
    return retriable(sentence) if is_transient(error) else FatalError(sentence)


def from_exception(
    exception: KafkaException,
    doing: str,
    *,
    where: str = "",
    retriable: Callable[[str], RetriableError] = SourceUnavailable,
) -> StreamInferError:
    """`to_error` for the KafkaError that a KafkaException carries."""
    return to_error(exception.args[0], doing, where=where, retriable=retriable)


@contextlib.contextmanager
def translated(
    doing: str, *, where: str = "", retriable: Callable[[str], RetriableError] = SourceUnavailable
) -> Iterator[None]:
    """Raise an exception of the client in the block as what `to_error` makes of it."""
    try:
        yield
    except CLIENT_EXCEPTIONS as error:
        raise to_error(client_error(error), doing, where=where, retriable=retriable) from error


def client_error(exception: KafkaException | SystemError) -> KafkaError:
    """The report that an exception of the client carries.

    The client (2.16) raises a fatal error from inside ``poll``, ``flush`` and the calls of transactions, but goes on
    serving callbacks before it comes back. A callback of ours that runs then dies of a SystemError ("returned a result
    with an exception set"), and it is this one that arrives, with the client's own as its cause.

    Raises:
        SystemError: the one given, if no exception of the client is behind it.
    """
    cause: BaseException | None = exception
    while not isinstance(cause, KafkaException):
        if cause is None:
            raise exception
        cause = cause.__cause__
    error: KafkaError = cause.args[0]
    return error


def describe(error: KafkaError) -> str:
    """The client's text and the code's name: ``Connection refused (_TRANSPORT)``."""
    return f"{error.str()} ({error.name()})"


def place(topic: str | None, partition: int | None = None, offset: int | None = None) -> str:
    """``topic payments, partition 3, offset 1042``; what is None or negative is left out."""
    parts = [f"topic {topic}"] if topic else []
    parts += [f"{name} {number}" for name, number in (("partition", partition), ("offset", offset)) if _known(number)]
    return ", ".join(parts)


def _known(number: int | None) -> bool:
    return number is not None and number >= 0


def _refused(error: KafkaError, doing: str, on: str) -> str:
    code = error.code()
    if code in AUTHENTICATION:
        return (
            f"{doing}{on} failed: the broker refuses these credentials ({error.str()}); "
            f"check sasl.mechanism, sasl.username and sasl.password in kafka.client"
        )
    if code in TLS:
        return (
            f"{doing}{on} failed: no TLS connection ({error.str()}); "
            f"check security.protocol, ssl.ca.location and the certificates in kafka.client"
        )
    return f"{doing}{on} failed: no right to this {_RIGHTS[code]} ({error.name()}); have an ACL granted for it"


__all__ = [
    "AUTHENTICATION",
    "CLIENT_EXCEPTIONS",
    "OFFSET_GONE",
    "TLS",
    "client_error",
    "describe",
    "from_exception",
    "is_refusal",
    "is_transient",
    "place",
    "to_error",
    "translated",
]

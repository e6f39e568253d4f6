"""Questions to the cluster and topics made on it, each bounded by a timeout.

Rule: nothing here creates a topic by asking for it. A broker with ``auto.create.topics.enable`` makes every topic
whose metadata a producer asks for, so topics are looked up in the list of all, and a name that is not in it is
described (which never creates) to tell a missing topic from one that may not be seen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the client's stubs leave these three out
    AdminClient,
    ConfigResource,
    ListOffsetsResultInfo,
    NewTopic,
    OffsetSpec,
)

from stream_infer.clock import Clock, Deadline
from stream_infer.errors import SourceUnavailable, TopicMissing
from stream_infer.kafka.client_log import client_logger
from stream_infer.kafka.errors import from_exception, is_refusal, place
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.watch import ConnectionWatch

_LOGGER = logging.getLogger("stream_infer.kafka")
SHOWN_SETTINGS = (
    "cleanup.policy",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
    "retention.ms",
)
"""Settings of a topic that a pipeline's behaviour depends on."""
_ATTEMPT_S = 1.0
"""How long one attempt to reach a broker waits, and so how late a refusal is noticed."""
_ASK_AGAIN_S = 0.2
"""Pause before a coordinator that is still loading is asked again; it takes a second or so."""
_NEW_TOPIC_S = 0.5
"""How long the word of a new topic may take from the controller to the brokers."""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as the cluster describes it."""

    name: str
    partitions: int
    replication_factor: int


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create. ``replication_factor = -1`` leaves the number to the broker.

    ``settings`` are topic settings of the broker, such as ``retention.ms`` or ``max.message.bytes``.
    """

    name: str
    partitions: int
    replication_factor: int = -1
    settings: Mapping[str, str] = field(default_factory=dict)


class KafkaAdmin:
    """The administrative side of a cluster. May be called from any thread.

    Args:
        properties: of `admin_properties`.
        clock: read while waiting for a broker.
        timeout_s: bounds every single question, in seconds.
        isolation_level: ``read_committed`` where the end of a log is the last stable offset.
    """

    def __init__(
        self, properties: Properties, clock: Clock, timeout_s: float = 10.0, isolation_level: str = "read_committed"
    ) -> None:
        self._address = str(properties["bootstrap.servers"])
        self._clock = clock
        self._timeout_s = timeout_s
        committed_only = isolation_level == "read_committed"
        self._isolation = IsolationLevel.READ_COMMITTED if committed_only else IsolationLevel.READ_UNCOMMITTED
        self._watch = ConnectionWatch(self._address)
        settings: dict[str, Any] = {**properties, "error_cb": self._watch, "logger": client_logger()}
        try:
            self._client = AdminClient(settings)
        except KafkaException as error:
            raise from_exception(error, "opening an admin client") from error

    def wait_ready(self, timeout_s: float, *, patient: bool = True) -> None:
        """Wait until a broker answers.

        Args:
            timeout_s: how long to wait, in seconds.
            patient: False to give up as soon as every broker has refused the connection.

        Raises:
            SourceUnavailable: none did within ``timeout_s``.
            NotAuthorized: the credentials or the certificates are refused; raised at once.
        """
        began_at = self._clock.monotonic()
        deadline = Deadline.after(timeout_s, began_at)
        announced = False
        while not self._answers(max(0.1, min(_ATTEMPT_S, deadline.remaining(self._clock.monotonic())))):
            now = self._clock.monotonic()
            if deadline.passed(now) or (self._watch.down and not patient):
                raise SourceUnavailable(
                    f"{self._watch.reason()}; gave up after {now - began_at:.0f} s (check kafka.bootstrap_servers)"
                )
            if not announced:
                _LOGGER.warning("no broker answered yet; trying again", extra={"brokers": self._address})
                announced = True

    def topics(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        """Those of ``names`` that exist.

        Raises:
            SourceUnavailable: no answer in time.
            NotAuthorized: a topic may not be described.
        """
        try:
            known = self._client.list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise self._failure(error, "listing topics") from error
        found = {}
        for name in dict.fromkeys(names):
            if name in known:
                partitions = known[name].partitions
                replicas = min((len(partition.replicas) for partition in partitions.values()), default=0)
                found[name] = TopicInfo(name, len(partitions), replicas)
            else:
                self._check_visible(name)
        return found

    def require_topics(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        """`topics`, or TopicMissing naming every one that does not exist."""
        wanted = list(dict.fromkeys(names))
        found = self.topics(wanted)
        if len(found) < len(wanted):
            # A topic created a moment ago may not be known to every broker yet.
            self._clock.sleep(_NEW_TOPIC_S)
            found = self.topics(wanted)
        missing = [name for name in wanted if name not in found]
        if missing:
            noun = "topic does" if len(missing) == 1 else "topics do"
            raise TopicMissing(
                f"{noun} not exist at {self._address}: {', '.join(missing)} "
                f"(create with: stream-infer topics create CONFIG)"
            )
        return found

    def create_topics(self, specs: Sequence[TopicSpec]) -> tuple[str, ...]:
        """Create the topics that do not exist yet; returns the names of those created.

        Raises:
            SourceUnavailable, NotAuthorized, FatalError: with the topic's name.
        """
        new = [
            NewTopic(spec.name, spec.partitions, spec.replication_factor, config=dict(spec.settings)) for spec in specs
        ]
        futures = self._client.create_topics(new, request_timeout=self._timeout_s) if new else {}
        return tuple(name for name, future in futures.items() if self._created(name, future))

    def topic_settings(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """`SHOWN_SETTINGS` of each of these topics, as in force (the broker's defaults included).

        Raises:
            SourceUnavailable: no answer in time.
            NotAuthorized: the settings of a topic may not be described.
        """
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        asked = self._client.describe_configs(resources, request_timeout=self._timeout_s) if resources else {}
        found = {}
        for resource, future in asked.items():
            settings = self._answer(future, "describing settings", place(resource.name))
            found[resource.name] = {name: str(settings[name].value) for name in SHOWN_SETTINGS if name in settings}
        return found

    def check_group(self, group_id: str) -> None:
        """Ask what the group is, which takes the right to the group.

        A coordinator that is still loading (the first group of a new cluster, a restarted broker) is asked again.

        Raises:
            NotAuthorized, SourceUnavailable
        """
        deadline = Deadline.after(self._timeout_s, self._clock.monotonic())
        while True:
            try:
                self._describe_group(group_id)
            except SourceUnavailable:
                if deadline.passed(self._clock.monotonic()):
                    raise
                self._clock.sleep(_ASK_AGAIN_S)
            else:
                return

    def _describe_group(self, group_id: str) -> None:
        # Not list_consumer_group_offsets, which takes the same right: librdkafka (2.16 too, issue 5040) crashes the
        # process where the coordinator of the group has just come into being and answers NOT_COORDINATOR.
        futures = self._client.describe_consumer_groups([group_id], request_timeout=self._timeout_s)
        for future in futures.values():
            self._answer(future, "describing", f"group {group_id}")

    def beginnings(self, partitions: Iterable[TopicPartition]) -> dict[tuple[str, int], int]:
        """First offset of each partition that still exists, by topic and partition."""
        return self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # untyped in the client

    def ends(self, partitions: Iterable[TopicPartition]) -> dict[tuple[str, int], int]:
        """End of each partition (the offset of the next record), by topic and partition."""
        return self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # untyped in the client

    def _answers(self, wait_s: float) -> bool:
        try:
            self._client.list_topics(timeout=wait_s)
        except KafkaException as error:
            self._client.poll(0)
            refusal = self._watch.refusal()
            if refusal is None and is_refusal(error.args[0]):
                refusal = from_exception(error, "connecting", where=f"to {self._address}")
            if refusal is not None:
                raise refusal from error
            return False
        self._client.poll(0)
        self._watch.answered()
        return True

    def _check_visible(self, name: str) -> None:
        futures = self._client.describe_topics(TopicCollection([name]), request_timeout=self._timeout_s)
        for future in futures.values():
            try:
                future.result()
            except KafkaException as error:
                if is_refusal(error.args[0]):
                    raise from_exception(error, "describing", where=place(name)) from error

    def _created(self, name: str, future: Future[None]) -> bool:
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise self._failure(error, "creating", place(name)) from error
        return True

    def _offsets(self, partitions: Iterable[TopicPartition], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        request = {TopicPartition(p.topic, p.partition): spec for p in partitions}
        if not request:
            return {}
        try:
            return self._list_offsets(request)
        except SourceUnavailable:
            # After a change of leader the client goes on asking with the old leader's epoch, for ever
            # (FENCED_LEADER_EPOCH, librdkafka 2.16). Listing the topics brings it up to date.
            self._answers(self._timeout_s)
            return self._list_offsets(request)

    def _list_offsets(self, request: dict[TopicPartition, OffsetSpec]) -> dict[tuple[str, int], int]:
        futures = self._client.list_offsets(request, isolation_level=self._isolation, request_timeout=self._timeout_s)
        found = {}
        for partition, future in futures.items():
            where = f"of {place(partition.topic, partition.partition)}"
            info: ListOffsetsResultInfo = self._answer(future, "looking up offsets", where)
            found[partition.topic, partition.partition] = info.offset
        return found

    def _answer(self, future: Future[_Answer], doing: str, where: str) -> _Answer:
        try:
            return future.result()
        except KafkaException as error:
            raise self._failure(error, doing, where) from error

    def _failure(self, error: KafkaException, doing: str, where: str = "") -> Exception:
        """The client's error; a refused connection shows here as a timeout, and the watch knows better."""
        self._client.poll(0)
        return self._watch.refusal() or from_exception(error, doing, where=where or f"at {self._address}")


__all__ = ["SHOWN_SETTINGS", "KafkaAdmin", "TopicInfo", "TopicSpec"]

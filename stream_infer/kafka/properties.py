"""The config's Kafka section as librdkafka properties, one mapping for each kind of client.

Rule: ours are defaults and the user's ``kafka.client`` wins, except for the few properties that the delivery
guarantee rests on. Those are governed by a key of the config, and setting them behind its back is a problem
that names the key. A sub-table ``consumer``, ``producer`` or ``admin`` speaks to that client alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream_infer.errors import ConfigProblem
from stream_infer.kafka.client_log import client_logger
from stream_infer.redact import is_secret

PropertyValue: TypeAlias = str | int | float | bool
Properties: TypeAlias = Mapping[str, PropertyValue]

ROLES = ("consumer", "producer", "admin")

MANAGED: Mapping[str, str] = {
    "bootstrap.servers": "kafka.bootstrap_servers",
    "metadata.broker.list": "kafka.bootstrap_servers",
    "client.id": "name",
    "group.id": "source.group_id",
    "auto.offset.reset": "source.start and source.on_data_loss",
    "enable.auto.commit": "delivery.commit_interval_ms",
    "auto.commit.enable": "delivery.commit_interval_ms",
    "auto.commit.interval.ms": "delivery.commit_interval_ms",
    "enable.auto.offset.store": "delivery.commit_interval_ms",
    "enable.partition.eof": "--until-caught-up",
    "enable.idempotence": "delivery.guarantee",
    "acks": "delivery.guarantee",
    "request.required.acks": "delivery.guarantee",
    "transactional.id": "delivery.guarantee",
    "delivery.report.only.error": "delivery.guarantee",
    "transaction.timeout.ms": "delivery.transaction_timeout_ms",
    "delivery.timeout.ms": "timeouts.publish_seconds",
    "message.timeout.ms": "timeouts.publish_seconds",
    "queue.buffering.max.messages": "flow.max_unacknowledged",
}
"""Properties that cannot be set directly, and the key of the config (or the flag) that governs each."""

_CALLBACKS = frozenset({"on_delivery", "on_commit", "logger", "default.topic.config", "plugin.library.paths"})
"""Properties whose value is code, or a library to load: nothing a file of settings may say."""

_FAILED = re.compile(r"^Failed to create \w+: ")

_COMMON: Properties = {
    # A broker that accepts bytes and never answers is given up after this instead of after 60 s.
    "socket.timeout.ms": 10_000,
    # Brokers close idle connections all day long; it is no news.
    "log.connection.close": False,
}

_CONSUMER: Properties = {
    # Only the partitions that move stop: the others go on through a rebalance.
    "partition.assignment.strategy": "cooperative-sticky",
    "isolation.level": "read_committed",
    # At librdkafka's 1000 a consumer whose queue is bounded starves (measured: 5 % of its speed).
    "fetch.queue.backoff.ms": 10,
    # How much is fetched ahead, over all partitions: enough to be fast, little enough to stay flat.
    "queued.min.messages": 10_000,
    "queued.max.messages.kbytes": 16_384,
    # Bounds how long a resumed or newly assigned partition waits behind the long poll of the others.
    "fetch.wait.max.ms": 100,
}

_PRODUCER: Properties = {
    # Java's partitioner, so that a topic keyed alike by a Java producer is partitioned alike.
    "partitioner": "murmur2_random",
    "compression.type": "lz4",
    "linger.ms": 5,
}

_TRANSACTIONAL: Properties = {
    # Sending offsets waits without any timeout until the group's coordinator is connected (librdkafka issue 5456). So a
    # lost connection is to be back soon,
    "reconnect.backoff.max.ms": 1000,
    # and the broker must not be forgotten meanwhile, as by default all are when none can be reached: such a wait never
    # ends (issue 5511). The way to brokers that have moved is a new producer, which every failed commit leads to.
    "metadata.recovery.strategy": "none",
}


class Transaction(NamedTuple):
    """What a producer of transactions is called, and how long one may be open."""

    transactional_id: str
    timeout_ms: int

    def properties(self) -> dict[str, PropertyValue]:
        """In librdkafka's words."""
        return {"transactional.id": self.transactional_id, "transaction.timeout.ms": self.timeout_ms}


def consumer_properties(
    bootstrap_servers: str, client: Mapping[str, Any], *, client_id: str, group_id: str
) -> dict[str, PropertyValue]:
    """Properties of the consumer behind a `KafkaSource`.

    Args:
        bootstrap_servers: ``host:port[,host:port...]``.
        client: the user's ``kafka.client`` table.
        client_id: what broker logs and quotas call this process.
        group_id: the consumer group.
    """
    merged = {**_COMMON, **_CONSUMER, **_for_role(client, "consumer")}
    if merged.get("group.protocol") == "consumer" and "partition.assignment.strategy" not in flatten(client):
        # With KIP-848 the broker assigns, and librdkafka refuses to be told how.
        merged.pop("partition.assignment.strategy")
    return {
        **merged,
        "bootstrap.servers": bootstrap_servers,
        "client.id": client_id,
        "group.id": group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where to start is decided in `assignment`; a gap must be an error, never a silent jump.
        "auto.offset.reset": "error",
        "enable.partition.eof": False,
    }


def producer_properties(
    bootstrap_servers: str,
    client: Mapping[str, Any],
    *,
    client_id: str,
    publish_timeout_s: float,
    transaction: Transaction | None = None,
) -> dict[str, PropertyValue]:
    """Properties of the producer behind a `KafkaSink`.

    Args:
        bootstrap_servers: ``host:port[,host:port...]``.
        client: the user's ``kafka.client`` table.
        client_id: what broker logs and quotas call this process.
        publish_timeout_s: seconds after which a message that is not acknowledged has failed.
        transaction: with exactly-once.
    """
    publish_timeout_ms = max(1, round(publish_timeout_s * 1000))
    defaults = {**_COMMON, **_PRODUCER}
    if transaction is not None:
        # The broker ends a transaction that is older, and with it the producer; librdkafka refuses longer ones.
        publish_timeout_ms = min(publish_timeout_ms, transaction.timeout_ms)
        defaults |= {**_TRANSACTIONAL, "socket.timeout.ms": min(10_000, transaction.timeout_ms)}
    return {
        **defaults,
        **_for_role(client, "producer"),
        "bootstrap.servers": bootstrap_servers,
        "client.id": client_id,
        "enable.idempotence": True,
        "acks": "all",
        "delivery.timeout.ms": publish_timeout_ms,
        # A report for every message doubles the cost of producing; failures are all the sink needs to hear of.
        "delivery.report.only.error": True,
        **({} if transaction is None else transaction.properties()),
    }


def admin_properties(bootstrap_servers: str, client: Mapping[str, Any], *, client_id: str) -> dict[str, PropertyValue]:
    """Properties of an AdminClient. Arguments as in `producer_properties`."""
    return {
        **_COMMON,
        **_for_role(client, "admin"),
        "bootstrap.servers": bootstrap_servers,
        "client.id": client_id,
    }


def flatten(table: Mapping[str, Any]) -> dict[str, PropertyValue]:
    """A table with dotted keys: TOML reads an unquoted ``sasl.password = "x"`` as a table in a table."""
    flat: dict[str, PropertyValue] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{rest}": inner for rest, inner in flatten(value).items()})
        else:
            flat[key] = value
    return flat


def client_problems(client: Mapping[str, Any], path: str = "kafka.client") -> list[ConfigProblem]:
    """Everything wrong with a ``kafka.client`` table that can be told without a broker.

    Managed properties are named with the key that governs them; for the rest librdkafka itself is asked
    (unknown names, values out of range, files that cannot be read, properties that contradict each other).
    """
    problems = []
    for key in flatten(client):
        role, name = _split_role(key)
        prefix = f"{path}.{role}" if role else path
        if name in MANAGED:
            problems.append(ConfigProblem(f"{prefix}.{name}", "cannot be set here", f"set {MANAGED[name]} instead"))
        elif name in _CALLBACKS or name.endswith("_cb"):
            problems.append(ConfigProblem(f"{prefix}.{name}", "cannot be set in a file"))
    return problems or _librdkafka_problems(client, path)


def exactly_once_problems(client: Mapping[str, Any], path: str = "kafka.client") -> list[ConfigProblem]:
    """What of a ``kafka.client`` table takes exactly-once away."""
    problems = []
    for key, value in flatten(client).items():
        role, name = _split_role(key)
        if name == "isolation.level" and role in ("", "consumer") and str(value).lower() != "read_committed":
            prefix = f"{path}.{role}" if role else path
            message = "an offset would be read while the transaction that moves it is still open"
            problems.append(ConfigProblem(f"{prefix}.{name}", message, 'leave it out with guarantee = "exactly_once"'))
    return problems


def _split_role(key: str) -> tuple[str, str]:
    head, _, rest = key.partition(".")
    return (head, rest) if head in ROLES else ("", key)


def _for_role(client: Mapping[str, Any], role: str) -> dict[str, PropertyValue]:
    shared, own = {}, {}
    for key, value in flatten(client).items():
        spoken_to, name = _split_role(key)
        if not spoken_to:
            shared[name] = value
        elif spoken_to == role:
            own[name] = value
    return {**shared, **own}


def _librdkafka_problems(client: Mapping[str, Any], path: str) -> list[ConfigProblem]:
    # Without bootstrap.servers a client reads its properties and files and then connects to nobody.
    builders: tuple[tuple[str, dict[str, PropertyValue], Callable[[dict[str, Any]], Any]], ...] = (
        ("consumer", consumer_properties("", client, client_id="lint", group_id="lint"), Consumer),
        ("producer", producer_properties("", client, client_id="lint", publish_timeout_s=30), Producer),
        ("admin", admin_properties("", client, client_id="lint"), AdminClient),
    )
    found: dict[str, ConfigProblem] = {}
    for role, properties, build in builders:
        del properties["bootstrap.servers"]
        for problem in _refusals(role, properties, build, client, path):
            found.setdefault(problem.path, problem)
    return list(found.values())


def _refusals(
    role: str,
    properties: dict[str, PropertyValue],
    build: Callable[[dict[str, Any]], Any],
    client: Mapping[str, Any],
    path: str,
) -> list[ConfigProblem]:
    """What librdkafka refuses, one property after the other: it reports only the first it meets."""
    problems: list[ConfigProblem] = []
    # The longest name first: a sentence about "ssl.key.location" also holds "ssl.key".
    suspects = sorted(_for_role(client, role), key=len, reverse=True)
    while True:
        try:
            build({**properties, "logger": client_logger()})
        except KafkaException as error:
            sentence = _FAILED.sub("", error.args[0].str())
        else:
            return problems
        named = next((key for key in suspects if key in sentence and key in properties), None)
        problems.append(_problem(named, sentence, role, client, path))
        if named is None:
            return problems
        del properties[named]


def _problem(named: str | None, sentence: str, role: str, client: Mapping[str, Any], path: str) -> ConfigProblem:
    if named is None:
        return ConfigProblem(path, sentence)
    own = f"{role}.{named}" in flatten(client)
    message = "librdkafka refuses the value" if is_secret(named) else sentence
    return ConfigProblem(f"{path}.{role}.{named}" if own else f"{path}.{named}", message)


__all__ = [
    "MANAGED",
    "Properties",
    "PropertyValue",
    "Transaction",
    "admin_properties",
    "client_problems",
    "consumer_properties",
    "exactly_once_problems",
    "flatten",
    "producer_properties",
]

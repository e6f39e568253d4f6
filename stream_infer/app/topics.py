"""``topics create|list|describe``: the topics that a config names.

Rule: only what does not exist is created, and nothing that exists is changed. Outputs get as many partitions as the
input, so that ``sink.partition = "input"`` and co-partitioned joins work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stream_infer.app import assembly
from stream_infer.clock import SystemClock
from stream_infer.config.model import Config
from stream_infer.config.options import TopicReport
from stream_infer.kafka.admin import KafkaAdmin, TopicInfo, TopicSpec

_DEFAULT_PARTITIONS = 4
"""Of an input topic that does not exist yet and for which no number was given."""
_CONNECT_TIMEOUT_S = 10.0


def topics_create(
    config: Config, *, partitions: int | None = None, replication_factor: int | None = None
) -> Iterator[TopicReport]:
    """Create the topics that do not exist.

    Args:
        config: names the topics.
        partitions: of new topics; None: as many as the input has, or 4 for a new input.
        replication_factor: of new topics; None: the broker's default.
    """
    admin = _connected(config)
    roles = _roles(config)
    found = admin.topics(roles)
    wanted = partitions or max(
        (found[t].partitions for t in config.source.topics if t in found), default=_DEFAULT_PARTITIONS
    )
    specs = [
        TopicSpec(topic, wanted, -1 if replication_factor is None else replication_factor)
        for topic in roles
        if topic not in found
    ]
    created = set(admin.create_topics(specs))
    for spec in specs:
        found.setdefault(spec.name, TopicInfo(spec.name, spec.partitions, spec.replication_factor))
    for topic in roles:
        yield _report(roles, found, topic, "created" if topic in created else "existed")


def topics_list(config: Config) -> Iterator[TopicReport]:
    """Every topic of the config, and whether it exists."""
    roles = _roles(config)
    found = _connected(config).topics(roles)
    for topic in roles:
        yield _report(roles, found, topic, "" if topic in found else "missing")


def topics_describe(config: Config) -> Iterator[TopicReport]:
    """As `topics_list`, with the settings of each and notes on what does not fit together."""
    roles = _roles(config)
    admin = _connected(config)
    found = admin.topics(roles)
    settings = admin.topic_settings(found)
    inputs = {found[topic].partitions for topic in config.source.topics if topic in found}
    for topic in roles:
        report = _report(roles, found, topic, _oddity(config, found, topic, inputs))
        yield replace(report, settings=settings.get(topic, {}))


def _oddity(config: Config, found: dict[str, TopicInfo], topic: str, input_partitions: set[int]) -> str:
    if topic not in found:
        return "missing"
    fewer = topic in config.output_topics and any(found[topic].partitions < count for count in input_partitions)
    if fewer and config.sink.partition == "input":
        return 'fewer partitions than the input: sink.partition = "input" cannot work'
    return ""


def _connected(config: Config) -> KafkaAdmin:
    admin = assembly.admin(config, SystemClock())
    admin.wait_ready(_CONNECT_TIMEOUT_S, patient=False)
    return admin


def _roles(config: Config) -> dict[str, str]:
    roles = dict.fromkeys(config.source.topics, "source")
    roles.setdefault(config.sink.topic, "sink")
    for route in config.sink.routes:
        roles.setdefault(route.topic, "route")
    roles.setdefault(config.dead_letter.topic, "dead_letter")
    return roles


def _report(roles: dict[str, str], found: dict[str, TopicInfo], topic: str, note: str) -> TopicReport:
    info = found.get(topic)
    if info is None:
        return TopicReport(topic, roles[topic], exists=False, note=note)
    replicas = info.replication_factor if info.replication_factor > 0 else None
    return TopicReport(topic, roles[topic], True, info.partitions, replicas, note=note)

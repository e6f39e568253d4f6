"""The service under trial: its topics, and a config file for each replica.

Rule: everything has a name of its own, so that trials share nothing but the brokers. Where an event goes is fixed by
where it came from (``sink.partition = "input"``), so that order can be judged.
"""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from integration.faults.plan import SESSION_TIMEOUT_MS, Plan
from integration.faults.stage import Stage
from integration.processes import LOOPBACK
from integration.scenario import write_settings
from integration.slow_models import write_slow_bundle
from integration.topics import unique_name

DRAIN_S = 8.0
PUBLISH_S = 6.0

_TIMEOUTS = {"publish_seconds": PUBLISH_S, "commit_seconds": 4.0, "drain_seconds": DRAIN_S}
# A black hole is noticed within this, instead of within ten seconds.
_SOCKET_TIMEOUT_MS = 3000


class Service:
    """Topics on a stage, and the configs of replicas that work on them.

    Args:
        plan: the trial.
        stage: where.
        directory: gets the configs.
    """

    def __init__(self, plan: Plan, stage: Stage, directory: Path) -> None:
        self._plan = plan
        self._stage = stage
        self._directory = directory
        self.group_id = unique_name("trial")
        self.input, self.scored, self.dead = (f"{self.group_id}.{role}" for role in ("input", "scored", "dead"))
        for topic, partitions in ((self.input, plan.partitions), (self.scored, plan.partitions), (self.dead, 1)):
            stage.create_topic(topic, partitions)

    def delete_topics(self) -> None:
        """Delete what was made, so that brokers have less to go through when they come back; best effort."""
        for topic in (self.input, self.scored, self.dead):
            with contextlib.suppress(KafkaException):
                self._stage.delete_topic(topic)

    def write_config(self, number: int) -> Path:
        """The config file of replica ``number``, which is also its lane."""
        path = self._directory / f"replica-{number}.toml"
        settings = self._settings(number)
        if self._plan.static_members and self._plan.key.guarantee == "exactly_once":
            settings = {"instance": f"replica-{number}", **settings}
        write_settings(path, settings)
        return path

    def _settings(self, number: int) -> dict[str, Any]:
        plan = self._plan
        return {
            "name": "trial",
            "kafka": {"bootstrap_servers": self._stage.lane_servers(number), "client": self._client(number)},
            "source": {"topics": [self.input], "group_id": self.group_id, "codec": {"type": "json"}},
            "model": {"bundle": str(bundle(self._stage.directory))},
            "batching": {"max_batch_size": plan.max_batch_size},
            "scoring": {"workers": plan.workers},
            "sink": {"topic": self.scored, "codec": {"type": "json"}, "fields": ["id"], "partition": "input"},
            "dead_letter": {"topic": self.dead},
            "delivery": self._delivery(),
            "timeouts": _TIMEOUTS,
            "observe": {"http": f"{LOOPBACK}:0"},
        }

    def _delivery(self) -> dict[str, Any]:
        plan = self._plan
        delivery = {"guarantee": plan.key.guarantee, "commit_interval_ms": plan.commit_interval_ms}
        if plan.key.guarantee == "exactly_once":
            delivery["transaction_timeout_ms"] = plan.transaction_timeout_ms
        return delivery

    def _client(self, number: int) -> dict[str, Any]:
        consumer: dict[str, Any] = {"max.poll.interval.ms": self._plan.max_poll_interval_ms}
        if self._plan.static_members:
            consumer["group.instance.id"] = f"replica-{number}"
        if self._plan.key.protocol == "consumer":
            consumer["group.protocol"] = "consumer"
        else:
            consumer["partition.assignment.strategy"] = self._plan.key.protocol
            consumer["session.timeout.ms"] = SESSION_TIMEOUT_MS
            consumer["heartbeat.interval.ms"] = 1000
        return {"socket.timeout.ms": _SOCKET_TIMEOUT_MS, "consumer": consumer}


@cache
def bundle(directory: Path) -> Path:
    """A model whose calls take as long as an event asks for (`integration.slow_models`), written once."""
    return write_slow_bundle(directory / "slow-1.bundle.jar")


__all__ = ["DRAIN_S", "Service", "bundle"]

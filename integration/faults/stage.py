"""Where trials take place: a cluster, and a network before it that can be made bad.

Rule: a stage outlives its trials, since brokers take seconds to start; topics and groups do not. `mend` leaves it as
good as new, or says that it cannot.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from integration.faults.plan import MAX_REPLICAS, SESSION_TIMEOUT_MS
from integration.faults.toxiproxy import Toxiproxy
from integration.local_kafka import LocalKafka

QUIET = {"log_level": 2}
"""For clients of the harness: brokers come and go all the time here, and that is no news."""

_MARKER_SKIPPED = "while trying to send transaction markers"
_ADMIN_TIMEOUT_MS = 10_000
"""Of every question; `elect_leaders` of client 2.16.1 fails with any timeout of its own."""
_BROKER_SETTINGS = {
    # With group.protocol = consumer the broker says how long a session is.
    "group.consumer.session.timeout.ms": str(SESSION_TIMEOUT_MS),
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    # A transaction that nobody ends is aborted within a second of its timeout, instead of ten.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}


class BrokersAtFault(Exception):
    """The brokers broke a promise of their own: the trial proves nothing about the service."""


class Stage:
    """A cluster of ``nodes`` brokers. Replicas reach it through links of their own lane, we reach it directly.

    A context manager: started on entry, ended on exit.

    Args:
        directory: gets the brokers' data and logs.
        nodes: 1 or 3.
    """

    def __init__(self, directory: Path, nodes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.kafka = LocalKafka(
            directory,
            nodes=nodes,
            heap="320m",
            # Brokers are started often, and have little to do: compiling less gets them up sooner.
            jvm_flags=["-XX:TieredStopAtLevel=1"],
            lanes=MAX_REPLICAS,
            settings=_BROKER_SETTINGS,
        )
        self._frozen: set[int] = set()
        self._open = contextlib.ExitStack()

    @property
    def bootstrap_servers(self) -> str:
        """The brokers themselves, past every bad network."""
        return self.kafka.bootstrap_servers

    def lane_servers(self, lane: int) -> str:
        """Where a replica on ``lane`` finds the brokers."""
        return ",".join(link.advertised for link in self.kafka.proxied_listeners if link.lane == lane)

    def links(self, lanes: range) -> list[str]:
        """Names of the links of these lanes."""
        return [_link(link.lane, link.node) for link in self.kafka.proxied_listeners if link.lane in lanes]

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Start brokers and links.

        Raises:
            ComponentUnavailable: something is missing on this machine.
            RuntimeError, TimeoutError: a broker does not start.
        """
        self.toxiproxy = self._open.enter_context(Toxiproxy(self.directory))
        for link in self.kafka.proxied_listeners:
            self.toxiproxy.add_link(_link(link.lane, link.node), link.advertised, link.upstream)
        self._open.enter_context(self.kafka)
        self.admin = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "socket.timeout.ms": _ADMIN_TIMEOUT_MS, **QUIET}
        )

    def close(self) -> None:
        """End everything."""
        self._open.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def mend(self) -> None:
        """Heal every link, and bring back every node.

        Raises:
            RuntimeError, TimeoutError: a broker does not come back.
        """
        for link in self.links(range(MAX_REPLICAS)):
            self.toxiproxy.heal(link)
        for node in list(self._frozen):
            self.thaw_node(node)
        for node in self.kafka.nodes:
            self.revive_node(node)
        for node in self.kafka.nodes:
            self.kafka.await_node(node)

    # ------------------------------------------------------------------ nodes

    def freeze_node(self, node: int) -> None:
        """Stop a node where it is."""
        self.kafka.pause_node(node)
        self._frozen.add(node)

    def thaw_node(self, node: int) -> None:
        """Let a frozen node go on."""
        self._frozen.discard(node)
        if self.kafka.node_runs(node):
            self.kafka.resume_node(node)

    def revive_node(self, node: int) -> None:
        """Start a node again if its process has ended; does not wait for it."""
        if not self.kafka.node_runs(node):
            self.kafka.launch_node(node)

    def check_markers(self, topic: str) -> None:
        """See that no broker left a transaction on ``topic`` without its end.

        Raises:
            BrokersAtFault: one did, by its own log. What was to be aborted may be committed.
        """
        for node in self.kafka.nodes:
            for line in self.kafka.log_lines(node):
                if _MARKER_SKIPPED in line and topic in line:
                    raise BrokersAtFault(f"broker {node} left out the end of a transaction: {line.strip()}")

    def copy_logs(self, to: Path) -> None:
        """Write what each node has logged so far to ``broker-N.log``."""
        for node in self.kafka.nodes:
            (to / f"broker-{node}.log").write_text("".join(self.kafka.log_lines(node)))

    # ------------------------------------------------------------------ topics

    def create_topic(self, name: str, partitions: int) -> None:
        """Make an empty topic.

        Raises:
            KafkaException: it is there already, or the cluster cannot.
        """
        self.admin.create_topics([NewTopic(name, partitions)], operation_timeout=_ADMIN_TIMEOUT_MS / 1000)[
            name
        ].result()

    def delete_topic(self, name: str) -> None:
        """Delete a topic and everything in it.

        Raises:
            KafkaException: it is not there, or nobody answers.
        """
        self.admin.delete_topics([name], operation_timeout=_ADMIN_TIMEOUT_MS / 1000)[name].result()

    def set_in_sync(self, topic: str, replicas: int | None) -> None:
        """Set how many in-sync replicas ``topic`` asks for; None: as many as any topic.

        Raises:
            KafkaException: nobody answers.
        """
        operation = AlterConfigOpType.DELETE if replicas is None else AlterConfigOpType.SET
        entry = ConfigEntry("min.insync.replicas", str(replicas or 1), incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for done in self.admin.incremental_alter_configs([resource]).values():
            done.result()

    def elect_preferred_leaders(self) -> bool:
        """Give every partition back to the replica that comes first; False where none had to move.

        Raises:
            KafkaException: nobody answers.
        """
        outcome = self.admin.elect_leaders(ElectionType.PREFERRED).result()
        return any(error is None for error in outcome.values())


def _link(lane: int, node: int) -> str:
    return f"lane-{lane}-node-{node}"


__all__ = ["QUIET", "BrokersAtFault", "Stage"]

"""Apache Kafka as plain Java processes: start, stop, kill, restart; secured and proxied listeners.

Rule: everything is on the loopback interface at ports chosen when the object is made, and stays there when a node
is killed and started again, so that clients can come back.
"""

from __future__ import annotations

import itertools
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from integration.artifacts import KAFKA_JAVA, KAFKA_VERSION, find_java, kafka_jars
from integration.certificates import ServerCertificate, make_server_certificate
from integration.processes import LOOPBACK, Component, GuardedProcess, free_ports

CLUSTER_ID = "c3RyZWFtLWluZmVyLXRlc3Q"
ADMIN_USER = "admin"
DEFAULT_USERS = {ADMIN_USER: "admin-password", "alice": "alice-password"}
"""SCRAM users of a secured broker. ``admin`` is a super user; ``alice`` may do what ACLs allow her."""

LOG4J_PROPERTIES = """status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
"""


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Loopback ports of one node. Clients of lane i's listener ``proxied[i]`` are told ``advertised[i]``."""

    plaintext: int
    controller: int
    secured: int
    proxied: tuple[int, ...]
    advertised: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProxiedListener:
    """A listener that clients reach through a proxy. Lanes are numbered from 0, nodes from 1."""

    lane: int
    node: int
    advertised: str
    """``host:port`` that clients are told: where the proxy listens."""
    upstream: str
    """``host:port`` of the node."""


class LocalKafka(Component):
    """A broker, or a small cluster, as Java processes on the loopback interface (KRaft, combined nodes).

    Three listeners for clients:

    - ``bootstrap_servers``: plain text; its user is a super user.
    - ``proxied_listeners``: plain text, but advertised at another address. With a proxy between the two, a client
      that starts at the proxy stays behind it. Each of several ``lanes`` has such a listener on every node, so that
      clients can be cut off one by one. ``proxied_address`` and ``advertised_address`` are the first of them.
    - ``secured_servers``: SASL_SSL with SCRAM-SHA-256, SCRAM-SHA-512 and unsigned OAUTHBEARER tokens, under ACLs
      that allow nothing by default. Only with ``sasl_ssl=True``.

    A context manager: started on entry, stopped on exit.

    Args:
        directory: data, settings and logs. A second start on the same directory keeps the data.
        nodes: 1, or 3 with replication 3 and two in-sync replicas.
        heap: Java heap of each node.
        jvm_flags: further flags of each node's Java.
        sasl_ssl: add the secured listener, its users and the authorizer.
        users: SCRAM users and their passwords.
        port: port of the plain-text listener of the first node; a free one by default.
        lanes: listeners of each node for clients behind a proxy.
        settings: broker properties on top of the usual ones.
    """

    version = KAFKA_VERSION

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 1,
        heap: str = "512m",
        jvm_flags: Sequence[str] = (),
        sasl_ssl: bool = False,
        users: Mapping[str, str] | None = None,
        port: int | None = None,
        lanes: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = directory.resolve()
        self._jvm_flags = [f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError", *jvm_flags]
        self._settings = dict(settings or {})
        self._ports = _choose_ports(nodes, lanes, port)
        self._processes: dict[int, GuardedProcess] = {}
        self.users = dict(DEFAULT_USERS if users is None else users) if sasl_ssl else {}
        self.certificate: ServerCertificate | None = None
        if sasl_ssl:
            self.certificate = make_server_certificate(self._directory / "certificates")

    @property
    def bootstrap_servers(self) -> str:
        """Plain-text listeners, ``host:port,...``."""
        return ",".join(f"{LOOPBACK}:{ports.plaintext}" for ports in self._ports)

    @property
    def secured_servers(self) -> str:
        """SASL_SSL listeners, ``host:port,...``."""
        return ",".join(f"{LOOPBACK}:{ports.secured}" for ports in self._ports)

    @property
    def proxied_address(self) -> str:
        """Where the first proxied listener of the first node really is."""
        return f"{LOOPBACK}:{self._ports[0].proxied[0]}"

    @property
    def advertised_address(self) -> str:
        """Where clients of that listener are sent: the address for a proxy to listen on."""
        return f"{LOOPBACK}:{self._ports[0].advertised[0]}"

    @property
    def proxied_listeners(self) -> list[ProxiedListener]:
        """Every proxied listener of every node."""
        return [
            ProxiedListener(lane, node, f"{LOOPBACK}:{advertised}", f"{LOOPBACK}:{proxied}")
            for node, ports in enumerate(self._ports, 1)
            for lane, (advertised, proxied) in enumerate(zip(ports.advertised, ports.proxied, strict=True))
        ]

    @property
    def nodes(self) -> range:
        """Numbers of the nodes."""
        return range(1, len(self._ports) + 1)

    def data_directory(self, node: int = 1) -> Path:
        """Where a node keeps its logs."""
        return self._directory / f"node-{node}" / "data"

    def log_lines(self, node: int = 1) -> Iterator[str]:
        """What a node has logged, over all its lives."""
        with (self._directory / f"node-{node}" / "server.log").open(errors="replace") as lines:
            yield from lines

    def pid(self, node: int = 1) -> int:
        """Process id of a node that was started."""
        return self._processes[node].pid

    def node_runs(self, node: int = 1) -> bool:
        """True while a node's process is there, frozen or not."""
        return node in self._processes and self._processes[node].running

    def start(self, timeout_s: float = 90.0) -> None:
        """Start every node and wait until all answer.

        Raises:
            ComponentUnavailable: no Java, or no jars.
            RuntimeError: a node ended; its last log lines are in the message.
        """
        for node in self.nodes:
            self.launch_node(node)
        for node in self.nodes:
            self.await_node(node, timeout_s)

    def start_node(self, node: int = 1, timeout_s: float = 90.0) -> None:
        """Start one node (numbered from 1) that was stopped or killed, on its old data and ports."""
        self.launch_node(node)
        self.await_node(node, timeout_s)

    def stop_node(self, node: int = 1) -> None:
        """Shut one node down in order."""
        self._processes.pop(node).stop()

    def kill_node(self, node: int = 1) -> None:
        """End one node with SIGKILL."""
        self._processes.pop(node).kill()

    def pause_node(self, node: int = 1) -> None:
        """Freeze one node: connections stay open, nothing answers."""
        self._processes[node].pause()

    def resume_node(self, node: int = 1) -> None:
        """Let a frozen node go on."""
        self._processes[node].resume()

    def stop(self) -> None:
        """End every node. Data and logs stay in the directory."""
        for node in list(self._processes):
            # Nobody wants the data flushed in good order any more, and an orderly end of a cluster waits for a
            # quorum that is being taken away.
            self.kill_node(node)

    def client_properties(self, user: str, password: str | None = None) -> dict[str, str]:
        """What a client needs to log in on the secured listener, the right password by default."""
        assert self.certificate is not None, "start the broker with sasl_ssl=True"
        return {
            "bootstrap.servers": self.secured_servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": user,
            "sasl.password": self.users[user] if password is None else password,
            "ssl.ca.location": str(self.certificate.ca),
        }

    def launch_node(self, node: int = 1) -> None:
        """Start one node that does not run, and return at once."""
        ended = self._processes.pop(node, None)
        if ended is not None:
            ended.kill()
        home = self._directory / f"node-{node}"
        home.mkdir(parents=True, exist_ok=True)
        (home / "log4j2.properties").write_text(LOG4J_PROPERTIES)
        settings = home / "server.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in self._node_settings(node, home).items()))
        if not (home / "data" / "meta.properties").exists():
            self._format(home, settings)
        command = [*_java_command(home, self._jvm_flags), "kafka.Kafka", settings]
        self._processes[node] = GuardedProcess(command, home / "server.log")

    def await_node(self, node: int = 1, timeout_s: float = 90.0) -> None:
        """Wait until a node that was launched serves clients."""
        address = f"{LOOPBACK}:{self._ports[node - 1].plaintext}"
        self._processes[node].wait_until(lambda: broker_answers(address), timeout_s)

    def _format(self, home: Path, settings: Path) -> None:
        command = [*_java_command(home, ["-Xmx96m", "-XX:TieredStopAtLevel=1"]), "kafka.tools.StorageTool", "format"]
        command += ["--config", settings, "--cluster-id", CLUSTER_ID]
        for user, password in self.users.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                command += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the broker's directory could not be formatted:\n{done.stdout}{done.stderr}"[-3000:])

    def _node_settings(self, node: int, home: Path) -> dict[str, str]:
        ports = self._ports[node - 1]
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": ",".join(
                f"{number}@{LOOPBACK}:{peer.controller}" for number, peer in enumerate(self._ports, 1)
            ),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(home / "data"),
            **self._listener_settings(ports),
            **replication_settings(len(self._ports)),
            **COMMON_SETTINGS,
        }
        if self.certificate is not None:
            settings |= _security_settings(self.certificate)
        return settings | self._settings

    def _listener_settings(self, ports: NodePorts) -> dict[str, str]:
        names = [f"PROXIED{lane}" for lane in range(len(ports.proxied))]
        listeners = {"PLAINTEXT": ports.plaintext, **dict(zip(names, ports.proxied, strict=True))}
        protocols = dict.fromkeys(["CONTROLLER", *listeners], "PLAINTEXT")
        if self.certificate is not None:
            listeners["SECURED"] = ports.secured
            protocols["SECURED"] = "SASL_SSL"
        return {
            "listeners": _join_listeners(listeners | {"CONTROLLER": ports.controller}),
            "advertised.listeners": _join_listeners(listeners | dict(zip(names, ports.advertised, strict=True))),
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in protocols.items()),
        }


COMMON_SETTINGS = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # Generated events carry timestamps of the past: retention by time would delete them under the tests' feet.
    "log.retention.ms": "-1",
    # The default of 128 MiB sits in the heap whether topics are compacted or not.
    "log.cleaner.dedupe.buffer.size": str(4 << 20),
    # A node that was killed is let in again once its old session has run out (default 9 s).
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "group.min.session.timeout.ms": "1000",
}


def _choose_ports(nodes: int, lanes: int, port: int | None) -> list[NodePorts]:
    free = iter(free_ports(nodes * (3 + 2 * lanes)))
    chosen = []
    for _ in range(nodes):
        plaintext, controller, secured = itertools.islice(free, 3)
        proxied, advertised = (tuple(itertools.islice(free, lanes)) for _ in range(2))
        chosen.append(NodePorts(plaintext, controller, secured, proxied, advertised))
    if port is not None:
        chosen[0] = replace(chosen[0], plaintext=port)
    return chosen


def _join_listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items())


def replication_settings(nodes: int) -> dict[str, str]:
    """Replication of internal and new topics: as much as ``nodes`` allow."""
    factor, in_sync = ("3", "2") if nodes >= 3 else ("1", "1")
    return {
        "default.replication.factor": factor,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": factor,
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": factor,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": factor,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "1",
    }


def _security_settings(certificate: ServerCertificate) -> dict[str, str]:
    listener = "listener.name.secured"
    security = "org.apache.kafka.common.security"
    scram = f"{security}.scram.ScramLoginModule required;"
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The plain-text listeners (and the controller's) know their users as ANONYMOUS.
        "super.users": f"User:ANONYMOUS;User:{ADMIN_USER}",
        f"{listener}.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        f"{listener}.scram-sha-256.sasl.jaas.config": scram,
        f"{listener}.scram-sha-512.sasl.jaas.config": scram,
        f"{listener}.oauthbearer.sasl.jaas.config": f"{security}.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";',
        f"{listener}.ssl.keystore.type": "PEM",
        f"{listener}.ssl.keystore.location": str(certificate.keystore),
    }


def _java_command(home: Path, flags: Sequence[str]) -> list[str | Path]:
    logging = f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}"
    return [find_java(KAFKA_JAVA), *flags, "-Djava.awt.headless=true", logging, "-cp", f"{kafka_jars()}/*"]


def broker_answers(address: str) -> bool:
    """True when an ApiVersions request is answered: a broker does so only once it serves clients."""
    host, port = address.rsplit(":", 1)
    # Length, then api key 18, version 0, correlation id 1, no client id.
    request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            connection.settimeout(2)
            connection.sendall(request)
            return len(connection.recv(8)) == 8
    except OSError:
        return False

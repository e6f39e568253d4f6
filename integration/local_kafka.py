"""Apache Kafka as plain Java processes: start, stop, kill, restart; secured and proxied listeners.

Rule: everything is on the loopback interface at ports chosen when the object is made, and stays there when a node
is killed and started again, so that clients can come back.
"""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from integration.artifacts import KAFKA_JAVA, KAFKA_VERSION, find_java, kafka_jars
from integration.certificates import ServerCertificate, make_server_certificate
from integration.processes import LOOPBACK, GuardedProcess, free_ports

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
    """Loopback ports of one node. ``advertised`` is what clients of the ``proxied`` listener are told."""

    plaintext: int
    controller: int
    proxied: int
    advertised: int
    secured: int


class LocalKafka:
    """A broker, or a small cluster, as Java processes on the loopback interface (KRaft, combined nodes).

    Three listeners for clients:

    - ``bootstrap_servers``: plain text; its user is a super user.
    - ``proxied_address``: plain text, but advertised at ``advertised_address``. With a `TcpProxy` between the two,
      a client that starts at the proxy stays behind it. First node only.
    - ``secured_servers``: SASL_SSL with SCRAM-SHA-256, SCRAM-SHA-512 and unsigned OAUTHBEARER tokens, under ACLs
      that allow nothing by default. Only with ``sasl_ssl=True``.

    A context manager: started on entry, stopped on exit.

    Args:
        directory: data, settings and logs. A second start on the same directory keeps the data.
        nodes: 1, or 3 with replication 3 and two in-sync replicas.
        heap: Java heap of each node.
        sasl_ssl: add the secured listener, its users and the authorizer.
        users: SCRAM users and their passwords.
        port: port of the plain-text listener of the first node; a free one by default.
        settings: broker properties on top of the usual ones.
    """

    version = KAFKA_VERSION

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 1,
        heap: str = "512m",
        sasl_ssl: bool = False,
        users: Mapping[str, str] | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = directory.resolve()
        self._heap = heap
        self._settings = dict(settings or {})
        self._ports = _choose_ports(nodes, port)
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
        """Where the proxied listener of the first node really is."""
        return f"{LOOPBACK}:{self._ports[0].proxied}"

    @property
    def advertised_address(self) -> str:
        """Where clients of the proxied listener are sent: the address for a proxy to listen on."""
        return f"{LOOPBACK}:{self._ports[0].advertised}"

    def start(self, timeout_s: float = 90.0) -> None:
        """Start every node and wait until all answer.

        Raises:
            ComponentUnavailable: no Java, or no jars.
            RuntimeError: a node ended; its last log lines are in the message.
        """
        for node in range(1, len(self._ports) + 1):
            self._launch(node)
        for node in range(1, len(self._ports) + 1):
            self._await(node, timeout_s)

    def start_node(self, node: int = 1, timeout_s: float = 90.0) -> None:
        """Start one node (numbered from 1) that was stopped or killed, on its old data and ports."""
        self._launch(node)
        self._await(node, timeout_s)

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

    def __enter__(self) -> LocalKafka:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, node: int) -> None:
        home = self._directory / f"node-{node}"
        home.mkdir(parents=True, exist_ok=True)
        (home / "log4j2.properties").write_text(LOG4J_PROPERTIES)
        settings = home / "server.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in self._node_settings(node, home).items()))
        if not (home / "data" / "meta.properties").exists():
            self._format(home, settings)
        flags = [f"-Xms{self._heap}", f"-Xmx{self._heap}", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError"]
        command = [*_java_command(home, flags), "kafka.Kafka", settings]
        self._processes[node] = GuardedProcess(command, home / "server.log")

    def _await(self, node: int, timeout_s: float) -> None:
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
        listeners = {"PLAINTEXT": ports.plaintext, "PROXIED": ports.proxied}
        protocols = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT", "PROXIED": "PLAINTEXT"}
        if self.certificate is not None:
            listeners["SECURED"] = ports.secured
            protocols["SECURED"] = "SASL_SSL"
        return {
            "listeners": _join_listeners(listeners | {"CONTROLLER": ports.controller}),
            "advertised.listeners": _join_listeners(listeners | {"PROXIED": ports.advertised}),
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


def _choose_ports(nodes: int, port: int | None) -> list[NodePorts]:
    free = iter(free_ports(nodes * 5))
    chosen = [NodePorts(*(next(free) for _ in range(5))) for _ in range(nodes)]
    if port is not None:
        first = chosen[0]
        chosen[0] = NodePorts(port, first.controller, first.proxied, first.advertised, first.secured)
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

"""A real schema registry with Confluent's API: Apicurio as a Java process on the loopback interface.

Rule: the newest version that the Java at hand can run. Version 3 needs Java 21; version 2 does with Java 17.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from integration.artifacts import ComponentUnavailable, find_java, registry_directory
from integration.processes import LOOPBACK, Component, GuardedProcess, free_port

API_PATH = "/apis/ccompat/v7"


class Release(NamedTuple):
    """A version of Apicurio, the oldest Java that runs it, and the jar to run."""

    version: str
    java: int
    jar: str


RELEASES = (
    Release("3.3.3", 21, "quarkus-run.jar"),
    Release("2.6.13.Final", 17, "apicurio-registry-app-2.6.13.Final-runner.jar"),
)


class LocalRegistry(Component):
    """A schema registry that keeps its schemas in memory. A context manager: started on entry, stopped on exit.

    Args:
        directory: for its log.
        port: port to listen on; a free one by default.
    """

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self._release, self._java = _choose_release()
        self._log = directory / "registry.log"
        self._port = free_port() if port is None else port
        self._process: GuardedProcess | None = None
        self.version = self._release.version

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def url(self) -> str:
        """What a Schema Registry client is given."""
        return self.url_at(self.address)

    def url_at(self, address: str) -> str:
        """The same registry reached at another address, a proxy's for instance."""
        return f"http://{address}{API_PATH}"

    def start(self, timeout_s: float = 90.0) -> None:
        """Start it and wait until it answers.

        Raises:
            ComponentUnavailable: its files cannot be fetched.
            RuntimeError: it ended; its last log lines are in the message.
        """
        jar = registry_directory(self.version) / self._release.jar
        command: list[str | Path] = [self._java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar", jar]
        self._process = GuardedProcess(command, self._log, self._environment())
        self._process.wait_until(self._answers, timeout_s)

    def stop(self) -> None:
        """End it; its schemas are gone."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _environment(self) -> dict[str, str]:
        return {
            "QUARKUS_HTTP_HOST": LOOPBACK,
            "QUARKUS_HTTP_PORT": str(self._port),
            # Version 3 has a second listener, which is on all interfaces unless told otherwise.
            "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
            "QUARKUS_MANAGEMENT_PORT": str(free_port()),
            "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
        }

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


def _choose_release() -> tuple[Release, Path]:
    for release in RELEASES[:-1]:
        try:
            return release, find_java(release.java)
        except ComponentUnavailable:
            continue
    oldest = RELEASES[-1]
    return oldest, find_java(oldest.java)

"""What real components are made of: Java, Maven and the jars it brings, Go and what it builds.

Rule: everything fetched lands in one cache directory (`.cache/`, or ``STREAM_INFER_CACHE``), complete or not at
all, so that two runs side by side never see half of it. What is missing is named together with the remedy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.1"
KAFKA_JAVA = 17
"""Oldest Java that the broker runs on."""
TOXIPROXY_VERSION = "2.5.0"
"""As pinned in `integration/go/toxiproxy/go.mod`."""
TOXIPROXY_MODULE = Path(__file__).with_name("go") / "toxiproxy"
TOXIPROXY_SERVER = "github.com/Shopify/toxiproxy/v2/cmd/server"

MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"

# Kafka logs through slf4j 1.7, hence log4j's 1.7 bridge: with the slf4j 2 bridge the broker runs but logs nothing.
KAFKA_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>stream-infer</groupId><artifactId>test-broker</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>{LOG4J_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


class ComponentUnavailable(Exception):
    """A real component cannot be had on this machine. The message says what to install."""


def cache_directory() -> Path:
    """Where fetched jars are kept: ``STREAM_INFER_CACHE``, else `.cache/` of the repository."""
    configured = os.environ.get("STREAM_INFER_CACHE")
    return Path(configured).resolve() if configured else Path(__file__).resolve().parent.parent / ".cache"


def find_java(minimum: int) -> Path:
    """The first Java of at least version ``minimum``.

    Looks at ``JAVA_HOME``, then the PATH, then /usr/lib/jvm.

    Raises:
        ComponentUnavailable: there is none.
    """
    for java in _java_candidates():
        if _java_version(java) >= minimum:
            return java
    raise ComponentUnavailable(
        f"Java {minimum} or newer was not found in JAVA_HOME, on the PATH or under /usr/lib/jvm: install a JDK"
    )


def _java_candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    yield from sorted(Path("/usr/lib/jvm").glob("*/bin/java"))


@cache
def _java_version(java: Path) -> int:
    """Major version; 0 where the file is no Java that runs."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return 0
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found.group(1)) if found else 0


def kafka_jars() -> Path:
    """The directory of the broker's jars, fetched by Maven the first time (46 jars, 44 MB).

    Raises:
        ComponentUnavailable: they are not cached and Maven cannot bring them.
    """
    return _cached(f"kafka-{KAFKA_VERSION}", _fetch_kafka)


def _fetch_kafka(directory: Path) -> None:
    pom = directory / "pom.xml"
    pom.write_text(KAFKA_POM)
    _maven("-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={directory}", "-DincludeScope=runtime")


def kafka_tool_jars() -> Path:
    """The directory of the jar with Kafka's command-line tools, which a broker does not need; fetched as the others.

    Raises:
        ComponentUnavailable: it is not cached and Maven cannot bring it.
    """
    return _cached(f"kafka-tools-{KAFKA_VERSION}", _fetch_tools)


def _fetch_tools(directory: Path) -> None:
    _maven(MAVEN_COPY, f"-Dartifact=org.apache.kafka:kafka-tools:{KAFKA_VERSION}", f"-DoutputDirectory={directory}")


def registry_directory(version: str) -> Path:
    """The unpacked schema registry Apicurio of ``version``, fetched by Maven the first time (about 150 MB).

    Raises:
        ComponentUnavailable: it is not cached and Maven cannot bring it.
    """
    return _cached(f"apicurio-{version}", lambda directory: _fetch_registry(version, directory))


def _fetch_registry(version: str, directory: Path) -> None:
    artifact = f"io.apicurio:apicurio-registry-app:{version}:tar.gz:all"
    _maven(MAVEN_COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={directory}")
    archive = directory / f"apicurio-registry-app-{version}-all.tar.gz"
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    archive.unlink()


def toxiproxy_server() -> Path:
    """The program of Toxiproxy's server, built by Go the first time (under a minute).

    Raises:
        ComponentUnavailable: it is not cached and Go cannot build it.
    """
    return _cached(f"toxiproxy-{TOXIPROXY_VERSION}", _build_toxiproxy) / "toxiproxy-server"


def _build_toxiproxy(directory: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise ComponentUnavailable("Go was not found on the PATH: install Go 1.24 or newer (it builds Toxiproxy)")
    command = [go, "build", "-o", str(directory / "toxiproxy-server"), TOXIPROXY_SERVER]
    done = subprocess.run(command, cwd=TOXIPROXY_MODULE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComponentUnavailable(f"Go could not build Toxiproxy:\n{done.stderr[-2000:]}")


def _cached(name: str, fetch: Callable[[Path], None]) -> Path:
    """``name`` in the cache, filled beside its place and then moved there whole."""
    target = cache_directory() / name
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=target.parent))
    try:
        fetch(fresh)
        # Another run may have been quicker; its copy is as good as ours.
        if not target.is_dir():
            fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _maven(*arguments: str) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ComponentUnavailable("Maven (mvn) was not found on the PATH: install Apache Maven 3.8 or newer")
    done = subprocess.run([maven, "-B", "-q", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComponentUnavailable(
            f"Maven failed with code {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-500:]}"
        )

"""What a user meets who starts the program and something is wrong: one message, the right exit code, no traceback."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from integration.brokers import Kafka
from integration.command import Outcome, call, fails
from integration.processes import LOOPBACK, free_port
from integration.registry import LocalRegistry
from integration.topics import Topics, unique_name

DEMO_BUNDLE = Path(__file__).resolve().parent.parent / "stream_infer" / "demo_bundle" / "payments-1.bundle.jar"
BAD_CONFIG = 78


class Config:
    """A config file of JSON payments whose topics exist, written with whatever a test wants to be wrong."""

    def __init__(self, directory: Path, broker: str, topics: Topics) -> None:
        self._directory = directory
        self.settings: dict[str, str] = {
            "broker": broker,
            "input": topics.create(prefix="startup"),
            "scored": topics.create(prefix="startup-scored"),
            "dead": topics.create(prefix="startup-dlq"),
            "group": unique_name("startup"),
            "bundle": str(DEMO_BUNDLE),
            "sink_codec": 'type = "json"',
            "more": "",
        }

    def write(self, **changes: str) -> Path:
        """The file, with ``changes`` to `settings`."""
        path = self._directory / "config.toml"
        path.write_text(TEMPLATE.format(**{**self.settings, **changes}))
        return path


TEMPLATE = """
name = "startup"
[kafka]
bootstrap_servers = "{broker}"
[source]
topics = ["{input}"]
group_id = "{group}"
codec = {{ type = "json" }}
[model]
bundle = "{bundle}"
[sink]
topic = "{scored}"
codec = {{ {sink_codec} }}
[dead_letter]
topic = "{dead}"
[timeouts]
startup_seconds = 2
registry_seconds = 1
{more}
"""


@pytest.fixture
def config(tmp_path: Path, kafka: Kafka, topics: Topics) -> Config:
    return Config(tmp_path, kafka.bootstrap_servers, topics)


def validate(path: Path) -> Outcome:
    return call("validate", path, "--connect")


def said(outcome: Outcome, *fragments: str) -> None:
    """Assert that ``validate --connect`` failed with exactly one failed check, which holds these fragments."""
    failed = [line for line in outcome.stdout.splitlines() if line.startswith("FAILED")]
    assert outcome.code == 1, outcome.output
    assert len(failed) == 1, outcome.output
    missing = [fragment for fragment in fragments if fragment not in failed[0]]
    assert not missing, f"not said: {missing}\n{outcome.output}"
    assert "Traceback" not in outcome.output


def test_everything_right_is_said_to_be_right(config: Config) -> None:
    path = config.write()

    assert call("run", path, "--until-caught-up").code == 0
    outcome = validate(path)

    assert outcome.code == 0, outcome.output
    assert "FAILED" not in outcome.stdout


@pytest.mark.parametrize("command", [["run"], ["validate"], ["validate", "--connect"], ["topics", "list"]])
def test_a_wrong_config_names_every_problem_with_its_line(config: Config, command: list[str]) -> None:
    path = config.write(more="comit_seconds = 3\n[batching]\nlinger_ms = -1")

    outcome = call(*command, path)

    fails(
        BAD_CONFIG, outcome, str(path), "2 problems", "timeouts.comit_seconds", "commit_seconds", "batching.linger_ms"
    )
    assert outcome.stderr.count("line ") == 2


def test_a_config_that_does_not_exist(tmp_path: Path) -> None:
    fails(BAD_CONFIG, call("run", tmp_path / "nowhere.toml"), "nowhere.toml")


@pytest.mark.parametrize("command", [["run"], ["validate", "--connect"]])
def test_client_properties_that_cannot_work_are_all_named(config: Config, command: list[str]) -> None:
    more = '[kafka.client]\n"socket.timeout.ms" = "soon"\n"no.such.property" = 1'
    path = config.write(more=more)

    outcome = call(*command, path)

    fails(BAD_CONFIG, outcome, "kafka.client.socket.timeout.ms", "kafka.client.no.such.property")


def test_a_model_that_is_not_there(config: Config) -> None:
    path = config.write(bundle="nowhere-7.bundle.jar")

    for command in ("run", "validate"):
        fails(BAD_CONFIG, call(command, path), "model.bundle", "nowhere-7.bundle.jar does not exist", "export")


def test_a_damaged_model(config: Config, tmp_path: Path) -> None:
    damaged = tmp_path / "payments-1.bundle.jar"
    damage(DEMO_BUNDLE, damaged)
    path = config.write(bundle=str(damaged))

    for command in (["run"], ["validate"], ["validate", "--connect"]):
        fails(1, call(*command, path), "payments-1.bundle.jar", "model.onnx", "checksum", "export it again")


def damage(bundle: Path, to: Path) -> None:
    """Copy a bundle with one byte of its model changed."""
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(to, "w") as target:
        for name in source.namelist():
            data = bytearray(source.read(name))
            if name.endswith("model.onnx"):
                data[len(data) // 2] ^= 1
            target.writestr(name, bytes(data))


def test_a_broker_that_does_not_answer_is_retried_and_then_given_up(config: Config) -> None:
    address = f"{LOOPBACK}:{free_port()}"
    path = config.write(broker=address)

    began = time.monotonic()
    outcome = call("run", path)
    took_s = time.monotonic() - began

    fails(1, outcome, address, "gave up after", "kafka.bootstrap_servers", "no broker answered yet; trying again")
    assert 2 <= took_s < 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_waiting_for_the_broker_ends_the_process_at_once(config: Config, number: int) -> None:
    path = config.write(broker=f"{LOOPBACK}:{free_port()}", more="poll_seconds = 60")
    waiting = [sys.executable, "-m", "stream_infer", "run", str(path), "--set", "timeouts.startup_seconds=60"]
    with subprocess.Popen(waiting, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        said = program.stderr.readline()
        while said and "no broker answered yet" not in said:
            said = program.stderr.readline()
        program.send_signal(number)
        _, rest = program.communicate(timeout=10)
    assert "no broker answered yet" in said
    assert program.returncode == 128 + number
    assert "Traceback" not in rest


def test_one_of_several_addresses_may_be_dead(config: Config, kafka: Kafka) -> None:
    path = config.write(broker=f"{LOOPBACK}:{free_port()},{kafka.bootstrap_servers}")

    assert call("run", path, "--until-caught-up").code == 0


def test_validate_does_not_wait_for_a_broker(config: Config) -> None:
    address = f"{LOOPBACK}:{free_port()}"

    said(validate(config.write(broker=address)), "broker", address, "kafka.bootstrap_servers")


@pytest.mark.parametrize("role", ["input", "scored", "dead"])
def test_a_topic_that_does_not_exist(config: Config, role: str) -> None:
    missing = unique_name("no-such-topic")
    path = config.write(**{role: missing})

    fails(1, call("run", path), missing, "does not exist", "stream-infer topics create")
    said(validate(path), missing, "does not exist")


def test_topics_are_created_listed_and_described(config: Config, topics: Topics) -> None:
    scored, dead = unique_name("made"), unique_name("made-dlq")
    path = config.write(input=topics.create(partitions=3), scored=scored, dead=dead)

    assert rows(call("topics", "list", path, "--format", "json"))[scored]["exists"] is False
    created = rows(call("topics", "create", path, "--format", "json"))
    assert [created[topic]["note"] for topic in (scored, dead)] == ["created", "created"]
    assert created[scored]["partitions"] == 3

    again = rows(call("topics", "create", path, "--format", "json"))
    assert [again[topic]["note"] for topic in (scored, dead)] == ["existed", "existed"]
    described = rows(call("topics", "describe", path, "--format", "json"))
    assert (described[dead]["partitions"], described[dead]["replication_factor"]) == (3, 1)
    assert {"retention.ms", "cleanup.policy", "max.message.bytes"} <= set(described[dead]["settings"])
    assert call("run", path, "--until-caught-up").code == 0


def rows(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """The answer of a ``topics`` command, by topic."""
    assert outcome.code == 0, outcome.output
    return {row["topic"]: row for row in json.loads(outcome.stdout)}


def test_topics_of_a_broker_that_does_not_answer(config: Config) -> None:
    address = f"{LOOPBACK}:{free_port()}"

    fails(1, call("topics", "list", config.write(broker=address)), address, "kafka.bootstrap_servers")


REGISTRY_SINK = 'type = "avro", schema = "registry"'


def test_a_registry_that_does_not_answer(config: Config) -> None:
    url = f"http://{LOOPBACK}:{free_port()}"
    path = config.write(sink_codec=REGISTRY_SINK, more=f'[schema_registry]\nurl = "{url}"')

    fails(1, call("run", path), url, "registry", "retry scheduled")
    said(validate(path), "schema registry", url)


def test_an_address_at_which_there_is_no_registry(config: Config, registry: LocalRegistry) -> None:
    url = f"http://{registry.address}/no/such/path"
    path = config.write(sink_codec=REGISTRY_SINK, more=f'[schema_registry]\nurl = "{url}"')

    fails(1, call("run", path), url, "no schema registry answers there", "path")


def test_an_output_schema_that_is_not_registered(config: Config, registry: LocalRegistry) -> None:
    path = config.write(sink_codec=REGISTRY_SINK, more=f'[schema_registry]\nurl = "{registry.url}"')

    fails(1, call("run", path), f"{config.settings['scored']}-value", registry.url, "auto_register = true")
    said(validate(path), "schema registry", f"{config.settings['scored']}-value")

    registered = config.write(
        sink_codec=REGISTRY_SINK, more=f'[schema_registry]\nurl = "{registry.url}"\nauto_register = true'
    )
    assert call("run", registered, "--until-caught-up").code == 0
    assert validate(path).code == 0


def test_an_http_port_that_is_taken(config: Config) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        outcome = call("run", config.write(more=f'[observe]\nhttp = "{address}"'))

    fails(1, outcome, address, "observe.http")

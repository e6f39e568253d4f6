"""A service under test: its topics, its config file, its schemas, the real program, and what it published.

    scenario = make_scenario(events="registry", overrides={"scoring.workers": 2})
    scenario.produce_payments(payments)
    program = scenario.run("--until-caught-up")
    program.ended_well(timeout_s=60)
    scored = scenario.scored()

Rule: a scenario shares nothing with another one but the broker and the registry: topics, groups and schema subjects
have unique names. Whatever program it started has ended when the scenario is closed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from integration import support_log
from integration.processes import free_port
from integration.registry import LocalRegistry
from integration.support_log import Log
from integration.support_program import Program
from integration.support_scores import (
    Oracle,
    Scored,
    check_every_input,
    check_order,
    check_scores,
    decode_avro,
    decode_json,
)
from integration.topics import Topics, unique_name
from stream_infer.bundle import ModelBundle
from stream_infer.codecs import output_schema
from stream_infer.testing.payments import PaymentColumns
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA

Encoding = Literal["registry", "files", "bare", "json"]
"""``registry`` and ``files``: framed Avro with ids from a registry or from a folder; ``bare``: Avro without an id."""

DEMO_BUNDLE = Path(__file__).resolve().parent.parent / "stream_infer" / "demo_bundle" / "payments-1.bundle.jar"
FIELDS = ("transaction_id", "card_id")
_SCHEMAS = "schemas"
_MAX_MESSAGE_BYTES = 8 << 20
"""Of the input and the dead letters: an event that is too long for the service must fit into the topic."""
_FIRST_FILE_ID = 1_000_000
# A member that was killed holds its partitions until its session has run out.
_CLIENT = {"consumer": {"session.timeout.ms": 4000, "heartbeat.interval.ms": 500}}


class Scenario:
    """One configured service and its topics. A context manager: its programs are killed on exit.

    Args:
        directory: gets the config, the schema files and the programs' output.
        bootstrap_servers: the broker.
        topics: makes the topics.
        registry: needed where ``events`` or ``output`` is ``registry``.
        events: how the input is encoded.
        output: how scored events are encoded; like the input by default.
        partitions: of every topic but the dead letters, which have one.
        source: an input topic that is there already; a new one by default.
        bundle: the model; the demo's by default.
        overrides: values of the config by dotted path (``"scoring.workers": 2``); a table replaces the default one.
    """

    def __init__(
        self,
        directory: Path,
        bootstrap_servers: str,
        topics: Topics,
        registry: LocalRegistry | None = None,
        *,
        events: Encoding = "registry",
        output: Encoding | None = None,
        partitions: int = 4,
        source: str | None = None,
        bundle: Path = DEMO_BUNDLE,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.bootstrap_servers = bootstrap_servers
        self.events: Encoding = events
        self.output: Encoding = output or events
        self.partitions = partitions
        large = {"max.message.bytes": str(_MAX_MESSAGE_BYTES)}
        self.source = source or topics.create(partitions, "payments", large)
        self.sink = topics.create(partitions, "scored")
        self.flagged = topics.create(partitions, "flagged")
        self.dead = topics.create(1, "dead", large)
        self.group_id = unique_name("group")
        self.bundle = bundle
        self._registry = registry
        self._overrides = dict(overrides or {})
        self._file_schemas: dict[str, str] = {}
        self._programs: list[Program] = []
        self._prepare_schemas()
        self.config = directory / "service.toml"
        self.write_config()

    # ------------------------------------------------------------------ config and schemas

    def write_config(self, overrides: Mapping[str, Any] | None = None) -> None:
        """Write the config file anew, with further overrides."""
        self._overrides |= overrides or {}
        settings = self._settings()
        for path, value in self._overrides.items():
            _put(settings, path, value)
        write_settings(self.config, settings)

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "name": "under-test",
            "kafka": {"bootstrap_servers": self.bootstrap_servers, "client": _CLIENT},
            "source": {"topics": [self.source], "group_id": self.group_id, "codec": self._codec(self.events)},
            "model": {"bundle": str(self.bundle)},
            "sink": {"topic": self.sink, "codec": self._codec(self.output, of_sink=True), "fields": list(FIELDS)},
            "dead_letter": {"topic": self.dead},
            "delivery": {"commit_interval_ms": 500},
        }
        if "registry" in (self.events, self.output):
            assert self._registry is not None, "a scenario with a registry needs one"
            settings["schema_registry"] = {"url": self._registry.url, "auto_register": True}
        return settings

    def _codec(self, encoding: Encoding, of_sink: bool = False) -> dict[str, str]:
        if encoding == "json":
            return {"type": "json"}
        bare = "none" if of_sink else f"{_SCHEMAS}/payment.avsc"
        return {"type": "avro", "schema": {"registry": "registry", "files": f"{_SCHEMAS}/", "bare": bare}[encoding]}

    def _prepare_schemas(self) -> None:
        folder = self.directory / _SCHEMAS
        folder.mkdir(parents=True)
        (folder / "payment.avsc").write_text(json.dumps(PAYMENT_SCHEMA))
        if self.output == "files":
            self._add_file(f"{self.sink}-value.avsc", self.output_schema())

    def output_schema(self) -> str:
        """The schema of scored events, as JSON text."""
        fields = self._overrides.get("sink.fields", FIELDS)
        return output_schema(ModelBundle.load(self.bundle).input_schema, fields).text

    def add_schema(
        self, schema: Mapping[str, Any] = PAYMENT_SCHEMA, name: str = "payment", schema_id: int | None = None
    ) -> int:
        """Make a writer's schema known, to the registry or to the schema files; returns its id.

        A running program sees new schemas of a registry only: files are read when it starts. With files the id
        may be chosen, that of another scenario's registry for instance.
        """
        if self.events == "files":
            return self._add_file(f"{name}.avsc", json.dumps(schema), schema_id)
        assert self._registry is not None, "ids come from a registry or from files"
        with SchemaRegistryClient({"url": self._registry.url}) as client:
            registered: int = client.register_schema(f"{self.source}-value", Schema(json.dumps(schema), "AVRO"))
        return registered

    def _add_file(self, name: str, text: str, schema_id: int | None = None) -> int:
        folder = self.directory / _SCHEMAS
        (folder / name).write_text(text)
        known = {file: int(number) for number, file in self._file_schemas.items()}
        if schema_id is None:
            schema_id = known.get(name, _FIRST_FILE_ID + len(known))
        self._file_schemas[str(schema_id)] = name
        (folder / "ids.json").write_text(json.dumps(self._file_schemas))
        return schema_id

    def prefix(self, schema: Mapping[str, Any] = PAYMENT_SCHEMA, name: str = "payment") -> bytes:
        """What an event written with ``schema`` begins with: the framing, or nothing."""
        if self.events in ("bare", "json"):
            return b""
        return struct.pack(">bI", 0, self.add_schema(schema, name))

    # ------------------------------------------------------------------ input

    def produce_payments(self, payments: PaymentColumns, timestamp_ms: int = 0) -> None:
        """Send payments in this scenario's encoding, each under its card's id."""
        values = payments.to_json() if self.events == "json" else payments.to_avro(self.prefix())
        support_log.produce(self.bootstrap_servers, self.source, values, payments.keys(), timestamp_ms=timestamp_ms)

    def input_ends(self) -> dict[int, int]:
        """End offset of each input partition."""
        return support_log.ends(self.bootstrap_servers, self.source)

    # ------------------------------------------------------------------ run

    def run(self, *options: str, name: str | None = None, environment: Mapping[str, str] | None = None) -> Program:
        """Start ``stream_infer run CONFIG OPTIONS`` with metrics on a free port."""
        port = free_port()
        program = Program(
            ["run", self.config, "--set", f"observe.http=127.0.0.1:{port}", *options],
            self.directory,
            name or f"run-{len(self._programs)}",
            port,
            environment,
        )
        self._programs.append(program)
        return program

    def run_to_end(self, *options: str, timeout_s: float = 120.0) -> Program:
        """Run ``--until-caught-up`` to its end, which must be a good one."""
        program = self.run("--until-caught-up", *options)
        program.ended_well(timeout_s)
        return program

    def close(self) -> None:
        """Kill every program that still runs."""
        for program in self._programs:
            program.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ output

    def scored(self, topic: str | None = None) -> Scored:
        """All scored events of the output topic, or of another one such as `flagged`."""
        log = self.log(topic or self.sink)
        if self.output == "json":
            return decode_json(log)
        return decode_avro(log, self._schema_text, framed=self.output != "bare")

    def dead_letters(self) -> Log:
        """All dead letters."""
        return self.log(self.dead)

    def log(self, topic: str) -> Log:
        """All records of a topic."""
        return support_log.read(self.bootstrap_servers, topic)

    def committed(self) -> dict[int, int]:
        """Committed offset of each input partition that has one."""
        return support_log.committed(self.bootstrap_servers, self.group_id, self.source, self.partitions)

    def _schema_text(self, schema_id: int) -> str:
        if self.output == "bare":
            return self.output_schema()
        if self.output == "files":
            return (self.directory / _SCHEMAS / self._file_schemas[str(schema_id)]).read_text()
        assert self._registry is not None, "the output has ids of a registry"
        with SchemaRegistryClient({"url": self._registry.url}) as client:
            text: str | None = client.get_schema(schema_id).schema_str
        assert text is not None
        return text


def check_right(scenario: Scenario, payments: PaymentColumns) -> None:
    """Each input scored exactly once, in order, with the right score, and committed.

    Args:
        scenario: with the demo's model; its run has ended.
        payments: all of the input, in the order of `Scenario.produce_payments`.
    """
    scored = scenario.scored()
    check_every_input(scored, scenario.input_ends())
    check_order(scored)
    oracle = Oracle.open(DEMO_BUNDLE)
    scores = oracle.scores(oracle.matrix(payments))
    check_scores(scored, scores, oracle.flags(scores))
    assert scenario.committed() == scenario.input_ends()


def _put(settings: dict[str, Any], path: str, value: Any) -> None:
    *tables, key = path.split(".")
    for table in tables:
        # Copied, since the default may be shared between scenarios.
        settings[table] = dict(settings.get(table, {}))
        settings = settings[table]
    settings[key] = value


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write a config file: nested mappings, lists, texts and numbers as TOML."""
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in settings.items()))


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


__all__ = ["DEMO_BUNDLE", "FIELDS", "Encoding", "Scenario", "check_right", "write_settings"]

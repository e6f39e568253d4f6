"""Who is compared: how each subject is started, and how its output is read.

Rule: a subject is a command that follows `bench.rivals.contract`. What cannot be started here is named, with the
reason, and never left out silently.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import fastavro

from bench.rivals.contract import OUTPUT_FRAME, Task
from bench.rivals.frameworks import environments
from bench.rivals.workloads import OUTPUT_SCHEMA, Prepared
from stream_infer.bundle import ModelBundle
from stream_infer.codecs import output_schema

HERE = Path(__file__).resolve().parent
JAVA = HERE / "java"
_LARGE_BATCHES = "[batching]\nmax_batch_size = 2048\n"
"""A backlog of events that cost little is worked off more cheaply than in batches of the default size."""


class Scored(NamedTuple):
    """What an output says."""

    id: str
    score: float
    flagged: bool


Reader = Callable[[Sequence[bytes]], list[Scored]]


@dataclass(frozen=True, slots=True)
class Start:
    """A command, what its environment adds, and how to read what it writes (None: it passes inputs through)."""

    command: list[str]
    environment: Mapping[str, str]
    read: Reader | None


Starter = Callable[[Task, Prepared, Path], Start]


@dataclass(frozen=True, slots=True)
class Subject:
    """One of those that are compared.

    Attributes:
        title: for tables.
        start: makes what it needs in a folder.
        share: of the events it is given; slow ones need not pass all to be measured.
        missing: why it cannot run here; empty where it can.
    """

    title: str
    start: Starter
    share: float = 1.0
    missing: Callable[[], str] = field(default=lambda: "")


def _rival_reader() -> Reader:
    schema = fastavro.parse_schema(OUTPUT_SCHEMA)

    def read(values: Sequence[bytes]) -> list[Scored]:
        return [Scored(**_event(value, schema)) for value in values]

    return read


def _event(value: bytes, schema: Any) -> Any:
    if value[: len(OUTPUT_FRAME)] != OUTPUT_FRAME:
        raise ValueError("an output does not begin with the frame of schema 2")
    return fastavro.schemaless_reader(io.BytesIO(value[len(OUTPUT_FRAME) :]), schema, None)


# ------------------------------------------------------------------ Python


def _python(module: str) -> Starter:
    def start(task: Task, _prepared: Prepared, _folder: Path) -> Start:
        return Start([sys.executable, "-m", module], task.to_environment(), _rival_reader())

    return start


def _framework(name: str, title: str, share: float) -> Subject:
    def start(task: Task, _prepared: Prepared, _folder: Path) -> Start:
        command = [str(environments.python_of(name)), "-m", f"bench.rivals.frameworks.{name}_app"]
        return Start(command, task.to_environment(), _rival_reader())

    return Subject(title, start, share, lambda: environments.missing(name))


def _echo(task: Task, _prepared: Prepared, _folder: Path) -> Start:
    return Start([sys.executable, "-m", "bench.rivals.echo"], task.to_environment(), None)


# ------------------------------------------------------------------ stream_infer


def _stream_infer(more: str = "", **environment: str) -> Starter:
    def start(task: Task, prepared: Prepared, folder: Path) -> Start:
        id_field = prepared.workload.id_field
        schema = output_schema(ModelBundle.load(prepared.bundle).input_schema, [id_field]).text
        _write_schemas(folder, prepared, f"{task.output}-value.avsc", schema)
        config = folder / "service.toml"
        config.write_text(_config(task, prepared, id_field) + more)
        command = [sys.executable, "-m", "stream_infer", "run", str(config)]
        return Start(command, environment, _full_reader(schema, id_field))

    return start


def with_goal(slo_ms: float) -> Subject:
    """stream_infer with a goal for latency."""
    return Subject(f"stream_infer, slo_ms = {slo_ms:g}", _stream_infer(f"[batching]\nslo_ms = {slo_ms:g}\n"))


def _write_schemas(folder: Path, prepared: Prepared, output_name: str, output: str) -> None:
    schemas = folder / "schemas"
    schemas.mkdir()
    (schemas / "input.avsc").write_text(prepared.schema.read_text())
    (schemas / output_name).write_text(output)
    (schemas / "ids.json").write_text(json.dumps({"1": "input.avsc", "2": output_name}))


def _config(task: Task, prepared: Prepared, id_field: str) -> str:
    return f"""\
name = "bench"
[kafka]
bootstrap_servers = "{task.bootstrap}"
[source]
topics = ["{task.input}"]
group_id = "{task.group}"
codec = {{ type = "avro", schema = "schemas/" }}
[model]
bundle = "{prepared.bundle}"
[sink]
topic = "{task.output}"
codec = {{ type = "avro", schema = "schemas/" }}
fields = ["{id_field}"]
[dead_letter]
topic = "{task.output}.dlq"
[delivery]
commit_interval_ms = 1000
"""


def _full_reader(schema: str, id_field: str) -> Reader:
    parsed = fastavro.parse_schema(json.loads(schema))

    def read(values: Sequence[bytes]) -> list[Scored]:
        events = [_event(value, parsed) for value in values]
        return [Scored(str(event[id_field]), event["score"], event["flagged"]) for event in events]

    return read


# ------------------------------------------------------------------ Java


def _java(main: str, read: Callable[[], Reader] | None = _rival_reader) -> Starter:
    def start(task: Task, _prepared: Prepared, _folder: Path) -> Start:
        return Start([str(JAVA / "rival"), main], task.to_environment(), read() if read is not None else None)

    return start


def _not_built() -> str:
    built = (JAVA / "target" / "rivals.jar").exists() and (JAVA / "target" / "classpath.txt").exists()
    return "" if built else f"not built: run mvn -q package in {JAVA.name}"


SUBJECTS: Mapping[str, Subject] = {
    "stream_infer": Subject("stream_infer", _stream_infer(_LARGE_BATCHES)),
    "stream_infer_confluent": Subject(
        "stream_infer, confluent-kafka's classes", _stream_infer(_LARGE_BATCHES, STREAM_INFER_KAFKA_CLIENT="confluent")
    ),
    "floor": Subject("bytes passed through, stream_infer's client", _echo),
    "plain_python": Subject("plain Python loop (fastavro, dicts)", _python("bench.rivals.plain_loop"), share=0.4),
    "tuned_python": Subject("the same, tuned", _python("bench.rivals.tuned_loop"), share=0.4),
    "quix": _framework("quix", "Quix Streams", share=0.2),
    "bytewax": _framework("bytewax", "Bytewax", share=0.4),
    "faust": _framework("faust", "Faust (faust-streaming)", share=0.1),
    "faststream": _framework("faststream", "FastStream", share=0.1),
    "java_floor": Subject("bytes passed through, Java client", _java("PlainEcho", None), missing=_not_built),
    "java_plain": Subject("hand-tuned Java loop, micro-batches", _java("PlainLoop"), missing=_not_built),
    "streams": Subject("Kafka Streams, per record", _java("StreamsPerRecord"), missing=_not_built),
    "streams_batch": Subject("Kafka Streams, micro-batches", _java("StreamsMicroBatch"), missing=_not_built),
    "flink": Subject("Flink, per record", _java("FlinkPerRecord"), missing=_not_built),
    "flink_batch": Subject("Flink, micro-batches", _java("FlinkMicroBatch"), missing=_not_built),
}

"""Who is compared: how each subject is started, and how its output is read.

Rule: a subject is a command that follows `bench.rivals.contract`. What cannot be started here is named, with the
reason, and never left out silently.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.rivals.contract import Task
from bench.rivals.frameworks import environments
from bench.rivals.outputs import Reader, avro_reader, json_reader
from bench.rivals.workloads import OUTPUT_SCHEMA, Prepared, Workload
from stream_infer.bundle import ModelBundle
from stream_infer.codecs import output_schema

HERE = Path(__file__).resolve().parent
JAVA = HERE / "java"
_LARGE_BATCHES = "[batching]\nmax_batch_size = 8192\n"
"""A backlog of events that cost little is worked off more cheaply than in batches of the default size."""
_CODECS = {"avro": '{ type = "avro", schema = "schemas/" }', "json": '{ type = "json" }'}


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


def _rival(*command: str) -> Starter:
    """Told its task by the environment, as the contract says."""

    def start(task: Task, prepared: Prepared, _folder: Path) -> Start:
        return Start(list(command), task.to_environment(), _rival_reader(prepared.workload))

    return start


def _floor(*command: str) -> Starter:
    def start(task: Task, _prepared: Prepared, _folder: Path) -> Start:
        return Start(list(command), task.to_environment(), None)

    return start


def _rival_reader(workload: Workload) -> Reader:
    return json_reader("id") if workload.codec == "json" else avro_reader(OUTPUT_SCHEMA, "id")


def _framework(name: str, title: str, share: float) -> Subject:
    command = (str(environments.python_of(name)), "-m", f"bench.rivals.frameworks.{name}_app")
    return Subject(title, _rival(*command), share, lambda: environments.missing(name))


def _java(main: str) -> tuple[str, str]:
    return str(JAVA / "rival"), main


def _not_built() -> str:
    built = (JAVA / "target" / "rivals.jar").exists() and (JAVA / "target" / "classpath.txt").exists()
    return "" if built else f"not built: run mvn -q package in {JAVA.name}"


def _stream_infer(more: str = "") -> Starter:
    def start(task: Task, prepared: Prepared, folder: Path) -> Start:
        workload = prepared.workload
        read = json_reader(workload.id_field) if workload.codec == "json" else _with_schemas(task, prepared, folder)
        config = folder / "service.toml"
        config.write_text(service_config(task, workload, prepared.bundle) + more)
        return Start([sys.executable, "-m", "stream_infer", "run", str(config)], {}, read)

    return start


def with_batching(**settings: float) -> Subject:
    """stream_infer with settings of ``[batching]``, and the defaults of the others."""
    lines = [f"{name} = {value:g}" for name, value in settings.items()]
    return Subject(f"stream_infer, {', '.join(lines)}", _stream_infer("\n".join(["[batching]", *lines, ""])))


def _with_schemas(task: Task, prepared: Prepared, folder: Path) -> Reader:
    """Write the folder of schemas that the config names; a reader of what will be written with them."""
    id_field, output_name = prepared.workload.id_field, f"{task.output}-value.avsc"
    output = output_schema(ModelBundle.load(prepared.bundle).input_schema, [id_field])
    schemas = folder / "schemas"
    schemas.mkdir()
    (schemas / "input.avsc").write_text(prepared.schema.read_text())
    (schemas / output_name).write_text(output.text)
    (schemas / "ids.json").write_text(json.dumps({"1": "input.avsc", "2": output_name}))
    return avro_reader(output.avro, id_field)


def service_config(task: Task, workload: Workload, bundle: Path) -> str:
    """stream_infer's config for a task; Avro needs a folder ``schemas`` beside it."""
    codec = _CODECS[workload.codec]
    return f"""\
name = "bench"
[kafka]
bootstrap_servers = "{task.bootstrap}"
[source]
topics = ["{task.input}"]
group_id = "{task.group}"
codec = {codec}
[model]
bundle = "{bundle}"
[sink]
topic = "{task.output}"
codec = {codec}
fields = ["{workload.id_field}"]
[dead_letter]
topic = "{task.output}.dlq"
[delivery]
commit_interval_ms = 1000
"""


_MODULE = (sys.executable, "-m")
SUBJECTS: Mapping[str, Subject] = {
    "stream_infer": Subject("stream_infer", _stream_infer(_LARGE_BATCHES)),
    "floor": Subject("bytes passed through, stream_infer's client", _floor(*_MODULE, "bench.rivals.echo")),
    "floor_confluent": Subject(
        "bytes passed through, confluent-kafka's classes", _floor(*_MODULE, "bench.rivals.echo_confluent")
    ),
    "plain_python": Subject(
        "plain Python loop (fastavro or json, dicts)", _rival(*_MODULE, "bench.rivals.plain_loop"), share=0.4
    ),
    "tuned_python": Subject("the same, tuned", _rival(*_MODULE, "bench.rivals.tuned_loop"), share=0.4),
    "quix": _framework("quix", "Quix Streams", share=0.2),
    "bytewax": _framework("bytewax", "Bytewax", share=0.4),
    "faust": _framework("faust", "Faust (faust-streaming)", share=0.1),
    "faststream": _framework("faststream", "FastStream", share=0.1),
    "java_floor": Subject("bytes passed through, Java client", _floor(*_java("PlainEcho")), missing=_not_built),
    "java_plain": Subject("hand-tuned Java loop, micro-batches", _rival(*_java("PlainLoop")), missing=_not_built),
    "streams": Subject("Kafka Streams, per record", _rival(*_java("StreamsPerRecord")), missing=_not_built),
    "streams_batch": Subject("Kafka Streams, micro-batches", _rival(*_java("StreamsMicroBatch")), missing=_not_built),
    "flink": Subject("Flink, per record", _rival(*_java("FlinkPerRecord")), missing=_not_built),
    "flink_batch": Subject("Flink, micro-batches", _rival(*_java("FlinkMicroBatch")), missing=_not_built),
}

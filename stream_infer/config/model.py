"""The one configuration of the service: frozen sections, unknown keys forbidden.

Rule: this file is the only description of the configuration. Its types, ranges, defaults and attribute
docstrings make the error messages (`load`), the reference page and the JSON Schema (`describe`). A section is
read by one constructor in `stream_infer.app`. What needs several fields or the disk to judge is in `lint`.

Relative paths are relative to the config file: validation takes its folder from the context key ``directory``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, Strict

from stream_infer.config.fields import (
    Brokers,
    FilePath,
    HostPort,
    KafkaClient,
    Name,
    NonEmpty,
    RegistryClient,
    Seconds,
    SinkSchema,
    SourceSchema,
    TopicName,
)


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class KafkaConfig(Section):
    """The cluster, for every client of the service: consumer, producer and admin."""

    bootstrap_servers: Brokers
    """Brokers to ask first, as `HOST:PORT,HOST:PORT`. Kafka: `bootstrap.servers`."""

    client: Annotated[KafkaClient, Field(repr=False)] = {}
    """Any librdkafka property under its own name, passed through as it is: `security.protocol`, `sasl.*`,
    `ssl.*`, `client.rack`, ... The sub-tables `client.consumer`, `client.producer` and `client.admin` reach
    that kind of client only and win over the common ones. Properties that this file governs elsewhere
    (`group.id`, `enable.auto.commit`, ...) are refused here."""


class SchemaRegistryConfig(Section):
    """A Confluent-compatible schema registry. Needed if, and only if, a codec says `schema = "registry"`."""

    url: Annotated[str, Field(pattern=r"^(https?|mock)://\S+$")]
    """Base URL of the registry, `http://` or `https://`."""

    client: Annotated[RegistryClient, Field(repr=False)] = {}
    """Any property of the Python `SchemaRegistryClient` under its own name, passed through as it is:
    `basic.auth.user.info`, `ssl.ca.location`, ..."""

    auto_register: bool = False
    """Register the output schema at start when the registry doesn't have it. Off by default: in most places
    schemas are registered by a deployment step, and a service that may register can surprise its readers.
    Confluent serializers: `auto.register.schemas`."""


class AvroSourceCodec(Section):
    """Events in Avro's binary encoding."""

    type: Literal["avro"]
    """The encoding."""

    schema_location: Annotated[SourceSchema, Field(validation_alias="schema", serialization_alias="schema")]
    """Where the writer's schema comes from. `"registry"`: by the id in each event (Confluent framing, or the
    `__value_schema_id` header). `"FOLDER/"`, with the slash: framed too, with `FOLDER/ids.json` mapping ids to
    schema files. `"FILE.avsc"`: events are bare Avro, all written with that schema."""

    @property
    def uses_registry(self) -> bool:
        """True where schema ids are looked up in the registry."""
        return self.schema_location == "registry"

    @property
    def schema_directory(self) -> Path | None:
        """The folder of ``ids.json``, where there is one."""
        return Path(self.schema_location) if self.schema_location.endswith("/") else None

    @property
    def schema_file(self) -> Path | None:
        """The one writer's schema of bare Avro, where there is one."""
        return None if self.uses_registry or self.schema_directory else Path(self.schema_location)


class JsonSourceCodec(Section):
    """Events as JSON objects, one a record, UTF-8."""

    type: Literal["json"]
    """The encoding."""


class AvroSinkCodec(Section):
    """Scored events in Avro's binary encoding."""

    type: Literal["avro"]
    """The encoding."""

    schema_location: Annotated[SinkSchema, Field(validation_alias="schema", serialization_alias="schema")]
    """What readers learn the schema from. `"registry"`: events are framed with the id registered under
    `TOPIC-value`. `"FOLDER/"`, with the slash: framed with the id that `FOLDER/ids.json` gives
    `TOPIC-value.avsc`. `"none"`: bare Avro without an id."""

    @property
    def uses_registry(self) -> bool:
        """True where the output schema's id comes from the registry."""
        return self.schema_location == "registry"

    @property
    def framed(self) -> bool:
        """True where each event starts with a schema id."""
        return self.schema_location != "none"

    @property
    def schema_directory(self) -> Path | None:
        """The folder of ``ids.json``, where there is one."""
        return None if self.schema_location in ("registry", "none") else Path(self.schema_location)


class JsonSinkCodec(Section):
    """Scored events as JSON objects, one a record, UTF-8."""

    type: Literal["json"]
    """The encoding."""


SourceCodec: TypeAlias = Annotated[AvroSourceCodec | JsonSourceCodec, Field(discriminator="type")]
SinkCodec: TypeAlias = Annotated[AvroSinkCodec | JsonSinkCodec, Field(discriminator="type")]


class SourceConfig(Section):
    """What is read."""

    topics: Annotated[tuple[TopicName, ...], Strict(False), Field(min_length=1)]
    """Topics to score, by name."""

    group_id: NonEmpty
    """Consumer group. Instances with the same group share the partitions. Kafka: `group.id`."""

    start: Literal["earliest", "latest", "fail"] = "earliest"
    """Where a partition without a committed offset is read from. `earliest`: nothing is left out (the
    default). `latest`: only what arrives from now on. `fail`: stop and say so. Kafka's `auto.offset.reset` is
    always `error` here, so this never applies to an offset that retention has deleted: see `on_data_loss`."""

    on_data_loss: Literal["fail", "continue"] = "fail"
    """What to do when events between the committed offset and the log's start were deleted before they were
    read. `fail`: stop with exit code 1, nothing is passed over in silence. `continue`: log and count the loss
    and go on with the oldest event there is."""

    codec: SourceCodec
    """How events are encoded."""

    max_event_bytes: Annotated[int, Field(ge=1, le=1_073_741_824)] = 1_048_576
    """Longest event that is decoded, in bytes. A longer one becomes a dead letter with reason `oversize`.
    The default is the broker's own default for a message (1 MiB)."""


class ModelConfig(Section):
    """The model."""

    bundle: FilePath
    """Model bundle: a folder or a `.bundle.jar`, made by `stream-infer export`."""

    providers: Annotated[tuple[NonEmpty, ...], Strict(False), Field(min_length=1)] = ("CPUExecutionProvider",)
    """ONNX Runtime's execution providers, in order of preference; what none of them can do runs on the CPU. A start
    fails where one is not there. Trees run in the tree kernel where it answers as these providers do, bit for bit."""


class BatchingConfig(Section):
    """How events become micro-batches. A batch leaves when it is full, or has waited for as long as it may."""

    max_batch_size: Annotated[int, Field(ge=1, le=65_536)] = 1024
    """Events in a batch at most. A batch costs about half a millisecond besides its events: where an event costs a
    microsecond, batches of 4096 or 8192 work a backlog off for a fifth less. Where an event costs milliseconds, smaller
    ones end sooner: a shutdown waits for them, and `timeouts.score_seconds` counts for a whole batch."""

    max_batch_bytes: Annotated[int, Field(ge=1, le=1_073_741_824)] = 4_194_304
    """Bytes (values and keys) in a batch at most; one larger event is a batch of its own. 4 MiB is 512 events
    of 8 KiB: the limit is there for topics with large events."""

    linger_ms: Annotated[float, Field(ge=0, le=60_000)] = 5.0
    """Longest time that the first event of a batch waits for more, in milliseconds. 0: whatever is there
    leaves at once. The wait counts from the first event, not from the last. Not Kafka's producer property
    `linger.ms`, which is set in `kafka.client.producer`."""

    slo_ms: Annotated[float, Field(ge=1, le=3_600_000)] | None = None
    """Goal for latency, in milliseconds, from an event's timestamp to its scored event. It takes the place of
    `linger_ms`: what a batch costs and how often events come is learned, and a batch waits for more only where that
    pays, and within what an event's age and publishing leave of the goal. Default: none, since nobody else knows it."""


class FlowConfig(Section):
    """Backpressure: how much may lie between reading and publishing, and what happens when that is full."""

    max_buffered_records: Annotated[int, Field(ge=1, le=10_000_000)] = 8192
    """Events between poll and publish at most. At this mark nothing more is read. The default is 8 full
    batches; not below `batching.max_batch_size`."""

    max_buffered_bytes: Annotated[int, Field(ge=1, le=68_719_476_736)] = 67_108_864
    """The same in bytes (64 MiB): memory stays below a small multiple of it at any overload. Not below
    `batching.max_batch_bytes`."""

    max_unacknowledged: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Published events that no broker has acknowledged yet, at most; no batch is taken up while it is
    reached. The default is that of librdkafka's `queue.buffering.max.messages`."""

    low_watermark_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Reading goes on once what is buffered has fallen to this share of the limits. The distance keeps
    reading from starting and stopping with every event."""

    pause_after_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 8000
    """Buffers full for this long, in milliseconds: partitions are paused at the broker client. A pause throws
    prefetched events away and costs 0.5 to 1.4 s, so short jams are sat out without one."""

    when_full: Literal["block", "shed"] = "block"
    """What overload costs. `block`: lag grows, nothing is lost. `shed`: events older than `max_age_ms` are
    published unscored with status `shed`, and counted."""

    max_age_ms: Annotated[int, Field(ge=1)] | None = None
    """Age, in milliseconds, above which an event is shed. Required with `when_full = "shed"`, refused with
    `"block"`. Age counts from the event's Kafka timestamp where that is plausible, else from its arrival."""


class ScoringConfig(Section):
    """Where the model runs."""

    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads that score. 0: the main thread does, which has the lowest latency and is fastest on one core.
    More pay off when a batch takes long: each takes a whole batch, and order is kept."""

    max_in_flight: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Batches being scored or waiting for their turn to be published, at most. Default: twice the workers,
    at least 1, so that each worker finds its next batch ready."""

    @property
    def in_flight_limit(self) -> int:
        """``max_in_flight``, or its default of ``max(1, 2 * workers)``."""
        return self.max_in_flight if self.max_in_flight is not None else max(1, 2 * self.workers)


class DecisionConfig(Section):
    """What becomes of a score."""

    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """An event is flagged from this score on. Default: the bundle's own threshold."""


class RouteConfig(Section):
    """A further topic for some of the scored events."""

    when: Literal["flagged", "not_flagged"]
    """Which scored events go there, in addition to `sink.topic`."""

    topic: TopicName
    """The further topic."""


class SinkConfig(Section):
    """What is published."""

    topic: TopicName
    """Topic of the scored events: one for every event that was scored or shed."""

    codec: SinkCodec
    """How scored events are encoded."""

    fields: Annotated[tuple[NonEmpty, ...], Strict(False)] = ()
    """Top-level fields of the input that are carried to the output, with their types."""

    routes: Annotated[tuple[RouteConfig, ...], Strict(False)] = ()
    """Further topics for flagged (or not flagged) events, in addition to `topic`."""

    partition: Literal["key", "input"] = "key"
    """Which partition an event goes to. `key`: by its key, as Java clients do (murmur2), so that topics can be
    joined. `input`: the number of the partition it came from; output topics need as many partitions."""


class DeadLetterConfig(Section):
    """Where events go that cannot be scored, and how many of them are too many.

    One bad event must not stop a service; a producer that writes nothing but bad events should, before its whole
    topic lies in the dead letters. Beyond either limit the process ends with exit code 1; what it refused is not
    committed, so nothing is lost, and a restart meets the same events.
    """

    topic: TopicName
    """Topic of the dead letters: the original key, value and headers, and why, in further headers."""

    headers: Literal["native", "connect", "streams", "spring"] = "native"
    """Names of the headers that say why, for tools that are there already. `native`: `__stream_infer.errors.*`.
    `connect`: as Kafka Connect's `__connect.errors.*`. `streams`: as Kafka Streams' `__streams.errors.*`. `spring`:
    as Spring's `kafka_dlt-*`, numbers in binary. The last three keep `__stream_infer.errors.reason`, `.stage`,
    `.failed_at` and `.attempts`, which have no counterpart there."""

    max_consecutive: Annotated[int, Field(ge=0, le=1_000_000_000)] = 1000
    """Dead letters in a row, in the order in which this process settles events, at most. 0: any number. The
    default is two full batches in which not one event could be scored."""

    max_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of dead letters among the last `ratio_window` events at most. 1: no limit. By default more than half is
    too much: then the bad event is the usual one."""

    ratio_window: Annotated[int, Field(ge=10, le=1_000_000)] = 10_000
    """Events over which `max_ratio` is judged; fewer are not judged. Long enough to outlast one producer's bad
    minute."""


class DeliveryConfig(Section):
    """What a failure may cost."""

    guarantee: Literal["at_least_once", "exactly_once"] = "at_least_once"
    """`at_least_once`: no event is lost; after a failure those since the last commit are published again, with the
    same input topic, partition and offset. `exactly_once`: scored events, dead letters and offsets are committed
    in one transaction; readers with `isolation.level = read_committed` see each event once, when its transaction
    is committed. Kafka Streams: `processing.guarantee`."""

    commit_interval_ms: Annotated[int, Field(ge=1, le=600_000)] = 1000
    """Milliseconds between checkpoints: outputs acknowledged, then offsets committed. Shorter: fewer repeats after a
    failure, more round trips. With `exactly_once` this is also how long readers wait for an event: 100 to 1000
    is sensible, and it is at most half of `transaction_timeout_ms`. Kafka Streams: `commit.interval.ms`."""

    transaction_timeout_ms: Annotated[int, Field(ge=1000, le=900_000)] = 15_000
    """Only with `exactly_once`: a transaction that is open for this long, in milliseconds, is aborted by the broker.
    It is how long a process that died without `instance` (or is cut off) holds up readers of its output. Long
    enough for the election of a leader; not above the broker's `transaction.max.timeout.ms`. Kafka:
    `transaction.timeout.ms`."""


class TimeoutsConfig(Section):
    """How long each stage may take, in seconds. What then happens is said with each."""

    startup_seconds: Seconds = 60.0
    """An unreachable broker or registry at start is retried for this long (a rolling restart of a cluster fits
    in a minute), then the process ends with exit code 1."""

    poll_seconds: Seconds = 60.0
    """A call to the Kafka consumer that does not come back: it includes rebalances, which may take tens of
    seconds. Then the process is stopped, and a restart goes on from the last commit."""

    score_seconds: Seconds = 30.0
    """One call of the model. A call is asked to stop; one that cannot be stopped ends the process. Thousands
    of times the usual milliseconds, and below `max.poll.interval.ms`."""

    publish_seconds: Seconds = 30.0
    """From publishing to the broker's acknowledgement. Then the checkpoint fails and the partitions rewind to
    the last commit. Kafka: `delivery.timeout.ms`; long enough for a leader election. With `exactly_once` it ends
    no later than `delivery.transaction_timeout_ms`."""

    commit_seconds: Seconds = 10.0
    """One commit of offsets. Then the checkpoint fails, and is tried again after a rewind."""

    registry_seconds: Seconds = 5.0
    """One question to the schema registry. Then the batch waits and asks again, with growing pauses."""

    retry_seconds: Seconds = 900.0
    """How long one stage may fail and be tried again, with growing pauses of up to 5 s and its offsets unmoved. Then
    the process ends with exit code 1, so that an outage nobody notices shows where restarts are counted. A quarter
    of an hour outlasts the restart of a cluster."""

    drain_seconds: Seconds = 30.0
    """After SIGTERM, or before partitions are handed over: finish, publish and commit what was read. What is not
    done by then is dropped without a commit and read again later. Kubernetes kills after 30 s unless told
    otherwise: give the pod a longer `terminationGracePeriodSeconds`, or set this lower."""


class ObserveConfig(Section):
    """What operators see."""

    http: HostPort | None = None
    """`HOST:PORT` for `/metrics`, `/livez` and `/readyz`. Port 0 takes a free one. Default: not served."""

    log_format: Literal["text", "json"] = "text"
    """Log lines for people, or one JSON object a line."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""


class Config(Section):
    """The configuration of one service."""

    name: Name
    """Name of the service in logs and metrics, and its Kafka `client.id`."""

    instance: Name | None = None
    """Name of this replica: no other has it, and a restart of this one has it again, such as `"${HOSTNAME}"` in a
    Kubernetes StatefulSet. With `exactly_once` it is the end of the `transactional.id`, so that a restarted replica
    shuts its predecessor out at once and ends its open transaction. Two running replicas of one name would shut out
    each other. Default: none; then the end is random, and an abandoned transaction ends by its timeout."""

    kafka: KafkaConfig
    schema_registry: SchemaRegistryConfig | None = None
    source: SourceConfig
    model: ModelConfig
    batching: BatchingConfig = BatchingConfig()
    flow: FlowConfig = FlowConfig()
    scoring: ScoringConfig = ScoringConfig()
    decision: DecisionConfig = DecisionConfig()
    sink: SinkConfig
    dead_letter: DeadLetterConfig
    delivery: DeliveryConfig = DeliveryConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
    observe: ObserveConfig = ObserveConfig()

    @property
    def output_topics(self) -> tuple[str, ...]:
        """Every topic that is written to: sink, routes, dead letters; in that order, repeats left out."""
        routes = (route.topic for route in self.sink.routes)
        return tuple(dict.fromkeys((self.sink.topic, *routes, self.dead_letter.topic)))

    @property
    def codecs_using_registry(self) -> tuple[str, ...]:
        """Paths of the codecs that ask the schema registry: ``source.codec``, ``sink.codec``."""
        codecs = {"source.codec": self.source.codec, "sink.codec": self.sink.codec}
        return tuple(path for path, codec in codecs.items() if getattr(codec, "uses_registry", False))


__all__ = [
    "AvroSinkCodec",
    "AvroSourceCodec",
    "BatchingConfig",
    "Config",
    "DeadLetterConfig",
    "DecisionConfig",
    "DeliveryConfig",
    "FlowConfig",
    "JsonSinkCodec",
    "JsonSourceCodec",
    "KafkaConfig",
    "ModelConfig",
    "ObserveConfig",
    "RouteConfig",
    "SchemaRegistryConfig",
    "ScoringConfig",
    "Section",
    "SinkConfig",
    "SourceConfig",
    "TimeoutsConfig",
]

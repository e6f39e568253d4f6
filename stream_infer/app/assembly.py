"""From a config to the parts of the line. Constructs; starts nothing and joins no group."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from stream_infer.app import codecs
from stream_infer.app.dry_run import DrySink
from stream_infer.app.kernels import rehearse
from stream_infer.bundle import ModelBundle
from stream_infer.clock import Clock
from stream_infer.config.model import Config
from stream_infer.config.options import RunOptions
from stream_infer.config.timing import publish_ms
from stream_infer.core.flow import FlowLimits
from stream_infer.core.retry import Backoff
from stream_infer.delivery import AtLeastOnce, Delivery, DeliverySettings, ExactlyOnce
from stream_infer.errors import ConfigError, ConfigProblem
from stream_infer.executors import executor
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.properties import (
    Properties,
    Transaction,
    admin_properties,
    client_problems,
    consumer_properties,
    exactly_once_problems,
    producer_properties,
)
from stream_infer.kafka.publisher import Outputs, Route
from stream_infer.kafka.sink import KafkaSink
from stream_infer.kafka.source import KafkaSource
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.pipeline import Pipeline, Settings
from stream_infer.ports import Decoder, Encoder, Instrument, Sink, Source, TransactionalSink
from stream_infer.scoring import Scorer, available_providers, open_model
from stream_infer.scoring.verify import LoadedModel
from stream_infer.work import Work

Watch = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded, proven and warm model."""

    bundle: ModelBundle
    runtime: LoadedModel


def load_model(config: Config) -> Model:
    """Open the bundle, check it, and warm it up at the batch sizes in use.

    Raises:
        ConfigError: ``model.providers`` names one that is not there.
        ModelLoadError: with the reason.
    """
    check_providers(config)
    bundle = ModelBundle.load(config.model.bundle)
    sizes = (1, config.batching.max_batch_size)
    return Model(bundle, open_model(bundle, warm_up_sizes=sizes, providers=config.model.providers))


def check_providers(config: Config) -> None:
    """Raise ConfigError for the execution providers that ONNX Runtime does not have here, all at once."""
    available = available_providers()
    hint = f"available are {', '.join(available)}; others come with other builds of onnxruntime"
    unknown = [name for name in config.model.providers if name not in available]
    if unknown:
        message = "is not an execution provider of this ONNX Runtime"
        raise ConfigError([ConfigProblem("model.providers", f"{name} {message}", hint) for name in unknown])


def check_client(config: Config) -> None:
    """Raise ConfigError for the properties of ``kafka.client`` that cannot work, all at once."""
    problems = client_problems(config.kafka.client)
    if config.delivery.guarantee == "exactly_once":
        problems += exactly_once_problems(config.kafka.client)
    if problems:
        raise ConfigError(problems)


def admin(config: Config, clock: Clock, timeout_s: float = 10.0) -> KafkaAdmin:
    """The administrative client.

    Raises:
        ConfigError: properties of ``kafka.client`` that cannot work, all at once.
    """
    check_client(config)
    properties = admin_properties(config.kafka.bootstrap_servers, config.kafka.client, client_id=config.name)
    return KafkaAdmin(properties, clock, timeout_s)


def all_topics(config: Config) -> list[str]:
    """Every topic that the config names, inputs first."""
    return [*config.source.topics, *config.output_topics]


def assemble(
    config: Config,
    options: RunOptions,
    *,
    model: Model,
    encoder: Encoder,
    admin: KafkaAdmin,
    clock: Clock,
    instrument: Instrument,
    watch: Watch = nullcontext,
) -> Pipeline:
    """Build the line. Nothing is started."""
    decoder = codecs.decoder(config, model.bundle, instrument)
    work = make_work(config, model=model, decoder=decoder, encoder=encoder, clock=clock, watch=watch)
    source = _source(config, options, admin, clock)
    return Pipeline(
        source,
        _delivery(config, options, source, admin, clock, instrument),
        work,
        executor(config.scoring.workers),
        settings(config, options),
        clock,
        instrument,
    )


def make_work(
    config: Config, *, model: Model, decoder: Decoder, encoder: Encoder, clock: Clock, watch: Watch = nullcontext
) -> Work:
    """What happens to a batch, rehearsed: its kernels are ready."""
    scorer = Scorer(model.bundle, decoder, model.runtime, threshold=config.decision.threshold)
    shed_after_ms = config.flow.max_age_ms if config.flow.when_full == "shed" else None
    work = Work(scorer, encoder, clock, shed_after_ms, watch)
    rehearse(work)
    return work


def settings(config: Config, options: RunOptions) -> Settings:
    """The pipeline's numbers."""
    slo_ms = config.batching.slo_ms
    return Settings(
        max_batch_size=config.batching.max_batch_size,
        max_batch_bytes=config.batching.max_batch_bytes,
        linger_s=config.batching.linger_ms / 1000,
        max_in_flight=config.scoring.in_flight_limit,
        flow=FlowLimits(
            max_records=config.flow.max_buffered_records,
            max_bytes=config.flow.max_buffered_bytes,
            low_ratio=config.flow.low_watermark_ratio,
            pause_after_s=config.flow.pause_after_ms / 1000,
        ),
        drain_timeout_s=options.drain_timeout_seconds or config.timeouts.drain_seconds,
        slo_s=None if slo_ms is None else slo_ms / 1000,
        publish_s=publish_ms(config) / 1000,
        parallel=max(1, config.scoring.workers),
        max_records=options.max_events,
        until_caught_up=options.until_caught_up,
        backoff=_backoff(config),
    )


def delivery_settings(config: Config, options: RunOptions) -> DeliverySettings:
    """The delivery's numbers."""
    return DeliverySettings(
        commit_interval_s=config.delivery.commit_interval_ms / 1000,
        publish_timeout_s=config.timeouts.publish_seconds,
        commit_timeout_s=config.timeouts.commit_seconds,
        max_uncommitted=config.flow.max_unacknowledged,
        watch_records=config.flow.max_unacknowledged + config.flow.max_buffered_records,
        commits=not options.dry_run,
        backoff=_backoff(config),
        max_consecutive_rejects=config.dead_letter.max_consecutive,
        max_reject_ratio=config.dead_letter.max_ratio,
        reject_window=config.dead_letter.ratio_window,
    )


def _backoff(config: Config) -> Backoff:
    return Backoff(budget_s=config.timeouts.retry_seconds)


def _delivery(
    config: Config, options: RunOptions, source: Source, admin: KafkaAdmin, clock: Clock, instrument: Instrument
) -> Delivery:
    numbers = delivery_settings(config, options)
    if options.dry_run:
        return AtLeastOnce(source, DrySink(), numbers, clock, instrument, random.random)
    if config.delivery.guarantee == "exactly_once":
        return ExactlyOnce(source, _transactional_sink(config, admin, clock), numbers, clock, instrument, random.random)
    return AtLeastOnce(source, _sink(config, admin, clock), numbers, clock, instrument, random.random)


def _source(config: Config, options: RunOptions, admin: KafkaAdmin, clock: Clock) -> KafkaSource:
    group_id = config.source.group_id
    if options.dry_run:
        # In the service's own group a dry run would take partitions away from the running replicas.
        group_id = f"{group_id}-dry-run-{uuid.uuid4().hex[:8]}"
    properties = consumer_properties(
        config.kafka.bootstrap_servers, config.kafka.client, client_id=config.name, group_id=group_id
    )
    return KafkaSource(
        properties,
        admin,
        topics=config.source.topics,
        start=config.source.start,
        on_data_loss=config.source.on_data_loss,
        clock=clock,
    )


def _sink(config: Config, admin: KafkaAdmin, clock: Clock) -> Sink:
    return KafkaSink(_producer_properties(config), admin, outputs=_outputs(config), clock=clock)


def _transactional_sink(config: Config, admin: KafkaAdmin, clock: Clock) -> TransactionalSink:
    instance = config.instance or uuid.uuid4().hex[:12]
    transaction = Transaction(
        f"{config.name}-{config.source.group_id}-{instance}", config.delivery.transaction_timeout_ms
    )
    return TransactionalKafkaSink(
        _producer_properties(config, transaction),
        admin,
        outputs=_outputs(config),
        stable_name=config.instance is not None,
        commit_timeout_s=config.timeouts.publish_seconds,
        clock=clock,
    )


def _producer_properties(config: Config, transaction: Transaction | None = None) -> Properties:
    return producer_properties(
        config.kafka.bootstrap_servers,
        config.kafka.client,
        client_id=config.name,
        publish_timeout_s=config.timeouts.publish_seconds,
        transaction=transaction,
    )


def _outputs(config: Config) -> Outputs:
    return Outputs(
        topic=config.sink.topic,
        dead_letter_topic=config.dead_letter.topic,
        group_id=config.source.group_id,
        routes=tuple(Route(route.when, route.topic) for route in config.sink.routes),
        partition=config.sink.partition,
        dead_letter_headers=config.dead_letter.headers,
        max_unacknowledged=config.flow.max_unacknowledged,
    )

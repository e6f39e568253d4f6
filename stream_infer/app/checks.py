"""``validate``: what can be told of a config offline, and with ``--connect`` everything that a start would need.

Rule: nothing is changed: no group is joined, no schema registered, no topic created.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stream_infer.app import assembly, codecs
from stream_infer.bundle import ModelBundle
from stream_infer.clock import SystemClock
from stream_infer.config.model import Config
from stream_infer.config.options import Check
from stream_infer.errors import StreamInferError
from stream_infer.kafka.admin import KafkaAdmin

_BROKER_TIMEOUT_S = 10.0


def check_offline(config: Config) -> None:
    """Hold the config against librdkafka's properties, ONNX Runtime, the bundle and the schema files; no network.

    Raises:
        ConfigError: properties, execution providers, fields or schemas that cannot work.
        ModelLoadError: the bundle is damaged.
    """
    assembly.check_client(config)
    assembly.check_providers(config)
    bundle = ModelBundle.load(config.model.bundle)
    codecs.decoder(config, bundle)
    codecs.scored_event(config, bundle)


def connect_checks(config: Config) -> Iterator[Check]:
    """Model, decoder, broker, topics, group and registry, each as it is found.

    Raises:
        ConfigError: the config cannot work whatever the outside answers.
    """
    admin = assembly.admin(config, SystemClock())
    loaded: list[assembly.Model] = []
    yield _check("model", lambda: _load(config, loaded))
    if loaded:
        bundle = loaded[0].bundle
        yield _check("decoder", lambda: _decoder(config, bundle))
    broker = _check("broker", lambda: _broker(config, admin))
    yield broker
    if broker.ok:
        for topic in dict.fromkeys(assembly.all_topics(config)):
            yield _check(f"topic {topic}", lambda topic=topic: _topic(admin, topic))  # type: ignore[misc]
        yield _check(f"group {config.source.group_id}", lambda: _group(config, admin))
    if loaded and config.codecs_using_registry:
        bundle = loaded[0].bundle
        yield _check("schema registry", lambda: _registry(config, bundle))


def _check(name: str, question: Callable[[], str]) -> Check:
    try:
        return Check(name, True, question())
    except StreamInferError as error:
        return Check(name, False, str(error))


def _load(config: Config, loaded: list[assembly.Model]) -> str:
    model = assembly.load_model(config)
    loaded.append(model)
    identity = model.bundle.identity(config.decision.threshold)
    return f"{identity.name} {identity.version} loaded, golden vectors right, warm (threshold {identity.threshold:g})"


def _decoder(config: Config, bundle: ModelBundle) -> str:
    codecs.decoder(config, bundle)
    output = codecs.scored_event(config, bundle)
    return f"reads {sum(i.width for i in bundle.projection().inputs)} cells, writes {len(output.avro['fields'])} fields"


def _broker(config: Config, admin: KafkaAdmin) -> str:
    admin.wait_ready(_BROKER_TIMEOUT_S, patient=False)
    return f"{config.kafka.bootstrap_servers} answers"


def _topic(admin: KafkaAdmin, topic: str) -> str:
    info = admin.require_topics([topic])[topic]
    return f"{info.partitions} partitions, replication factor {info.replication_factor}"


def _group(config: Config, admin: KafkaAdmin) -> str:
    admin.check_group(config.source.group_id)
    return "may be used"


def _registry(config: Config, bundle: ModelBundle) -> str:
    section = config.schema_registry
    codecs.registry(config).by_id(1)
    if "sink.codec" not in config.codecs_using_registry:
        return "answers"
    if section is not None and section.auto_register:
        return "answers; the output schema is registered at the start (auto_register)"
    codecs.encoder(config, bundle, auto_register=False)
    return "answers; the output schema is registered"

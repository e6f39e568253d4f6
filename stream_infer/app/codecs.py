"""Which codec a config means: decoder and encoder, and where their schemas come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_infer.bundle import ModelBundle
from stream_infer.codecs import (
    AvroDecoder,
    AvroEncoder,
    FileSchemaSource,
    FixedSchema,
    FramedSchemas,
    JsonDecoder,
    JsonEncoder,
    OutputSchema,
    output_schema,
)
from stream_infer.config.model import AvroSourceCodec, Config, JsonSinkCodec, JsonSourceCodec
from stream_infer.errors import ConfigError, ConfigProblem
from stream_infer.kafka.registry import ConfluentSchemaSource
from stream_infer.ports import Decoder, Encoder, Instrument, SchemaSource


def registry(
    config: Config, instrument: Instrument | None = None, *, auto_register: bool | None = None
) -> ConfluentSchemaSource:
    """The schema registry of the config.

    Args:
        config: says which.
        instrument: told of questions that are not answered in time.
        auto_register: overrides the config's.

    Raises:
        ConfigError: ``[schema_registry]`` is missing or its client properties are wrong.
    """
    section = config.schema_registry
    if section is None:
        raise ConfigError([ConfigProblem("schema_registry", "is missing", 'a codec says schema = "registry"')])
    register = section.auto_register if auto_register is None else auto_register
    client: Mapping[str, Any] = section.client
    told = instrument or Instrument()
    return ConfluentSchemaSource(
        section.url,
        client,
        register,
        config.timeouts.registry_seconds,
        on_timeout=lambda seconds: told.stage_timed_out("registry", seconds),
    )


def decoder(
    config: Config, bundle: ModelBundle, instrument: Instrument | None = None, schemas: SchemaSource | None = None
) -> Decoder:
    """Reads events of ``source.codec`` into what the bundle's model and ``sink.fields`` need.

    ``schemas`` takes the place of the registry, or of the folder, that framed events would be looked up in.

    Raises:
        ConfigError: a schema file is wrong, or a field of the projection does not exist.
    """
    projection = bundle.projection(config.sink.fields)
    codec = config.source.codec
    limit = config.source.max_event_bytes
    if isinstance(codec, JsonSourceCodec):
        return JsonDecoder(projection, max_event_bytes=limit)
    return AvroDecoder(projection, _writer_schemas(config, codec, instrument, schemas), max_event_bytes=limit)


def scored_event(config: Config, bundle: ModelBundle) -> OutputSchema:
    """The output schema: the fixed part and ``sink.fields``."""
    multi_class = len(bundle.manifest.classes) > 2
    return output_schema(bundle.input_schema, config.sink.fields, multi_class)


def encoder(
    config: Config,
    bundle: ModelBundle,
    instrument: Instrument | None = None,
    *,
    auto_register: bool | None = None,
    schemas: SchemaSource | None = None,
) -> Encoder:
    """Writes scored events for ``sink.codec``; asks for the output schema's id where events are framed.

    ``schemas`` takes the place of the registry, or of the folder, that would be asked.

    Raises:
        RegistryUnavailable: no answer for now.
        FatalError: the schema is not registered and must not be, or is incompatible.
    """
    output = scored_event(config, bundle)
    codec = config.sink.codec
    if isinstance(codec, JsonSinkCodec):
        return JsonEncoder(output)
    if not codec.framed:
        return AvroEncoder(output)
    source: SchemaSource
    if schemas is not None:
        source = schemas
    elif codec.schema_directory is not None:
        source = FileSchemaSource(codec.schema_directory)
    else:
        source = registry(config, instrument, auto_register=auto_register)
    schema_id = source.register(f"{config.sink.topic}-value", output.text)
    return AvroEncoder(output, b"\x00" + schema_id.to_bytes(4, "big"))


def _writer_schemas(
    config: Config, codec: AvroSourceCodec, instrument: Instrument | None, schemas: SchemaSource | None
) -> FixedSchema | FramedSchemas:
    if schemas is not None and codec.schema_file is None:
        return FramedSchemas(schemas)
    if codec.uses_registry:
        return FramedSchemas(registry(config, instrument))
    if codec.schema_directory is not None:
        return FramedSchemas(FileSchemaSource(codec.schema_directory))
    return FixedSchema(fixed_schema(codec))


def fixed_schema(codec: AvroSourceCodec) -> str:
    """The text of the one schema that bare events are written with.

    Raises:
        ConfigError: the file cannot be read.
    """
    path = codec.schema_file
    assert path is not None, "a codec has a registry, a directory or a file"
    return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = ConfigProblem("source.codec.schema", f"{path} cannot be read: {error}", "name an Avro schema file")
        raise ConfigError([problem]) from error

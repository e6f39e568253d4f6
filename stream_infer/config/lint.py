"""What no single field can know: checks across fields, and of the files that a config names.

Rule: each check is one small generator over a valid `Config`; it looks at the config and at the disk, never at
the network (that is ``validate --connect``). An error is what cannot work or would lose or loop events; a
warning is what works, but hardly as meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stream_infer.config.fields import CLIENT_ROLES
from stream_infer.config.model import AvroSinkCodec, AvroSourceCodec, Config
from stream_infer.config.timing import publish_ms
from stream_infer.errors import ConfigProblem

Check = Callable[[Config], Iterator[ConfigProblem]]

DEFAULT_MAX_POLL_INTERVAL_MS = 300_000
"""librdkafka's default of ``max.poll.interval.ms``."""
LEAST_TRANSACTION_MS = 100
"""A shorter commit interval spends a tenth of the time on committing."""


def find_errors(config: Config) -> list[ConfigProblem]:
    """Everything across fields that keeps ``config`` from running. Paths are the model's; no lines."""
    return [problem for check in _ERRORS for problem in check(config)]


def find_warnings(config: Config) -> list[ConfigProblem]:
    """Everything across fields that is probably not meant."""
    return [problem for check in _WARNINGS for problem in check(config)]


# ------------------------------------------------------------------------------------------------- errors


def _registry_is_there(config: Config) -> Iterator[ConfigProblem]:
    users = config.codecs_using_registry
    if users and config.schema_registry is None:
        yield ConfigProblem(
            "schema_registry", f'is required: {users[0]}.schema is "registry"', "add [schema_registry] with its url"
        )


def _shed_has_an_age(config: Config) -> Iterator[ConfigProblem]:
    flow = config.flow
    if flow.when_full == "shed" and flow.max_age_ms is None:
        yield ConfigProblem("flow.max_age_ms", 'is required with when_full = "shed"', "the oldest age worth scoring")
    if flow.when_full == "block" and flow.max_age_ms is not None:
        yield ConfigProblem(
            "flow.max_age_ms", 'has no effect with when_full = "block"', 'leave it out, or set when_full = "shed"'
        )
    wait = "linger_ms" if config.batching.slo_ms is None else "slo_ms"
    if flow.max_age_ms is not None and flow.max_age_ms <= getattr(config.batching, wait):
        yield ConfigProblem(
            "flow.max_age_ms", f"is not above batching.{wait}: waiting for a batch alone makes events too old"
        )


def _topics_do_not_loop(config: Config) -> Iterator[ConfigProblem]:
    sources = config.source.topics
    if config.sink.topic in sources:
        yield ConfigProblem("sink.topic", f"{config.sink.topic} is also read: events would go round", _OTHER)
    for i, route in enumerate(config.sink.routes):
        if route.topic in sources:
            yield ConfigProblem(f"sink.routes[{i}].topic", f"{route.topic} is also read: events would go round", _OTHER)


def _dead_letters_are_apart(config: Config) -> Iterator[ConfigProblem]:
    topic = config.dead_letter.topic
    scored = (config.sink.topic, *(route.topic for route in config.sink.routes))
    if topic in config.source.topics:
        yield ConfigProblem("dead_letter.topic", f"{topic} is also read: a bad event would go round for ever", _OTHER)
    if topic in scored:
        yield ConfigProblem("dead_letter.topic", f"{topic} also takes scored events: readers cannot tell them", _OTHER)


def _topics_are_named_once(config: Config) -> Iterator[ConfigProblem]:
    for i in _repeated(config.source.topics):
        yield ConfigProblem(f"source.topics[{i}]", f"{config.source.topics[i]} is listed twice", "leave one out")
    topics = (config.sink.topic, *(route.topic for route in config.sink.routes))
    for i in _repeated(topics):
        yield ConfigProblem(
            f"sink.routes[{i - 1}].topic", f"{topics[i]} would get the same event twice", "a topic of its own"
        )


def _fields_are_named_once(config: Config) -> Iterator[ConfigProblem]:
    for i in _repeated(config.sink.fields):
        yield ConfigProblem(f"sink.fields[{i}]", f"{config.sink.fields[i]} is listed twice", "leave one out")


def _buffers_hold_a_batch(config: Config) -> Iterator[ConfigProblem]:
    flow, batching = config.flow, config.batching
    if flow.max_buffered_records < batching.max_batch_size:
        yield _too_small("flow.max_buffered_records", "batching.max_batch_size", batching.max_batch_size)
    if flow.max_buffered_bytes < batching.max_batch_bytes:
        yield _too_small("flow.max_buffered_bytes", "batching.max_batch_bytes", batching.max_batch_bytes)
    published = batching.max_batch_size * (1 + len(config.sink.routes))
    if flow.max_unacknowledged < published:
        yield _too_small("flow.max_unacknowledged", "what one batch publishes, routes included", published)


def _bundle_is_there(config: Config) -> Iterator[ConfigProblem]:
    bundle = config.model.bundle
    if not bundle.exists():
        yield ConfigProblem("model.bundle", f"{bundle} does not exist", "make one with stream-infer export")


def _source_schemas_are_there(config: Config) -> Iterator[ConfigProblem]:
    codec = config.source.codec
    if not isinstance(codec, AvroSourceCodec) or codec.uses_registry:
        return
    path = "source.codec.schema"
    if codec.schema_directory:
        yield from _missing_files(path, codec.schema_directory, ["ids.json"])
    elif codec.schema_file and codec.schema_file.is_dir():
        yield ConfigProblem(path, f"{codec.schema_file} is a folder", "a folder of schemas ends in a slash")
    elif codec.schema_file and not codec.schema_file.exists():
        hint = 'the schema registry is meant by "registry"' if not codec.schema_file.suffix else ""
        yield ConfigProblem(path, f"{codec.schema_file} does not exist", hint)


def _sink_schemas_are_there(config: Config) -> Iterator[ConfigProblem]:
    codec = config.sink.codec
    if not isinstance(codec, AvroSinkCodec) or not codec.schema_directory:
        return
    path = "sink.codec.schema"
    if not codec.schema_location.endswith("/"):
        yield ConfigProblem(path, 'must be "registry", "none" or a folder', "a folder of schemas ends in a slash")
        return
    yield from _missing_files(path, codec.schema_directory, ["ids.json", f"{config.sink.topic}-value.avsc"])


def _transactions_outlast_checkpoints(config: Config) -> Iterator[ConfigProblem]:
    delivery = config.delivery
    if delivery.guarantee == "exactly_once" and delivery.commit_interval_ms * 2 > delivery.transaction_timeout_ms:
        yield ConfigProblem(
            "delivery.commit_interval_ms",
            "is above half of delivery.transaction_timeout_ms: the broker would abort transactions before they end",
            f"at most {delivery.transaction_timeout_ms // 2}; 100 to 1000 is sensible",
        )


def _client_tables_are_tables(config: Config) -> Iterator[ConfigProblem]:
    for role in CLIENT_ROLES:
        if not isinstance(config.kafka.client.get(role, {}), dict):
            yield ConfigProblem(f"kafka.client.{role}", "must be a table", f"of properties for the {role} only")


# ----------------------------------------------------------------------------------------------- warnings


def _registry_is_used(config: Config) -> Iterator[ConfigProblem]:
    if config.schema_registry is not None and not config.codecs_using_registry:
        yield ConfigProblem("schema_registry", 'is not used: no codec says schema = "registry"', "leave it out")


def _workers_have_batches(config: Config) -> Iterator[ConfigProblem]:
    scoring = config.scoring
    if scoring.in_flight_limit < scoring.workers:
        yield ConfigProblem(
            "scoring.max_in_flight", "is below scoring.workers: some workers never get a batch", "leave it out"
        )
    if scoring.workers == 0 and scoring.in_flight_limit > 1:
        yield ConfigProblem(
            "scoring.max_in_flight", "has no effect with workers = 0: one batch is scored at a time", "leave it out"
        )


def _linger_is_used(config: Config) -> Iterator[ConfigProblem]:
    batching = config.batching
    if batching.slo_ms is not None and "linger_ms" in batching.model_fields_set:
        yield ConfigProblem("batching.linger_ms", "has no effect with batching.slo_ms", "leave one of them out")


def _goal_leaves_time(config: Config) -> Iterator[ConfigProblem]:
    slo_ms = config.batching.slo_ms
    if slo_ms is not None and slo_ms <= publish_ms(config):
        yield ConfigProblem(
            "batching.slo_ms",
            f"is used up by publishing, which takes some {publish_ms(config):g} ms: no batch will wait for more events",
            "a larger goal, or a shorter linger.ms in kafka.client.producer",
        )


def _goal_covers_transactions(config: Config) -> Iterator[ConfigProblem]:
    slo_ms, delivery = config.batching.slo_ms, config.delivery
    if slo_ms is not None and delivery.guarantee == "exactly_once" and delivery.commit_interval_ms >= slo_ms:
        yield ConfigProblem(
            "batching.slo_ms",
            "is not above delivery.commit_interval_ms: readers wait for the commit, which the goal does not count",
            "leave it out, or commit more often",
        )


def _calls_fit_the_poll_interval(config: Config) -> Iterator[ConfigProblem]:
    interval_ms = _max_poll_interval_ms(config)
    for name in ("score_seconds", "drain_seconds"):
        if getattr(config.timeouts, name) * 1000 >= interval_ms:
            yield ConfigProblem(
                f"timeouts.{name}",
                f"is not below max.poll.interval.ms ({interval_ms:.0f} ms): the group may drop this member first",
                "a shorter timeout, or a longer interval in kafka.client.consumer",
            )


def _drain_has_time_to_commit(config: Config) -> Iterator[ConfigProblem]:
    if config.timeouts.drain_seconds < config.timeouts.commit_seconds:
        yield ConfigProblem(
            "timeouts.drain_seconds", "is below timeouts.commit_seconds: a shutdown may not wait for its last commit"
        )


def _checkpoints_keep_up(config: Config) -> Iterator[ConfigProblem]:
    if config.delivery.commit_interval_ms > config.timeouts.publish_seconds * 1000:
        yield ConfigProblem(
            "delivery.commit_interval_ms",
            "is above timeouts.publish_seconds: a failed publish is noticed only at the next checkpoint",
        )


def _events_fit_the_buffer(config: Config) -> Iterator[ConfigProblem]:
    if config.source.max_event_bytes > config.flow.max_buffered_bytes:
        yield ConfigProblem("source.max_event_bytes", "is above flow.max_buffered_bytes: one event fills the buffer")


def _sasl_is_switched_on(config: Config) -> Iterator[ConfigProblem]:
    client = config.kafka.client
    protocol = str(client.get("security.protocol", "plaintext")).lower()
    if any(key.startswith("sasl.") for key in client) and not protocol.startswith("sasl_"):
        yield ConfigProblem(
            "kafka.client", "sasl.* properties have no effect without a SASL security.protocol", "such as SASL_SSL"
        )


def _registry_password_is_covered(config: Config) -> Iterator[ConfigProblem]:
    registry = config.schema_registry
    if registry and registry.url.startswith("http://") and "basic.auth.user.info" in registry.client:
        yield ConfigProblem("schema_registry.url", "sends the password unencrypted", "https:// if the registry has it")


def _transactions_are_used(config: Config) -> Iterator[ConfigProblem]:
    delivery = config.delivery
    if delivery.guarantee == "at_least_once" and "transaction_timeout_ms" in delivery.model_fields_set:
        yield ConfigProblem(
            "delivery.transaction_timeout_ms", 'has no effect with guarantee = "at_least_once"', "leave it out"
        )


def _transactions_are_worth_their_cost(config: Config) -> Iterator[ConfigProblem]:
    delivery = config.delivery
    if delivery.guarantee == "exactly_once" and delivery.commit_interval_ms < LEAST_TRANSACTION_MS:
        yield ConfigProblem(
            "delivery.commit_interval_ms",
            'is short for guarantee = "exactly_once": every commit costs some 10 ms in which nothing is published',
            f"at least {LEAST_TRANSACTION_MS}",
        )


def _reject_window_is_used(config: Config) -> Iterator[ConfigProblem]:
    letters = config.dead_letter
    if letters.max_ratio == 1 and "ratio_window" in letters.model_fields_set:
        yield ConfigProblem("dead_letter.ratio_window", "has no effect with max_ratio = 1: there is no limit")


def _retries_outlast_one_try(config: Config) -> Iterator[ConfigProblem]:
    timeouts = config.timeouts
    for name in ("publish_seconds", "commit_seconds", "registry_seconds", "score_seconds"):
        if getattr(timeouts, name) >= timeouts.retry_seconds:
            yield ConfigProblem(
                "timeouts.retry_seconds", f"is not above timeouts.{name}: a single try may use it up", "a few times it"
            )


# ------------------------------------------------------------------------------------------------ helpers

_OTHER = "another topic"

_ERRORS: tuple[Check, ...] = (
    _registry_is_there,
    _shed_has_an_age,
    _topics_do_not_loop,
    _dead_letters_are_apart,
    _topics_are_named_once,
    _fields_are_named_once,
    _buffers_hold_a_batch,
    _bundle_is_there,
    _source_schemas_are_there,
    _sink_schemas_are_there,
    _transactions_outlast_checkpoints,
    _client_tables_are_tables,
)
_WARNINGS: tuple[Check, ...] = (
    _registry_is_used,
    _workers_have_batches,
    _linger_is_used,
    _goal_leaves_time,
    _goal_covers_transactions,
    _calls_fit_the_poll_interval,
    _drain_has_time_to_commit,
    _checkpoints_keep_up,
    _events_fit_the_buffer,
    _sasl_is_switched_on,
    _registry_password_is_covered,
    _transactions_are_used,
    _transactions_are_worth_their_cost,
    _reject_window_is_used,
    _retries_outlast_one_try,
)


def _repeated(names: Iterable[str]) -> list[int]:
    """Indexes of names that have come before."""
    seen: set[str] = set()
    return [i for i, name in enumerate(names) if name in seen or seen.add(name)]  # type: ignore[func-returns-value]


def _too_small(path: str, other: str, least: int) -> ConfigProblem:
    return ConfigProblem(path, f"is below {other}", f"at least {least}")


def _missing_files(path: str, folder: Path, names: Iterable[str]) -> Iterator[ConfigProblem]:
    if not folder.is_dir():
        yield ConfigProblem(path, f"{folder} is not a folder", "a folder with ids.json and the schema files")
        return
    for name in names:
        if not (folder / name).is_file():
            yield ConfigProblem(path, f"{folder} has no {name}", "it maps ids to files" if name == "ids.json" else "")


def _max_poll_interval_ms(config: Config) -> float:
    client = config.kafka.client
    merged = {**client, **client.get("consumer", {})}
    try:
        return float(str(merged.get("max.poll.interval.ms", DEFAULT_MAX_POLL_INTERVAL_MS)))
    except ValueError:  # librdkafka refuses it with a message of its own
        return DEFAULT_MAX_POLL_INTERVAL_MS


__all__ = ["DEFAULT_MAX_POLL_INTERVAL_MS", "LEAST_TRANSACTION_MS", "find_errors", "find_warnings"]

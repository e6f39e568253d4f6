"""Each case: overrides of a valid config, and the whole of what lint then finds."""

from pathlib import Path

import pytest

from stream_infer.config.load import read_config
from stream_infer.errors import ConfigError

REGISTRY = ['source.codec={type="avro", schema="registry"}', "schema_registry.url=http://localhost:8081"]
EXACTLY_ONCE = "delivery.guarantee=exactly_once"
ROUTES = 'sink.routes=[{when="flagged", topic="%s"}, {when="not_flagged", topic="%s"}]'


def found(path: Path, *overrides: str) -> list[str]:
    try:
        loaded = read_config(path, overrides, {})
    except ConfigError as error:
        return [f"error: {problem}" for problem in error.problems]
    return [f"warning: {problem}" for problem in loaded.warnings]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ['source.codec={type="avro", schema="registry"}'],
            'schema_registry: is required: source.codec.schema is "registry"',
        ),
        (
            ['sink.codec={type="avro", schema="registry"}'],
            'schema_registry: is required: sink.codec.schema is "registry"',
        ),
        (["flow.when_full=shed"], 'flow.max_age_ms: is required with when_full = "shed"'),
        (["flow.max_age_ms=1000"], 'flow.max_age_ms: has no effect with when_full = "block"'),
        (["flow.when_full=shed", "flow.max_age_ms=5"], "flow.max_age_ms: is not above batching.linger_ms"),
        (
            ["flow.when_full=shed", "flow.max_age_ms=25", "batching.slo_ms=25"],
            "flow.max_age_ms: is not above batching.slo_ms",
        ),
        (["sink.topic=payments"], "sink.topic: payments is also read"),
        ([ROUTES % ("payments", "b")], "sink.routes[0].topic: payments is also read"),
        ([ROUTES % ("a", "payments.scored")], "sink.routes[1].topic: payments.scored would get the same event twice"),
        ([ROUTES % ("a", "a")], "sink.routes[1].topic: a would get the same event twice"),
        (["dead_letter.topic=payments"], "dead_letter.topic: payments is also read"),
        (["dead_letter.topic=payments.scored"], "dead_letter.topic: payments.scored also takes scored events"),
        ([ROUTES % ("a", "payments.dlq")], "dead_letter.topic: payments.dlq also takes scored events"),
        (['source.topics=["a", "b", "a"]'], "source.topics[2]: a is listed twice"),
        (['sink.fields=["a", "a"]'], "sink.fields[1]: a is listed twice"),
        (
            ["flow.max_buffered_records=1023"],
            "flow.max_buffered_records: is below batching.max_batch_size (at least 1024)",
        ),
        (["flow.max_buffered_bytes=4194303", "source.max_event_bytes=9"], "flow.max_buffered_bytes: is below"),
        (["flow.max_unacknowledged=3071", ROUTES % ("a", "b")], "flow.max_unacknowledged: is below"),
        (["model.bundle=none.bundle.jar"], "none.bundle.jar does not exist (make one with stream-infer export)"),
        (['source.codec={type="avro", schema="none.avsc"}'], "none.avsc does not exist"),
        (
            ['source.codec={type="avro", schema="regisry"}'],
            'does not exist (the schema registry is meant by "registry")',
        ),
        (['source.codec={type="avro", schema="."}'], "is a folder (a folder of schemas ends in a slash)"),
        (['source.codec={type="avro", schema="./"}'], "has no ids.json"),
        (['source.codec={type="avro", schema="none/"}'], "is not a folder"),
        (['sink.codec={type="avro", schema="x.avsc"}'], 'sink.codec.schema: must be "registry", "none" or a folder'),
        (
            [EXACTLY_ONCE, "delivery.commit_interval_ms=7501"],
            "delivery.commit_interval_ms: is above half of delivery.transaction_timeout_ms",
        ),
        (
            [EXACTLY_ONCE, "delivery.transaction_timeout_ms=1000", "delivery.commit_interval_ms=501"],
            "would abort transactions before they end (at most 500; 100 to 1000 is sensible)",
        ),
        (["kafka.client.producer=1"], "kafka.client.producer: must be a table"),
    ],
)
def test_errors(config_file: Path, overrides: list[str], expected: str) -> None:
    (only,) = found(config_file, *overrides)
    assert only.startswith("error: ")
    assert expected in only


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([REGISTRY[1]], "schema_registry: is not used"),
        (["scoring.workers=4", "scoring.max_in_flight=2"], "scoring.max_in_flight: is below scoring.workers"),
        (["scoring.max_in_flight=2"], "scoring.max_in_flight: has no effect with workers = 0"),
        (["batching.slo_ms=25", "batching.linger_ms=5"], "batching.linger_ms: has no effect with batching.slo_ms"),
        (["batching.slo_ms=8"], "batching.slo_ms: is used up by publishing, which takes some 8 ms"),
        (
            ["batching.slo_ms=13", "kafka.client.linger.ms=1", "kafka.client.producer.linger.ms=10"],
            "batching.slo_ms: is used up by publishing, which takes some 13 ms",
        ),
        ([EXACTLY_ONCE, "batching.slo_ms=1000"], "batching.slo_ms: is not above delivery.commit_interval_ms"),
        (["timeouts.score_seconds=300"], "timeouts.score_seconds: is not below max.poll.interval.ms (300000 ms)"),
        (["timeouts.drain_seconds=9"], "timeouts.drain_seconds: is below timeouts.commit_seconds"),
        (["delivery.commit_interval_ms=30001"], "delivery.commit_interval_ms: is above timeouts.publish_seconds"),
        (["source.max_event_bytes=67108865"], "source.max_event_bytes: is above flow.max_buffered_bytes"),
        (["kafka.client.sasl.username=me"], "kafka.client: sasl.* properties have no effect"),
        ([*REGISTRY, "schema_registry.client.basic.auth.user.info=a:b"], "schema_registry.url: sends the password"),
        (["delivery.transaction_timeout_ms=15000"], "delivery.transaction_timeout_ms: has no effect"),
        ([EXACTLY_ONCE, "delivery.commit_interval_ms=99"], "delivery.commit_interval_ms: is short"),
        (
            ["dead_letter.max_ratio=1", "dead_letter.ratio_window=100"],
            "dead_letter.ratio_window: has no effect with max_ratio = 1",
        ),
        (["timeouts.retry_seconds=30", "timeouts.score_seconds=29"], "is not above timeouts.publish_seconds"),
    ],
)
def test_warnings(config_file: Path, overrides: list[str], expected: str) -> None:
    (only,) = found(config_file, *overrides)
    assert only.startswith("warning: ")
    assert expected in only


@pytest.mark.parametrize(
    "overrides",
    [
        REGISTRY,
        ["flow.when_full=shed", "flow.max_age_ms=6"],
        ["flow.when_full=shed", "flow.max_age_ms=26", "batching.slo_ms=25"],
        ["batching.slo_ms=4", "kafka.client.queue.buffering.max.ms=0"],
        ["batching.slo_ms=9", "kafka.client.linger.ms=soon"],
        [EXACTLY_ONCE, "batching.slo_ms=1001"],
        ["flow.max_unacknowledged=3072", ROUTES % ("a", "b")],
        ["scoring.workers=4"],
        ["kafka.client.security.protocol=sasl_ssl", "kafka.client.sasl.username=me"],
        ["delivery.commit_interval_ms=30000"],
        ['sink.codec={type="avro", schema="none"}'],
        [
            "timeouts.score_seconds=300",
            "kafka.client.max.poll.interval.ms=1",
            "kafka.client.consumer.max.poll.interval.ms=400000",
        ],
        ["kafka.client.max.poll.interval.ms=soon"],
        [EXACTLY_ONCE],
        [EXACTLY_ONCE, "delivery.transaction_timeout_ms=1000", "delivery.commit_interval_ms=500"],
        [EXACTLY_ONCE, "delivery.commit_interval_ms=100"],
        ["delivery.commit_interval_ms=1"],
        ["dead_letter.max_ratio=1", "dead_letter.max_consecutive=0"],
    ],
)
def test_nothing_to_find(config_file: Path, overrides: list[str]) -> None:
    assert found(config_file, *overrides) == []


def test_the_sinks_schema_folder(config_file: Path) -> None:
    override = 'sink.codec={type="avro", schema="schemas/"}'
    folder = config_file.parent / "schemas"
    folder.mkdir()
    assert [line.rpartition("schemas ")[2] for line in found(config_file, override)] == [
        "has no ids.json (it maps ids to files)",
        "has no payments.scored-value.avsc",
    ]
    (folder / "ids.json").touch()
    (folder / "payments.scored-value.avsc").touch()
    assert found(config_file, override) == []


def test_warnings_have_lines(config_file: Path) -> None:
    with config_file.open("a", encoding="utf-8") as file:
        file.write("[schema_registry]\nurl = 'http://localhost:8081'\n")
    (warning,) = found(config_file)
    assert warning.startswith("warning: line 15: schema_registry: ")

from collections.abc import Mapping
from pathlib import Path

import pytest

from stream_infer.config.load import config_from_mapping, load_config, read_config
from stream_infer.config.model import Config
from stream_infer.errors import ConfigError, ConfigProblem


def problems_of(path: Path, *overrides: str, environ: Mapping[str, str] | None = None) -> tuple[ConfigProblem, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides, environ or {})
    return caught.value.problems


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_minimal_file_gets_the_defaults(config_file: Path) -> None:
    loaded = read_config(config_file, environ={})
    assert loaded.warnings == ()
    config = loaded.config
    assert (config.name, config.source.topics, config.batching.max_batch_size) == ("fraud", ("payments",), 1024)
    assert config.scoring.in_flight_limit == 1
    assert config.output_topics == ("payments.scored", "payments.dlq")


def test_a_config_is_frozen(config_file: Path) -> None:
    config = load_config(config_file, environ={})
    with pytest.raises(ValueError, match="frozen"):
        config.batching.linger_ms = 1.0  # type: ignore[misc]


def test_relative_paths_are_relative_to_the_file(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config_file.parent.parent)
    relative = config_file.relative_to(config_file.parent.parent)
    assert load_config(relative, environ={}).model.bundle == config_file.parent / "fraud-7.bundle.jar"


def test_a_folder_of_schemas_keeps_its_slash(config_file: Path) -> None:
    folder = config_file.parent / "schemas"
    folder.mkdir()
    (folder / "ids.json").write_text("{}", encoding="utf-8")
    config = load_config(config_file, ['source.codec={ type = "avro", schema = "schemas/" }'], {})
    assert config.source.codec.type == "avro"
    assert config.source.codec.schema_directory == folder
    assert config.source.codec.schema_file is None


def test_every_problem_at_once_in_file_order_with_its_line(config_file: Path) -> None:
    config_file.write_text(
        'nam = "fraud"\n'
        "[kafka]\n"
        'bootstrap_servers = "localhost:9092"\n'
        "client = { sasl.password = '${NOPE}' }\n"
        "[source]\n"
        'topics = ["payments"]\n'
        'start = "earlyest"\n'
        'codec = { type = "avr" }\n'
        "[batching]\n"
        "max_batch_size = 0\n"
        'linger_ms = "5"\n'
        "[[sink.routes]]\n"
        'when = "flagged"\n'
        "[model]\n"
        "threshold = 0.5\n",
        encoding="utf-8",
    )
    assert [str(problem) for problem in problems_of(config_file)] == [
        "name: is required (add text)",
        "dead_letter: is required (add table)",
        "line 1: nam: unknown key (did you mean name?)",
        "line 4: kafka.client.sasl.password: the environment variable NOPE is not set (set NOPE before the start)",
        "line 5: source.group_id: is required (add text)",
        'line 7: source.start: must be "earliest" or "latest" or "fail" (did you mean "earliest"?)',
        'line 8: source.codec.type: must be "avro" or "json" (did you mean "avro"?)',
        "line 10: batching.max_batch_size: is out of range (must be at least 1 and at most 65536)",
        "line 11: batching.linger_ms: must be a number (write it without quotes)",
        "line 12: sink.topic: is required (add text)",
        "line 12: sink.codec: is required (add table)",
        "line 12: sink.routes[0].topic: is required (add text)",
        "line 14: model.bundle: is required (add text)",
        "line 15: model.threshold: unknown key here (did you mean decision.threshold?)",
    ]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("batching.linger_ms=-1", "batching.linger_ms: is out of range (must be at least 0 and at most 60000)"),
        ("batching.linger_ms=true", "batching.linger_ms: must be a number"),
        ("batching.max_batch_size=1.5", "batching.max_batch_size: must be a whole number"),
        ("flow.low_watermark_ratio=1", "flow.low_watermark_ratio: is out of range (must be above 0 and below 1)"),
        ("flow.max_age_ms=0", "flow.max_age_ms: is out of range (must be at least 1)"),
        ("decision.threshold=nan", "decision.threshold: must be a finite number"),
        ("source.topics=[]", "source.topics: must not be empty (at least 1)"),
        ("source.topics=payments", "source.topics: must be a list of text"),
        ("source.topics=[1]", "source.topics[0]: must be text"),
        ("model.bundle=[1]", "model.bundle: must be text (not a list)"),
        ("observe=1", "observe: must be a table"),
        ("source.codec={}", 'source.codec.type: is required (one of "avro" or "json")'),
        ('source.codec={type="avro"}', "source.codec.schema: is required (add text)"),
        ("source.codec.schema=x", "source.codec.schema: does not go with this type (leave it out, or change type)"),
        ("delivery.guarantee=exactly-once", 'must be "at_least_once" or "exactly_once" (did you mean "exactly_once"?)'),
        ("instance=a/b", "instance: is not of the right form (1 to 200 letters"),
        ("dead_letter.headers=kafka", 'must be "native" or "connect" or "streams" or "spring"'),
        ("dead_letter.max_ratio=0", "dead_letter.max_ratio: is out of range (must be above 0 and at most 1)"),
        ("observe.http=9464", "observe.http: must be text"),
        ('observe.http="localhost:99999"', "observe.http: must be HOST:PORT"),
        ("sink.topic='a b'", "sink.topic: must be a topic name"),
        ("kafka.bootstrap_servers='a:1,,b'", "kafka.bootstrap_servers: must be HOST:PORT"),
        ("kafka.client.batch.size=[1]", "kafka.client.batch.size: must be text, a number, true or false"),
        ("kafka.client.consumer=1", "kafka.client.consumer: must be a table"),
        ("schema_registry.url=ftp://x", "schema_registry.url: is not of the right form"),
        ("name='a b'", "name: is not of the right form (1 to 200 letters"),
        ("name.x=1", "name.x: lies in something that is no table (given by --set)"),
        ("foo", "--set: must be KEY.PATH=VALUE (such as batching.linger_ms=5)"),
        ("=1", "--set: must be KEY.PATH=VALUE"),
        ("sources.topic=1", "sources: unknown key (did you mean source?)"),
    ],
)
def test_one_wrong_setting_is_one_problem(config_file: Path, override: str, problem: str) -> None:
    found = problems_of(config_file, override)
    assert len(found) == 1
    assert problem in str(found[0])
    assert found[0].line is None, "it was not given in the file"


def test_a_replica_is_named_by_its_host(config_file: Path) -> None:
    overrides = ["instance=${HOSTNAME}"]
    assert load_config(config_file, overrides, {"HOSTNAME": "fraud-0"}).instance == "fraud-0"
    assert load_config(config_file, (), {"HOSTNAME": "fraud-0"}).instance is None
    (problem,) = problems_of(config_file, *overrides)
    assert "the environment variable HOSTNAME is not set" in str(problem)


def test_overrides_win_and_the_last_one_most(config_file: Path) -> None:
    overrides = [
        "batching.linger_ms=7",
        "batching.linger_ms=8",
        "kafka.bootstrap_servers=broker:9092",
        "observe.http=h:1",
    ]
    config = load_config(config_file, overrides, {})
    assert (config.batching.linger_ms, config.kafka.bootstrap_servers, config.observe.http) == (
        8.0,
        "broker:9092",
        "h:1",
    )


def test_an_override_replaces_a_table_instead_of_adding_to_it(config_file: Path) -> None:
    spoil(config_file, 'codec = { type = "json" }', 'codec = { type = "avro", schema = "registry" }')
    assert load_config(config_file, ["source.codec={type='json'}"], {}).source.codec.type == "json"


@pytest.mark.parametrize("line", ['security.protocol = "SSL"', '"security.protocol" = "SSL"'])
def test_client_properties_quoted_or_not_and_overridden(config_file: Path, line: str) -> None:
    spoil(config_file, "[source]", f"[kafka.client]\n{line}\n[kafka.client.consumer]\nfetch.min.bytes = 1\n[source]")
    assert load_config(config_file, environ={}).kafka.client == {
        "security.protocol": "SSL",
        "consumer": {"fetch.min.bytes": 1},
    }
    overrides = ["kafka.client.security.protocol=PLAINTEXT", "kafka.client.consumer.fetch.min.bytes=2"]
    assert load_config(config_file, overrides, {}).kafka.client == {
        "security.protocol": "PLAINTEXT",
        "consumer": {"fetch.min.bytes": 2},
    }


def test_no_secret_is_ever_shown(config_file: Path) -> None:
    spoil(
        config_file, "[source]", '[kafka.client]\nsasl.password = "${PW}"\n[schema_registry]\nurl = "${PW}"\n[source]'
    )
    shown = str(ConfigError(problems_of(config_file, "name=${PW}", environ={"PW": "hunter 2"})))
    assert "schema_registry.url" in shown
    assert "name" in shown
    assert "hunter" not in shown
    config = load_config(config_file, environ={"PW": "http://hunter2"})
    assert config.kafka.client["sasl.password"] == "http://hunter2"
    assert "sasl.password" not in repr(config)


def test_a_syntax_error_names_its_line(config_file: Path) -> None:
    spoil(config_file, "[source]", "[source")
    (problem,) = problems_of(config_file)
    assert (problem.path, problem.line) == ("TOML syntax", 4)
    config_file.write_text('name = """open', encoding="utf-8")
    assert problems_of(config_file)[0].line == 1


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert str(problems_of(tmp_path / "none.toml")[0]) == "file: cannot be read: No such file or directory"
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    assert str(problems_of(tmp_path / "binary.toml")[0]) == "file: is not UTF-8 text"


def test_problems_across_fields_have_their_lines_too(config_file: Path) -> None:
    spoil(config_file, 'topic = "payments.dlq"', 'topic = "payments"')
    (problem,) = problems_of(config_file)
    assert problem.path == "dead_letter.topic"
    assert problem.line == config_file.read_text(encoding="utf-8").count("\n")


def test_a_config_from_a_mapping(config_file: Path) -> None:
    written = load_config(config_file, environ={})
    document = written.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert config_from_mapping(document, config_file.parent, {}) == written
    with pytest.raises(ConfigError, match="name: is required"):
        config_from_mapping({}, environ={})


def test_the_environment_is_not_read_by_the_model(config_file: Path) -> None:
    document = load_config(config_file, environ={}).model_dump(by_alias=True, exclude_none=True)
    assert Config.model_validate({**document, "name": "fraud"}).name == "fraud"

"""The command line against fakes of the rooms behind it: what is called, what is printed, which exit code."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest

import stream_infer
from stream_infer import __version__
from stream_infer.bundle import ModelBundle
from stream_infer.bundle.manifest import (
    Decision,
    FeatureSpec,
    GoldenInfo,
    InputSpec,
    Manifest,
    MissingValue,
    ModelInfo,
    OnnxInfo,
    OutputSpec,
    Parity,
    Provenance,
    ScoreRef,
)
from stream_infer.cli import main
from stream_infer.cli.bundles import export as export_command
from stream_infer.config.options import Check, DemoOptions, RunOptions, TopicReport
from stream_infer.errors import (
    ConfigError,
    ConfigProblem,
    ExportRefused,
    ModelLoadError,
    NotAuthorized,
    StreamInferError,
    UsageError,
)
from stream_infer.export.kinds import KINDS

CLIENT = 'client = { "group.id" = "x", "sasl.password" = "hunter2", "security.protocol" = "SASL_SSL" }'

Install = Callable[..., None]


@pytest.fixture
def config_file(config_file: Path) -> Path:
    """The valid config with a secret in it."""
    text = config_file.read_text(encoding="utf-8")
    config_file.write_text(text.replace("[source]", f"{CLIENT}\n[source]"), encoding="utf-8")
    return config_file


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a fake module ``stream_infer.NAME`` with the given functions in place."""

    def put(name: str, **functions: object) -> None:
        module = ModuleType(f"stream_infer.{name}")
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(stream_infer, name, module, raising=False)

    return put


@pytest.fixture(autouse=True)
def no_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAM_INFER_DEBUG", raising=False)


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*_arguments: object, **_options: object) -> Any:
        raise error

    return function


def recording(calls: list[Any], answer: object) -> Callable[..., Any]:
    """A function that notes its arguments (one alone as itself) and gives ``answer``."""

    def function(*arguments: Any, **options: Any) -> Any:
        calls.append(options or (arguments[0] if len(arguments) == 1 else arguments))
        return answer

    return function


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"stream-infer, version {__version__}\n"
    for flag in ("-h", "--help"):
        assert main([flag]) == 0
        assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["validate"],
        ["topics", "create"],
        ["topics", "list"],
        ["topics", "describe"],
        ["demo"],
        ["export"],
        ["bundle", "inspect"],
        ["bundle", "verify"],
        ["bench"],
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "-h"]) == 0
    assert "Usage: stream-infer " + " ".join(words) in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from stream_infer.cli import main; main(['run', '-h']); "
        "heavy = {'numpy', 'pydantic', 'onnxruntime', 'confluent_kafka', 'rich', 'msgspec'}; "
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [["frobnicate"], ["run"], ["run", "x.toml", "--max-events", "0"], ["run", "x.toml", "--format", "xml"], ["--what"]],
    ids=" ".join,
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Error: " in printed.err


# ------------------------------------------------------------------------------------------- run


def test_run_hands_over_config_and_options(config_file: Path, install: Install) -> None:
    calls: list[tuple[Any, RunOptions]] = []
    install("app", run=recording(calls, 0))
    flags = ["--dry-run", "--max-events", "5", "--until-caught-up", "--drain-timeout-seconds", "2.5"]
    assert main(["run", str(config_file), *flags, "--set", "batching.linger_ms=7", "--format", "json"]) == 0
    ((config, options),) = calls
    assert options == RunOptions(dry_run=True, max_events=5, until_caught_up=True, drain_timeout_seconds=2.5)
    assert (config.batching.linger_ms, config.observe.log_format) == (7.0, "json")


def test_run_without_flags_runs_for_ever_in_the_configs_format(config_file: Path, install: Install) -> None:
    calls: list[tuple[Any, RunOptions]] = []
    install("app", run=recording(calls, 0))
    assert main(["run", str(config_file)]) == 0
    assert calls[0][1] == RunOptions()
    assert calls[0][0].observe.log_format == "text"


def test_run_returns_what_the_app_returns(config_file: Path, install: Install) -> None:
    install("app", run=lambda _config, _options: 1)
    assert main(["run", str(config_file)]) == 1


def test_warnings_go_to_stderr(config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("app", run=lambda _config, _options: 0)
    assert main(["run", str(config_file), "--set", "timeouts.drain_seconds=1"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"warning: {config_file}: timeouts.drain_seconds: ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotAuthorized("the broker refuses it"), 1),
        (UsageError("these do not go together"), 2),
        (ConfigError([ConfigProblem("kafka.client.group.id", "is governed by source.group_id")]), 78),
    ],
)
def test_each_error_is_one_message_and_its_exit_code(
    error: StreamInferError, code: int, config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("app", run=raising(error))
    assert main(["run", str(config_file)]) == code
    printed = capsys.readouterr().err
    assert printed.startswith("Error: ")
    assert "Traceback" not in printed


def test_a_problem_found_late_has_its_file_and_line(
    config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("app", run=raising(ConfigError([ConfigProblem("kafka.client.group.id", "is governed elsewhere")])))
    assert main(["run", str(config_file)]) == 78
    assert capsys.readouterr().err == (
        f"Error: {config_file}: 1 problem\n  line 4: kafka.client.group.id: is governed elsewhere\n"
    )


def test_a_bug_is_one_line_without_what_it_says(
    config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("app", run=raising(KeyError("card 4711")))
    assert main(["run", str(config_file)]) == 70
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.startswith("Internal error: KeyError at cli/service.py:")
    assert "4711" not in printed


@pytest.mark.parametrize("by_flag", [True, False])
def test_debug_shows_the_traceback(
    by_flag: bool,
    config_file: Path,
    install: Install,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not by_flag:
        monkeypatch.setenv("STREAM_INFER_DEBUG", "1")
    install("app", run=raising(NotAuthorized("refused")))
    assert main([*(["--debug"] if by_flag else []), "run", str(config_file)]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130(config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("app", run=raising(KeyboardInterrupt()))
    assert main(["run", str(config_file)]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_config_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none.toml")]) == 78
    assert "file: cannot be read: No such file or directory" in capsys.readouterr().err


# -------------------------------------------------------------------------------------- validate


def fits(_config: object) -> None:
    """Find nothing wrong offline."""


def test_validate_a_good_file(config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("app", check_offline=fits)
    assert main(["validate", str(config_file)]) == 0
    assert capsys.readouterr().out == f"{config_file}: valid\n"


def test_validate_as_json_shows_the_config_without_secrets(
    config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("app", check_offline=fits)
    assert main(["validate", str(config_file), "--format", "json"]) == 0
    text = capsys.readouterr().out
    answer = json.loads(text)
    assert answer["ok"] is True
    assert answer["config"]["batching"]["max_batch_size"] == 1024
    assert "hunter2" not in text


def test_validate_a_bad_file(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ["validate", str(config_file), "--set", "batching.linger=5"]
    assert main(bad) == 78
    assert "batching.linger: unknown key (did you mean linger_ms?)" in capsys.readouterr().err
    assert main([*bad, "--format", "json"]) == 78
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["problems"] == [
        {"path": "batching.linger", "line": None, "message": "unknown key", "hint": "did you mean linger_ms?"}
    ]


def test_validate_as_json_says_what_is_wrong_with_the_model(
    config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("app", check_offline=raising(ModelLoadError("fraud.bundle.jar: model.onnx is damaged")))
    assert main(["validate", str(config_file), "--format", "json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [problem["message"] for problem in answer["problems"]] == ["fraud.bundle.jar: model.onnx is damaged"]


def test_validate_connect_shows_each_check(
    config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    def checks(_config: object) -> Iterator[Check]:
        yield Check("broker", True, "localhost:9092 answers")
        yield Check("topic payments", False, "does not exist; create it")

    install("app", check_offline=fits, connect_checks=checks)
    assert main(["validate", str(config_file), "--connect"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok       broker: localhost:9092 answers",
        "FAILED   topic payments: does not exist; create it",
        f"{config_file}: 1 of 2 checks failed",
    ]
    assert main(["validate", str(config_file), "--connect", "--format", "json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [check["ok"] for check in answer["checks"]] == [True, False]


# ---------------------------------------------------------------------------------------- topics

REPORTS = [
    TopicReport("payments", "source", True, 4, 1, {"retention.ms": "86400000"}),
    TopicReport("payments.dlq", "dead_letter", False, note="missing"),
]


def test_topics_create(config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[dict[str, object]] = []
    install("app", topics_create=recording(calls, REPORTS))
    assert main(["topics", "create", str(config_file), "--partitions", "4", "--replication-factor", "3"]) == 0
    assert main(["topics", "create", str(config_file)]) == 0
    assert calls == [
        {"partitions": 4, "replication_factor": 3},
        {"partitions": None, "replication_factor": None},
    ]
    assert "payments.dlq" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["list", "describe"])
def test_topics_as_text_and_as_json(
    verb: str, config_file: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("app", **{f"topics_{verb}": lambda _config: REPORTS})
    assert main(["topics", verb, str(config_file)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["topic", "role", "exists", "partitions", "replicas"],
        ["payments", "source", "yes", "4", "1", "retention.ms=86400000"],
        ["payments.dlq", "dead_letter", "no", "-", "-", "missing"],
    ]
    assert main(["topics", verb, str(config_file), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[1]["exists"] is False
    assert rows[0]["settings"] == {"retention.ms": "86400000"}


# ------------------------------------------------------------------------------------------ demo


def test_demo_options(install: Install) -> None:
    calls: list[DemoOptions] = []
    install("demo", run_demo=recording(calls, 1))
    assert main(["demo"]) == 1
    flags = ["--rate", "100", "--events", "9", "--http", "h:1", "--seed", "3", "--write", "x", "--format", "json"]
    assert main(["demo", *flags]) == 1
    assert calls == [DemoOptions(), DemoOptions(100.0, 9, "h:1", 3, Path("x"), "json")]


# -------------------------------------------------------------------------------- export, bundle


def test_export_passes_on_what_was_said(tmp_path: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("m.onnx", "f.toml", "e.avro"):
        (tmp_path / name).touch()
    calls: list[dict[str, object]] = []

    def export(model: Path, **options: object) -> None:
        calls.append({"model": model.name, **options})
        raise ExportRefused("the graph has no free batch dimension")

    install("export", export=export)
    words = ["export", str(tmp_path / "m.onnx"), "--features", str(tmp_path / "f.toml")]
    words += ["--events", str(tmp_path / "e.avro"), "--to", "out-1.bundle.jar"]
    assert main([*words, "--classes", "0, 1", "--score", "p:1", "--threshold", "0.9"]) == 1
    assert main([*words, "--classes", "no,yes", "--explain", "--from", "pickle"]) == 1
    files = [Path(str(calls[0][name])).name for name in ("model", "features", "sample", "to")]
    assert files == ["m.onnx", "f.toml", "e.avro", "out-1.bundle.jar"]
    assert [(call["write"], call["kind"]) for call in calls] == [(True, None), (False, "pickle")]
    assert (calls[0]["classes"], calls[0]["score"], calls[0]["threshold"]) == ([0, 1], "p:1", 0.9)
    assert (calls[1]["classes"], calls[1]["score"], calls[1]["name"]) == (["no", "yes"], None, None)
    printed = capsys.readouterr()
    assert "Error: the graph has no free batch dimension" in printed.err
    assert printed.out.startswith("cannot be exported: the graph has no free batch dimension\nother ways, the nearest")


@dataclass(frozen=True)
class Report:
    """As `stream_infer.export.ExportReport`."""

    path: Path = Path("out-1.bundle.jar")
    name: str = "out"
    version: str = "1"
    digest: str = "d" * 64
    size_bytes: int = 1234
    sample_events: int = 100
    scored_events: int = 97
    rejected: Mapping[str, int] = field(default_factory=lambda: {"wrong_type": 2, "empty": 1})
    flagged_events: int = 5
    score_quantiles: tuple[float, float, float] = (0.0, 0.25, 1.0)
    golden_events: int = 64
    min_onnxruntime: str = "1.15"
    parity: Parity | None = None
    float32_events: int = 0


def test_export_reports(tmp_path: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "any"
    path.touch()
    install("export", export=recording([], Report()))
    words = ["export", str(path), "--features", str(path), "--events", str(path), "--to", "out-1.bundle.jar"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"out-1.bundle.jar: out 1, 1234 bytes, digest {'d' * 64}",
        "sample: 100 events, 97 scored, 5 flagged, rejected: 1 empty, 2 wrong_type",
        "scores: lowest 0, median 0.25, highest 1",
        "proof:  64 golden events; needs ONNX Runtime 1.15 or later",
    ]
    assert main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["rejected"] == {"wrong_type": 2, "empty": 1}


def test_export_reports_parity(tmp_path: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "any"
    path.touch()
    parity = Parity("lightgbm 4.7.0 Booster", 20_000, 2.2e-7, 0)
    install("export", export=recording([], Report(digest="", parity=parity, float32_events=3)))
    words = ["export", str(path), "--events", str(path), "--to", "out-1.bundle.jar", "--explain"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "out 1 can be exported; nothing was written"
    assert lines[3:5] == [
        "parity: 20000 rows as lightgbm 4.7.0 Booster: largest difference 2.2e-07, 0 decisions changed",
        "float32: 3 events of the sample stand so near a threshold that the original scores them otherwise as float64; "
        "train on float32 and there is none",
    ]
    assert main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["parity"]["rows"] == 20_000


def test_the_kinds_of_model_files_are_those_of_the_export() -> None:
    option = next(option for option in export_command.params if option.name == "kind")
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == list(KINDS)


MANIFEST = Manifest(
    format_version="1.0",
    model=ModelInfo("fraud", "7"),
    onnx=OnnxInfo("model.onnx", {"": 17}, 8, "1.15", ("Gemm",)),
    inputs=(
        InputSpec(
            "X",
            "float32",
            (-1, 2),
            (
                FeatureSpec(name="amount", path="amount", missing=MissingValue(0.0)),
                FeatureSpec(name="kind", path="category", missing="nan", categories=("a", "b")),
            ),
        ),
    ),
    outputs=(OutputSpec("p", "float32", (-1, 2), "probabilities"),),
    score=ScoreRef("p", 1),
    classes=(0, 1),
    decision=Decision(0.9),
    golden=GoldenInfo(rows=64, onnxruntime="1.23"),
    provenance=Provenance(),
    files={},
)


@pytest.fixture
def loaded_bundle(monkeypatch: pytest.MonkeyPatch) -> ModelBundle:
    bundle = ModelBundle.assemble(MANIFEST, {"model.onnx": b"12345"}, "fraud-7.bundle.jar")
    monkeypatch.setattr(ModelBundle, "load", lambda _path: bundle)
    return bundle


def test_inspect_shows_what_a_bundle_says(loaded_bundle: ModelBundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", "fraud-7.bundle.jar"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "model      fraud 7",
        f"digest     {loaded_bundle.digest}",
        "score      p, column 1; flagged from 0.9",
        "classes    0, 1",
        "",
        "input X: float32 [n, 2]",
        "feature  path      missing  categories",
        "amount   amount    = 0.0",
        "kind     category  nan      2 known",
        "",
        "file        bytes",
        "model.onnx  5",
    ]


def test_inspect_as_json_is_bundle_json_and_the_digest(
    loaded_bundle: ModelBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "inspect", "fraud-7.bundle.jar", "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["digest"] == loaded_bundle.digest
    assert facts["model"] == {"name": "fraud", "version": "7"}


@pytest.mark.usefixtures("loaded_bundle")
def test_verify_opens_the_model_and_says_so(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    closed: list[Any] = []
    install("scoring", open_model=lambda _bundle: SimpleNamespace(close=recording(closed, None)))
    assert main(["bundle", "verify", "fraud-7.bundle.jar"]) == 0
    assert capsys.readouterr().out == "fraud-7.bundle.jar: fraud 7 is whole, and 64 golden events agree\n"
    assert len(closed) == 1


@pytest.mark.parametrize("verb", ["inspect", "verify"])
def test_a_bundle_that_is_not_there(
    verb: str, tmp_path: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("scoring", open_model=raising(AssertionError("there is nothing to open")))
    assert main(["bundle", verb, str(tmp_path / "none.bundle.jar")]) == 1
    assert "none.bundle.jar" in capsys.readouterr().err


# ------------------------------------------------------------------------------ as a real process


def test_python_dash_m_and_a_reader_that_goes_away(config_file: Path) -> None:
    command = [sys.executable, "-m", "stream_infer", "validate", str(config_file), "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
        process.wait(timeout=30)
    assert stderr == ""

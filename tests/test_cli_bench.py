"""``stream-infer bench``: what is printed, what is refused, and one real run on the payments of the demo."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stream_infer.app
from stream_infer.app import BenchResult
from stream_infer.app.bench import SampleFacts, changed, varied
from stream_infer.bench import Report, Variant
from stream_infer.bench.advice import Suggestion
from stream_infer.bench.figures import Latency, Throughput
from stream_infer.cli import main
from stream_infer.config.load import load_config
from stream_infer.config.model import Config
from stream_infer.config.options import BenchOptions
from stream_infer.demo.dataset import write_dataset

ROOT = Path(__file__).parents[1]
JSON_CONFIG = ROOT / "config/fraud-json.toml"

SLOW = Latency(0.3, 30_000, 9_000, 5.0, 8.0, 10.0, 12.0, 100.0, 10.0, backlog_grows=False, ok=True)
REPORT = Report(
    throughput=Throughput(100_000, 10.0, 2.0, 5.0, 1.0, 2.0, cores=0.98, events_per_batch=512),
    fixed_us_per_batch=850.0,
    goal_ms=50.0,
    rates=(SLOW, replace(SLOW, share_of_throughput=0.9, p99_ms=80.0, ok=False)),
    knee_per_s=30_000.0,
    limit="The model: 50% of the CPU.",
    suggestions=(
        Suggestion("batching", "max_batch_size", 2048, "cheaper"),
        Suggestion("scoring", "workers", 2, "faster"),
        Suggestion("batching", "slo_ms", 18, "quicker"),
    ),
)
RESULT = BenchResult("payments 1", "tree kernel", 0, 512, None, SampleFacts(200, 130.0, {"malformed": 3}), REPORT)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[BenchResult], list[BenchOptions]]:
    """Let the command get a result without a run; gives the options that it asked with."""

    def put(result: BenchResult) -> list[BenchOptions]:
        asked: list[BenchOptions] = []

        def fake(_config: Config, options: BenchOptions, _progress: object) -> BenchResult:
            asked.append(options)
            return result

        monkeypatch.setattr(stream_infer.app, "run_bench", fake)
        return asked

    return put


def test_the_figures_are_told_and_the_settings_can_be_pasted(
    answer: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answer(RESULT)
    assert main(["bench", str(JSON_CONFIG), "--events", "x.avro", "--seconds", "2", "--rates", "0.9,0.3"]) == 0
    assert asked == [BenchOptions(Path("x.avro"), 2.0, (0.3, 0.9))]
    shown = capsys.readouterr().out
    assert "200 events of 130 bytes in the mean, 3 dead letters (1.50%: 3 malformed)" in shown
    assert "Kafka's client, the network and the broker are not part of these figures" in shown
    assert "throughput  100,000 events/s in batches of 512, 0.98 cores in use" in shown
    assert "decode 2.00, score 5.00, encode 1.00, rest 2.00; a batch costs 850 us before its first event" in shown
    assert "80.00" in shown
    assert "too late" in shown
    assert "30,000 events/s keep p99 within 50 ms (no goal set)" in shown
    pasted = tomllib.loads(shown[shown.index("[batching]") :])
    assert pasted == {"batching": {"max_batch_size": 2048, "slo_ms": 18}, "scoring": {"workers": 2}}


def test_what_was_not_reached_and_not_better_is_said(
    answer: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    report = replace(REPORT, knee_per_s=None, goal_ms=17.0, suggestions=())
    answer(replace(RESULT, slo_ms=25.0, report=report, sample=SampleFacts(5, 9.0, {})))
    assert main(["bench", str(JSON_CONFIG), "--events", "x.avro"]) == 0
    shown = capsys.readouterr().out
    expected = "not reached: no load kept p99 within 17 ms (batching.slo_ms = 25, less publishing)"
    assert expected in shown
    assert "nothing that was tried did better" in shown
    assert "no dead letters" in shown


@pytest.mark.parametrize("rates", ["", "0", "1.5", "0.3,x"])
def test_rates_are_shares(rates: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(JSON_CONFIG), "--events", "x.avro", "--rates", rates]) == 2
    assert "shares of the throughput" in capsys.readouterr().err


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stream_infer.app, "run_bench", interrupted)
    assert main(["bench", str(JSON_CONFIG), "--events", "x.avro"]) == 130
    printed = capsys.readouterr()
    assert (printed.out, printed.err.strip()) == ("", "Interrupted.")


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [(b"", 1, "holds no event"), (b"nonsense\n", 2, "none of the 1 events of the sample can be scored (1 malformed")],
)
def test_a_sample_without_a_good_event_is_one_error(
    tmp_path: Path, content: bytes, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "events.jsonl"
    sample.write_bytes(content)
    assert main(["bench", str(JSON_CONFIG), "--events", str(sample), "--json"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert printed.err.count("\n") == 1


def test_variants_change_what_they_name() -> None:
    config = load_config(JSON_CONFIG)
    other = varied(changed(config, "scoring", max_in_flight=9), Variant(max_batch_size=64, slo_ms=20, workers=2))
    assert (other.batching.max_batch_size, other.batching.slo_ms, other.scoring.in_flight_limit) == (64, 20, 4)
    assert varied(config, Variant()) == config


def test_a_real_run_on_framed_avro_and_a_registry_that_nobody_asks(tmp_path: Path) -> None:
    """The whole program, as typed; the bad event is counted, the figures belong together."""
    write_dataset(tmp_path / "payments.jsonl", events=300, seed=3)
    command = [sys.executable, "-m", "stream_infer", "bench", str(ROOT / "config/fraud.toml")]
    flags = ["--events", str(tmp_path / "payments.jsonl"), "--seconds", "0.2", "--rates", "0.2,0.5", "--json"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    report = found["report"]
    throughput = report["throughput"]
    assert found["sample"]["events"] == 300
    assert throughput["events_per_s"] > 1000
    stages = sum(throughput[f"{stage}_us_per_event"] for stage in ("decode", "score", "encode", "rest"))
    assert stages == pytest.approx(throughput["cpu_us_per_event"], rel=0.01)
    assert len(report["rates"]) >= 2
    for rate in report["rates"]:
        assert 0 <= rate["p50_ms"] <= rate["p95_ms"] <= rate["p99_ms"] <= rate["max_ms"]
    assert report["knee_per_s"] is None or report["knee_per_s"] <= throughput["events_per_s"]
    assert "Kafka" in found["not_measured"]


def test_bad_events_of_the_sample_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path, *_) = write_dataset(tmp_path / "payments.jsonl", events=99, seed=3)
    path.write_bytes(path.read_bytes() + b"nonsense\n")
    assert main(["bench", str(JSON_CONFIG), "--events", str(path), "--seconds", "0.1", "--rates", "0.3"]) == 0
    assert "100 events" in (shown := capsys.readouterr().out)
    assert "1 dead letter (1.00%: 1 malformed)" in shown

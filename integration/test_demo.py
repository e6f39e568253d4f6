"""``stream-infer demo`` as a user runs it: a process of its own, its output a pipe. The broker is in memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stream_infer.demo.setting import BUNDLE
from stream_infer.scoring import Scorer
from stream_infer.testing.payments import PaymentStream

ROOT = Path(__file__).parents[1]
DEMO = [sys.executable, "-m", "stream_infer", "demo"]


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_small_demo_scores_every_payment_as_the_scorer_itself_does() -> None:
    done = run_demo("--events", "3000", "--rate", "100000", "--seed", "11", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout.splitlines()[-1])
    payments = PaymentStream(11).columns(3000)
    flagged = Scorer.load(BUNDLE).score_events(payments.to_dicts()).flagged
    hits = int(np.count_nonzero(flagged & payments.is_fraud))
    assert (summary["produced"], summary["settled"], summary["scored"], summary["rejected"]) == (3000, 3000, 3000, 0)
    assert (summary["flagged"], summary["frauds_flagged"]) == (int(flagged.sum()), hits)
    assert summary["precision"] == pytest.approx(hits / flagged.sum())
    assert summary["recall"] == pytest.approx(hits / payments.is_fraud.sum())
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    assert summary["failure"] is None


def test_more_than_the_broker_in_memory_keeps_goes_through_at_full_rate() -> None:
    # Produced as fast as can be, when scoring takes longer and a partition keeps 5 MB.
    done = run_demo("--events", "150000", "--rate", "1000000", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["scored"] == 150_000


def test_a_pipe_gets_plain_lines_and_a_summary() -> None:
    done = run_demo("--events", "500", "--rate", "5000")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    for expected in ("500 settled", "precision", "recall", "p99", "Where to go next", "demo --write payments/"):
        assert expected in done.stdout


def test_ctrl_c_ends_with_the_summary_so_far() -> None:
    with subprocess.Popen(DEMO, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        heading, first_figures = demo.stdout.readline(), demo.stdout.readline()
        os.kill(demo.pid, signal.SIGINT)
        rest, errors = demo.communicate(timeout=30)
    assert "20,000 made-up payments" in heading
    assert "settled" in first_figures
    assert "Summary so far (interrupted)" in rest
    assert (demo.returncode, errors) == (0, "")


def test_nobody_reading_is_no_traceback() -> None:
    with subprocess.Popen(DEMO, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        demo.stdout.readline()
        demo.stdout.close()
        errors = demo.stderr.read()
        demo.wait(timeout=30)
    assert "Traceback" not in errors


def test_payments_are_written_instead_of_scored(tmp_path: Path) -> None:
    done = run_demo("--events", "100", "--write", str(tmp_path / "payments.jsonl"))
    assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / "payments.jsonl").read_text().splitlines()) == 100
    assert (tmp_path / "payments.labels.csv").exists()


def test_a_wrong_address_is_one_sentence() -> None:
    done = run_demo("--http", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "--http must be HOST:PORT" in done.stderr

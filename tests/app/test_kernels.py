"""What a service uses is compiled before its first event, and kept."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from stream_infer.app.kernels import Warmed, not_kept
from stream_infer.cli import main
from stream_infer.kernels.compiled import Usage

NOTHING_MORE = """
import json
import numpy as np
from stream_infer import ModelBundle
from stream_infer.app.kernels import _BUNDLE, _codecs, warm
from stream_infer.clock import SystemClock
from stream_infer.kernels.compiled import usage
from stream_infer.scoring import Scorer, open_model
from stream_infer.testing import records
from stream_infer.testing.payments import PaymentStream
from stream_infer.work import Work

warm()
before = usage()
bundle = ModelBundle.load(_BUNDLE)
payments = PaymentStream(1).columns(300)
values = [payments.to_json(), payments.to_avro(), payments.to_avro(b"\\0\\0\\0\\0\\1")]
scored = []
for (decoder, encoder), events in zip(_codecs(bundle), values):
    work = Work(Scorer(bundle, decoder, open_model(bundle)), encoder, SystemClock())
    scored.append(int((work.score(records(events)).batch.scored.status == 0).sum()))
print(json.dumps([scored, before[:2], usage()[:2]]))
"""


def test_real_events_compile_nothing_more() -> None:
    done = subprocess.run([sys.executable, "-c", NOTHING_MORE], capture_output=True, text=True, check=True)
    scored, before, after = json.loads(done.stdout)
    assert scored[:2] == [300, 300]  # the third knows no schema
    assert before == after
    assert sum(after) >= 14


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm"]) == 0
    said = capsys.readouterr().out
    assert "loaded" in said
    assert "kept in " in said


def test_the_command_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm", "--format", "json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"compiled", "loaded", "seconds", "kept_in"}


def test_nowhere_to_keep_them_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("stream_infer.app.warm", lambda: Warmed(16, 0, 12.3, None))
    assert main(["warm"]) == 0
    said = capsys.readouterr().out
    assert "16 compiled" in said
    assert "NUMBA_CACHE_DIR" in said


@pytest.mark.parametrize(("forgotten", "said"), [(0, ""), (3, "3 kernels were compiled and cannot be kept")])
def test_a_service_says_what_its_next_start_compiles_again(
    monkeypatch: pytest.MonkeyPatch, forgotten: int, said: str
) -> None:
    monkeypatch.setattr("stream_infer.app.kernels.usage", lambda: Usage(5, 2, None, forgotten))
    assert not_kept().startswith(said)
    assert bool(not_kept()) == bool(forgotten)

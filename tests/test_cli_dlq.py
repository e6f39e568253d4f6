"""``stream-infer dlq`` against fakes of the app: what is asked for, what is printed, what stays unsaid."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_infer.cli import main
from stream_infer.cli.dlq import moment
from stream_infer.config.options import (
    DeadLetterDetails,
    DeadLetterGroup,
    DeadLetterSelection,
    ResendOptions,
    ResendReport,
)

NOW_MS = 1_763_843_641_000
GROUPS = [
    DeadLetterGroup("truncated", "decode", 17, NOW_MS - 60_000, NOW_MS, ("payments",), (0, 9)),
    DeadLetterGroup("evil\x1b[31m\nreason", "", 1, -1, 10**17, (), (2, 3)),
]
FACTS: dict[str, str | int | None] = {"reason": "truncated", "message": "a\x07b", "failed_at_ms": NOW_MS, "model": None}
DETAILS = DeadLetterDetails((0, 9), FACTS, (("trace", b"secret"), ("null", None)), "k\u00e4se".encode(), b"\x1b[2J")
PLAN = ResendReport({"payments": 3, "refunds": 1}, sent_before=2, tried_too_often=1, no_input=5, not_selected=8)

Fake = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Make a function of the app give ``answer``; the arguments of its calls, without the config."""

    def put(name: str, answer: Any) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []

        def function(_config: object, *arguments: Any, **options: Any) -> Any:
            calls.append((*arguments, *options.values()))
            return answer

        monkeypatch.setattr(f"stream_infer.app.{name}", function)
        return calls

    return put


@pytest.mark.parametrize("verb", ["list", "show", "resend"])
def test_every_command_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dlq", verb, "-h"]) == 0
    assert f"Usage: stream-infer dlq {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("30s", NOW_MS - 30_000),
        ("90m", NOW_MS - 5_400_000),
        ("2h", NOW_MS - 7_200_000),
        ("7d", NOW_MS - 604_800_000),
        ("2025-11-22T20:34:01Z", NOW_MS),
        ("2025-11-22T20:34:01", NOW_MS),
        ("2025-11-22T21:34:01+01:00", NOW_MS),
        ("2025-11-22", NOW_MS - 74_041_000),
        ("2 h", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_moments(text: str, at_ms: int | None) -> None:
    assert moment(text, NOW_MS) == at_ms


# ------------------------------------------------------------------ list


def test_list_shows_a_table_in_which_nobody_can_forge_a_line(
    config_file: Path, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = fake("dead_letters_list", GROUPS)
    options = ["--reason", "truncated", "--reason", "empty", "--since", "2025-11-22", "--until", "2025-11-23"]
    assert main(["dlq", "list", str(config_file), *options]) == 0
    assert calls == [(DeadLetterSelection(("truncated", "empty"), NOW_MS - 74_041_000, NOW_MS + 12_359_000),)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [
        "17",
        "truncated",
        "decode",
        "2025-11-22T20:33:01Z",
        "2025-11-22T20:34:01Z",
        "payments",
        "0:9",
    ]
    assert lines[2].split() == ["1", "evil\\x1b[31m\\nreason", "-", "-", str(10**17), "-", "2:3"]
    assert lines[3:] == ["18 dead letters in payments.dlq"]


def test_list_for_programs(config_file: Path, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake("dead_letters_list", GROUPS)
    assert main(["dlq", "list", str(config_file), "--format", "json"]) == 0
    first, _ = json.loads(capsys.readouterr().out)
    assert first == {
        "reason": "truncated",
        "stage": "decode",
        "count": 17,
        "first_failed_at_ms": NOW_MS - 60_000,
        "last_failed_at_ms": NOW_MS,
        "topics": ["payments"],
        "example": "0:9",
    }


# ------------------------------------------------------------------ show


def test_show_says_everything_but_the_payload(
    config_file: Path, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = fake("dead_letters_at", [DETAILS])
    assert main(["dlq", "show", str(config_file), "0:9"]) == 0
    assert calls == [(0, 9)]
    printed = capsys.readouterr().out
    lines = {tuple(line.split(maxsplit=1)) for line in printed.splitlines()}
    assert {("place", "0:9"), ("reason", "truncated"), ("message", "a\\x07b"), ("model", "-")} < lines
    assert "header trace  6 bytes" in printed
    assert not {"k\u00e4se", "secret"} & set(printed.split())


def test_show_with_the_payload_escapes_by_base64(
    config_file: Path, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = fake("dead_letters_of", [DETAILS])
    origin = ["--input", "payments:3:90210"]
    assert main(["dlq", "show", str(config_file), *origin, "--payload", "--format", "json"]) == 0
    assert calls == [("payments", 3, 90210)]
    [row] = json.loads(capsys.readouterr().out)
    assert row["key"] == {"bytes": 5, "text": "k\u00e4se"}
    assert row["value"] == {"bytes": 4, "base64": "G1sySg=="}
    assert row["headers"] == [
        {"name": "trace", "value": {"bytes": 6, "text": "secret"}},
        {"name": "null", "value": None},
    ]
    assert main(["dlq", "show", str(config_file), *origin, "--payload"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_show_of_nothing(config_file: Path, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake("dead_letters_at", [])
    assert main(["dlq", "show", str(config_file), "0:9"]) == 1
    assert "no such dead letter in payments.dlq" in capsys.readouterr().err
    for words in ([], ["0:9", "--input", "payments:3:90210"], ["0"], ["--input", "pay ments:3:1"]):
        assert main(["dlq", "show", str(config_file), *words]) == 2


# ------------------------------------------------------------------ resend


def test_resend_passes_on_what_was_asked_for(config_file: Path, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    calls = fake("dead_letters_resend", PLAN)
    options = ["--reason", "empty", "--only", "0:1", "--only", "2:3", "--max", "9", "--max-attempts", "5", "--again"]
    assert main(["dlq", "resend", str(config_file), *options, "--yes", "--format", "json"]) == 0
    selection = DeadLetterSelection(("empty",), only=frozenset({(0, 1), (2, 3)}))
    assert calls == [(ResendOptions(selection, 9, 5, True), None, False)]
    assert json.loads(capsys.readouterr().out) == {
        "sent": 4,
        "would_send": 0,
        "topics": {"payments": 3, "refunds": 1},
        "left_out": {"sent_before": 2, "tried_too_often": 1, "no_input": 5, "not_selected": 8},
    }


def test_a_dry_run_sends_nothing_and_asks_nobody(
    config_file: Path, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = fake("dead_letters_resend", PLAN)
    assert main(["dlq", "resend", str(config_file), "--dry-run"]) == 0
    assert calls[0][2] is True
    assert capsys.readouterr().out.splitlines() == [
        "4 dead letters would be sent back: 3 to payments, 1 to refunds",
        "  left out: 2 sent back before (--again sends them once more)",
        "  left out: 1 tried too often (--max-attempts)",
        "  left out: 5 from no topic of source.topics",
        "  left out: 8 not selected",
    ]


@pytest.mark.parametrize(("answer", "said"), [("y", "were sent back"), ("n", "would be sent back")])
def test_a_person_is_asked(
    answer: str,
    said: str,
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[bool] = []

    def resend(_config: object, _options: object, confirm: Callable[[ResendReport], bool], *, dry_run: bool) -> object:
        asked.append(confirm(PLAN) and not dry_run)
        return PLAN

    monkeypatch.setattr("stream_infer.app.dead_letters_resend", resend)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _prompt: answer)
    assert main(["dlq", "resend", str(config_file)]) == 0
    assert asked == [answer == "y"]
    printed = capsys.readouterr()
    assert printed.out.startswith(f"4 dead letters {said}")
    assert printed.err.startswith("4 dead letters would be sent back")


def test_without_a_terminal_nothing_is_sent_unasked(
    config_file: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = fake("dead_letters_resend", PLAN)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert main(["dlq", "resend", str(config_file)]) == 2
    assert calls == []
    assert "--yes" in capsys.readouterr().err

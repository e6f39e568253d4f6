"""Golden lines, and values that try to be more than values."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from stream_infer.observe.logs import JsonFormatter, LineHandler, TextFormatter, configure_logging, escape
from stream_infer.types import Split, Status

ATTACK = "a\nb\r\x1b[31m\x00\x7f\x85\u2028\u202e\ud800"


def record(event: str = "checkpoint committed", level: int = logging.INFO, **extras: Any) -> logging.LogRecord:
    made = logging.LogRecord("stream_infer.kafka", level, "file.py", 1, event, (), None)
    made.created = 1_795_379_641.1234
    vars(made).update(extras)
    return made


def failed(error: Exception) -> dict[str, Any]:
    try:
        raise error
    except type(error):
        return {"exc_info": sys.exc_info()}


# ------------------------------------------------------------------ text


def test_a_text_line() -> None:
    line = TextFormatter().format(record(topic="payments", partition=3, seconds=0.25, detail="two words"))
    assert line == (
        "2026-11-22T20:34:01.123Z INFO    kafka: checkpoint committed"
        '  topic=payments partition=3 seconds=0.25 detail="two words"'
    )


def test_a_text_line_without_extras() -> None:
    assert TextFormatter().format(record()) == "2026-11-22T20:34:01.123Z INFO    kafka: checkpoint committed"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        ("a=b", '"a=b"'),
        ("back\\slash", r'"back\\slash"'),
        ("Grüße", "Grüße"),
        (True, "true"),
        (None, "null"),
        (np.float32(0.5), "0.5"),
        (np.int64(7), "7"),
        (float("nan"), "nan"),
        (["a", 1], '["a", 1]'),
        ({"k": 1}, '{"k": 1}'),
        (b"payload", '"(7 bytes)"'),
        (Split("t", 0, 1), '["t", 0, 1]'),
        (Status.SHED, "2"),
    ],
)
def test_values_in_text(value: Any, shown: str) -> None:
    assert TextFormatter().format(record(key=value)).endswith(f"  key={shown}")


def test_colour_is_in_the_level_only() -> None:
    line = TextFormatter(colour=True).format(record(level=logging.WARNING, key="v"))
    assert line == "2026-11-22T20:34:01.123Z \x1b[33mWARNING\x1b[0m kafka: checkpoint committed  key=v"


def test_no_value_key_or_message_breaks_a_text_line() -> None:
    line = TextFormatter().format(
        record(ATTACK, key=ATTACK, other=[ATTACK], error_text={ATTACK: ATTACK}, **{ATTACK: 1})
    )
    assert not set(line) & set(ATTACK.replace("a", "").replace("b", "").replace("[31m", ""))
    assert line.splitlines() == [line]
    line.encode()


def test_escapes_can_be_read() -> None:
    assert escape("a\nb\x1b[0m\u2028") == r"a\nb\x1b[0m\u2028"
    assert TextFormatter().format(record(key="a\nb")).endswith(r'  key="a\nb"')


# ------------------------------------------------------------------ JSON


def test_a_json_line() -> None:
    line = JsonFormatter().format(record(topic="payments", partition=np.int32(3), seconds=0.25, more=None))
    assert line == (
        '{"ts": "2026-11-22T20:34:01.123Z", "level": "info", "logger": "stream_infer.kafka", '
        '"event": "checkpoint committed", "topic": "payments", "partition": 3, "seconds": 0.25, "more": null}'
    )


def test_no_value_breaks_a_json_line_and_all_come_back() -> None:
    line = JsonFormatter().format(record(ATTACK, key=ATTACK, nested={"list": [ATTACK]}))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["key"] == ATTACK
    assert json.loads(line)["nested"] == {"list": [ATTACK]}


def test_json_has_no_nan() -> None:
    line = JsonFormatter().format(record(a=float("nan"), b=[float("-inf")], c=np.float64("inf")))
    parsed = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert (parsed["a"], parsed["b"], parsed["c"]) == ("nan", ["-inf"], "inf")


def test_an_extra_cannot_take_the_place_of_the_level() -> None:
    made = record()
    vars(made).update(level="fine", ts=0, event="none")
    parsed = json.loads(JsonFormatter().format(made))
    assert (parsed["level"], parsed["event"]) == ("info", "checkpoint committed")
    assert (parsed["level_"], parsed["ts_"], parsed["event_"]) == ("fine", 0, "none")


# ------------------------------------------------------------------ both


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_secrets_are_masked_by_key(formatter: logging.Formatter) -> None:
    client = MappingProxyType({"sasl.password": "hunter2", "nested": [{"ssl.key.pem": "hunter3"}]})
    line = formatter.format(record(client=client, api_token="hunter4", url="http://user:hunter5@registry"))
    assert "hunter" not in line
    assert "[redacted]" in line


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_an_exception_is_one_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record(**failed(ValueError("bad\nthing"))))
    assert r"ValueError: bad\nthing" in line
    assert "Traceback" not in line
    assert len(line.splitlines()) == 1


def test_debug_adds_the_traceback() -> None:
    error = failed(ValueError("bad"))
    first, *rest = TextFormatter(debug=True).format(record(**error)).splitlines()
    assert first.endswith('error="ValueError: bad"')
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in rest)
    assert "Traceback" in json.loads(JsonFormatter(debug=True).format(record(**error)))["traceback"]


# ------------------------------------------------------------------ configure_logging


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """A stream to log to; afterwards logging is as before."""
    root, own, hook = logging.getLogger(), logging.getLogger("stream_infer"), threading.excepthook
    levels = root.level, own.level
    yield io.StringIO()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, LineHandler)]
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    logging.captureWarnings(False)
    threading.excepthook = hook


def test_levels_apply_to_us_and_others_are_quiet(log: io.StringIO) -> None:
    configure_logging("text", "debug", log)
    logging.getLogger("stream_infer.kafka").debug("ours")
    logging.getLogger("somebody.else").info("theirs")
    logging.getLogger("somebody.else").warning("their warning")
    assert [line.split(": ")[1] for line in log.getvalue().splitlines()] == ["ours", "their warning"]


def test_configuring_again_replaces_the_former(log: io.StringIO) -> None:
    configure_logging("text", "info", log)
    configure_logging("json", "warning", log)
    logging.getLogger("stream_infer").info("silent")
    logging.getLogger("stream_infer").warning("once")
    assert [json.loads(line)["event"] for line in log.getvalue().splitlines()] == ["once"]


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colour(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch, no_colour: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setattr(log, "isatty", lambda: True)
    configure_logging("text", "info", log)
    logging.getLogger("stream_infer").info("hello")
    assert ("\x1b[32m" in log.getvalue()) is coloured


def test_a_broken_stream_neither_raises_nor_prints(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text", "info", log)
    log.close()
    logging.getLogger("stream_infer").info("lost")
    assert capsys.readouterr() == ("", "")


def test_a_thread_that_dies_leaves_a_line_instead_of_a_traceback(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json", "info", log)
    thread = threading.Thread(target=lambda: int("x"), name="score-1")
    thread.start()
    thread.join()
    (line,) = log.getvalue().splitlines()
    assert json.loads(line)["thread_name"] == "score-1"
    assert json.loads(line)["error"].startswith("ValueError: invalid literal")
    assert capsys.readouterr().err == ""

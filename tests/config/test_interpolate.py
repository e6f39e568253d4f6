from pathlib import Path

import pytest

from stream_infer.config.interpolate import Interpolation


def fill(value: object, tmp_path: Path, **environ: str) -> tuple[object, list[str]]:
    interpolation = Interpolation(environ, tmp_path)
    return interpolation.apply(value), [str(problem) for problem in interpolation.problems]


def test_variables_anywhere_in_text(tmp_path: Path) -> None:
    value = {"a": ["x-${USER}-${HOST}", 3, True], "b": {"c": "${USER}"}}
    assert fill(value, tmp_path, USER="u", HOST="h") == ({"a": ["x-u-h", 3, True], "b": {"c": "u"}}, [])


def test_a_file_without_its_final_line_break(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"two\nlines\r\n")
    assert fill("user:${file:secret}", tmp_path) == ("user:two\nlines", [])
    assert fill(f"${{file:{tmp_path / 'secret'}}}", tmp_path) == ("two\nlines", [])


def test_a_secret_is_not_looked_at_again(tmp_path: Path) -> None:
    assert fill("${A}", tmp_path, A="${B} $${C}", B="no") == ("${B} $${C}", [])


def test_an_escaped_reference(tmp_path: Path) -> None:
    assert fill("$${A} $A {B} $", tmp_path) == ("${A} $A {B} $", [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NOPE}", "the environment variable NOPE is not set"),
        ("${a b}", "is no reference"),
        ("${}", "is no reference"),
        ("${A", "without its }"),
        ("${file:missing}", "missing cannot be read: No such file or directory"),
        ("${file:.}", "cannot be read: Is a directory"),
        ("${file:binary}", "is not UTF-8"),
    ],
)
def test_what_leads_nowhere_is_a_problem(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    filled, problems = fill({"key": [text]}, tmp_path, A="hidden")
    assert filled == {"key": [text]}
    assert len(problems) == 1
    assert problems[0].startswith("key[0]: ")
    assert message in problems[0]

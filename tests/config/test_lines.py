import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.config.lines import key_lines


def test_tables_keys_and_comments() -> None:
    text = (
        '# a comment with [a.table] = "in it"\nname = "x"  # and more\n\n[kafka]\nport = 1\n[kafka.client]\na.b = 2\n'
    )
    assert key_lines(text) == {
        "name": 2,
        "kafka": 4,
        "kafka.port": 5,
        "kafka.client": 6,
        "kafka.client.a": 7,
        "kafka.client.a.b": 7,
    }


def test_arrays_of_tables_count_their_items() -> None:
    lines = key_lines("[[sink.routes]]\nwhen = 1\n[[sink.routes]]\nwhen = 2\n[sink.routes.deep]\nx = 3\n")
    assert (lines["sink.routes[0].when"], lines["sink.routes[1].when"], lines["sink.routes[1].deep.x"]) == (2, 4, 6)


def test_inline_tables_and_lists_over_several_lines() -> None:
    lines = key_lines('routes = [\n  { when = "a", topic = "b" },  # one\n  { when = "c" },\n]\nafter = 1\n')
    assert lines["routes[0].topic"] == 2
    assert lines["routes[1].when"] == 3
    assert lines["after"] == 5


@pytest.mark.parametrize(
    "value",
    [
        '"""two\n[not.a.table]\nlines\\""""',
        "'''two\nlines = 1'''",
        '"a \\" # ] }"',
        "'a # ] }'",
        '"""""two quotes first"""',
        "1979-05-27 07:32:00",
        "[[1, 2],\n[3]]",
        '""',
    ],
)
def test_values_that_look_like_something_else(value: str) -> None:
    text = f"a = {value}\nlast = 1\n"
    tomllib.loads(text)
    lines = key_lines(text)
    assert lines["last"] == text.count("\n")
    assert [key for key in lines if "[" not in key] == ["a", "last"]


def test_quoted_keys_are_named_without_their_quotes() -> None:
    assert key_lines("client = { \"sasl.password\" = 1, 'b' = 2 }\n")["client.sasl.password"] == 1


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_both_line_ends(newline: str) -> None:
    assert key_lines(newline.join(["a = 1", "b = [", "1,", "]", "c = 2", ""]))["c"] == 5


NAMES = st.text("abcxyz_-09", min_size=1, max_size=6)
VALUES = st.recursive(
    st.integers() | st.text('ab"\\#[]{}=, ', max_size=8) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def _paths(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        return [path, *(sub for key, item in value.items() for sub in _paths(item, f"{path}.{key}"))]
    if isinstance(value, list):
        return [path, *(sub for i, item in enumerate(value) for sub in _paths(item, f"{path}[{i}]"))]
    return [path]


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_every_key_of_any_document_is_found_on_its_line(document: dict[str, Any]) -> None:
    text = "".join(f"{key} = {_inline(value)}\n" for key, value in document.items())
    assert tomllib.loads(text) == document
    expected = {path: i for i, (key, value) in enumerate(document.items(), 1) for path in _paths(value, key)}
    assert key_lines(text) == expected

"""Numbers read by the kernel are Python's, to the last bit, or it is not sure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infer.codecs.cells import read_only
from stream_infer.kernels import json_cells
from stream_infer.kernels.compiled import as_python
from stream_infer.kernels.json_tables import Actions

either = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
FLOAT32_MAX = float(np.finfo(np.float32).max)


@pytest.fixture(params=["compiled", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The kernels, compiled or as plain Python, where numpy checks every index."""
    if request.param == "plain":
        for name in [name for name, made in vars(json_cells).items() if hasattr(made, "py_func")]:
            monkeypatch.setattr(json_cells, name, as_python(getattr(json_cells, name)))
    with np.errstate(over="ignore"):  # compiled code wraps round in silence
        yield json_cells


def read(kernels: Any, text: bytes, is_json: bool = True) -> tuple[int, bool, float, int] | None:
    """End, whether it is whole, double and integer; None where the kernel is not sure."""
    data = read_only(np.frombuffer(b"[" + text, np.uint8))
    at, is_integer, double, integer = kernels._read_number(data, np.uint64(1), np.uint64(len(data)), is_json)
    return None if at == json_cells.BAD else (int(at) - 1, bool(is_integer), float(double), int(integer))


def same(left: float, right: float) -> bool:
    return left == right and math.copysign(1, left) == math.copysign(1, right)


def check(kernels: Any, text: str, is_json: bool = True) -> bool:
    """True where the kernel is sure; then it is right."""
    found = read(kernels, text.encode(), is_json)
    if found is None:
        return False
    end, is_integer, double, integer = found
    assert end == len(text)
    if is_integer:
        assert integer == int(text)
        assert double == float(int(text))
    else:
        assert same(double, float(text)), text
    return True


def is_half_way(text: str, number: float) -> bool:
    """True for text that lies exactly between a number and the next, as that of 1e23 does."""
    neighbours = (math.nextafter(number, side) for side in (-math.inf, math.inf))
    return any(2 * Fraction(text) == Fraction(number) + Fraction(neighbour) for neighbour in neighbours)


@either
@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_shortest_texts_of_doubles(kernels: Any, number: float) -> None:
    sure = check(kernels, repr(number))
    assert sure or not 1e-40 < abs(number) < 1e40 or is_half_way(repr(number), number)


@either
@given(number=st.floats(2**-10, 2**20, width=32))
def test_texts_that_are_a_double_exactly(kernels: Any, number: float) -> None:
    """A float32 as the double that it is: too many digits for one exact operation."""
    assert check(kernels, repr(number))


@either
@given(number=st.floats(1e-30, 1e30), digits=st.integers(0, 19))
def test_texts_of_any_length(kernels: Any, number: float, digits: int) -> None:
    check(kernels, f"{number:.{digits}e}")
    check(kernels, f"{-number:.{digits}f}")


@either
@given(mantissa=st.integers(2**53, 2**54 - 1), shift=st.integers(-5, 5), nudge=st.sampled_from([-1, 0, 1]))
def test_texts_half_way_between_two_doubles(kernels: Any, mantissa: int, shift: int, nudge: int) -> None:
    half = (2 * mantissa + 1) << 10
    check(kernels, f"{(half + nudge) >> 10}.0e{shift}")
    check(kernels, f"{mantissa * 1000 + 500 + nudge}e{shift - 3}")


@either
@given(digits=st.integers(1, 10**19 - 1), power=st.integers(-64, 64))
def test_all_powers(kernels: Any, digits: int, power: int) -> None:
    check(kernels, f"{digits}e{power}")


@either
@given(number=st.integers(-(10**20), 10**20))
def test_integers(kernels: Any, number: int) -> None:
    assert check(kernels, str(number)) == (len(str(abs(number))) <= 18)


@pytest.mark.parametrize(
    "text",
    ["0", "-0", "0.0", "-0.0", "-0e5", "0.000000000000000000000000000123456789012345678", "9007199254740993.0",
     "1e22", "1e23", "123456789012345678", "0.1", "4.35", "8.5e-60", "1E+5", "179769313486231570000e-20"],
)  # fmt: skip
def test_sure_of_what_is_common(kernels: Any, text: str) -> None:
    # These lie so near the middle between two numbers that it takes more digits than the kernel looks at.
    assert check(kernels, text) is (text not in ("1e23", "9007199254740993.0", "179769313486231570000e-20"))


@pytest.mark.parametrize(
    "text", ["", "-", "+1", "01", "-01", "1.", ".5", "1.e5", "1e", "1e+", "e5", "NaN", "Infinity", "0x1", "1e999"]
)
def test_what_is_no_number_of_json(kernels: Any, text: str) -> None:
    found = read(kernels, text.encode())
    assert found is None or found[0] != len(text)


@pytest.mark.parametrize(("text", "value"), [("+1", 1.0), ("01", 1.0), ("1.", 1.0), (".5", 0.5), ("-.5e1", -5.0)])
def test_numbers_in_text_are_looser(kernels: Any, text: str, value: float) -> None:
    found = read(kernels, text.encode(), is_json=False)
    assert found is not None
    assert found[::2] == (len(text), value)
    assert read(kernels, b".", is_json=False) is None


# ---------------------------------------------------------------------- actions


def fill(
    kernels: Any, values: Sequence[bytes | int], action: list[int], texts: Sequence[bytes] = (), cells: int = 1
) -> list[list[float] | None]:
    """The cells that an action fills from each value; a number is where the span begins instead of a value."""
    data = read_only(np.frombuffer(b"".join(v for v in values if isinstance(v, bytes)) + b" ", np.uint8))
    lengths = [len(value) if isinstance(value, bytes) else 0 for value in values]
    ends = np.cumsum(lengths)
    begins = [v if isinstance(v, int) else end - len(v) for v, end in zip(values, ends, strict=True)]
    found = np.ascontiguousarray(np.stack([begins, ends], axis=1).reshape(-1, 1, 2))
    edges = np.cumsum([0, *map(len, texts)])
    rows = [(1, edges[place], edges[place + 1], place) for place in range(len(texts))]
    names, slots = read_only(np.frombuffer(b"".join(texts), np.uint8)), np.full(64, -1, np.int64)
    kernels.place_texts(names, np.array(rows, np.int64).reshape(-1, 4), slots)
    tables = Actions(
        np.array([action], np.int64), np.array([[1.0, 0.5, 2.0]]), np.array([0, json_cells.NOT_SURE]),
        np.full(cells, 7, np.float32), names, slots, np.array(rows, np.int64).reshape(-1, 4),
    )  # fmt: skip
    target, done = np.full((len(values), cells), 99, np.float32), np.ones(len(values), np.bool_)
    kernels.fill_cells(data, found, tables, target, done)
    return [row.tolist() if sure else None for row, sure in zip(target, done, strict=True)]


def test_numbers(kernels: Any) -> None:
    values: list[bytes | int] = [b"1", b"-2.5", b"true", b"false", b"null", -1, -2]
    values += [b'"1"', b"[1]", b"1e39", b"12345678901234567890", b"1x", b"1]", b"1-2", b"1.5.", b"01", b"-"]
    action = [json_cells.NUMBER, 0, 0, 1, 0, 0, 0, 0]
    assert fill(kernels, values, action) == [[3], [-4], [3], [1], [7], [7], *[None] * 11]


def test_categories(kernels: Any) -> None:
    values = [b'"a"', b'"\xc3\xa4"', b'"b"', b'""', b'"\\u0061"', b"1", b"null"]
    action = [json_cells.CATEGORY, 0, 0, 1, 1, -5, 1, 0]
    known = [b"a", "ä".encode()]
    assert fill(kernels, values, action, known) == [[0], [1], [-5], [-5], None, None, [7]]
    assert fill(kernels, values, [*action[:6], 0, 0], known) == [[0], [1], None, None, None, None, [7]]


@pytest.mark.parametrize(
    ("code", "values"),
    [
        (
            json_cells.ARRAY,
            [b"[1,2,3]", b"[ 1 ,\n2\t, 3.5e0\r]", b"[1,2]", b"[1,2,3,4]", b"[1,2,3", b"[1,,3]", b"[1,2,3,]", b"[]",
             b"[1,null,3]", b"[1,[2],3]", b'[1,"2",3]', b"[1,2,\x0b3]", b'"1,2,3"', b"[1,2,3]]", b"[1,2,3e"],
        ),
        (
            json_cells.CSV,
            [b'"1,2,3"', b'" 1 ,2 , 3.5e0 "', b'"1,2"', b'"1,2,3,4"', b'"1,2,3', b'"1,,3"', b'"1,2,3,"', b'""',
             b'"1,nan,3"', b'"1;2;3"', b'"1,2\\u002c3"', b'"1,2,\t3"', b"[1,2,3]", b'"1,2,3""', b'"1,2,3e'],
        ),
    ],
)  # fmt: skip
def test_lists(kernels: Any, code: int, values: list[bytes]) -> None:
    found = fill(kernels, [*values, b"null"], [code, 0, 0, 3, 0, 0, 0, 0], cells=3)
    assert found == [[3, 5, 7], [3, 5, 8], *[None] * (len(values) - 2), [7, 7, 7]]


@pytest.mark.parametrize(
    ("allowed", "good", "bad"),
    [
        (json_cells.NULL, b"null", [b"1", b'""', b"true", b"{}"]),
        (json_cells.BOOLEAN, b"false", [b"1", b'""', b"null", b"[]"]),
        (json_cells.INT32, b"-2147483648", [b"2147483648", b"1.0", b"true", b'"1"']),
        (json_cells.INT64, b"123456789012345678", [b"1.5", b"12345678901234567890", b"null"]),
        (json_cells.FLOAT32, b"3.4e38", [b"3.5e38", b"null", b"true"]),
        (json_cells.FLOAT64, b"3.5e38", [b"1e400", b"null", b"{}"]),
        (json_cells.TEXT, b'"\\n"', [b"1", b"null"]),
        (json_cells.SYMBOL, b'"a"', [b'"b"', b'"\\u0061"', b"null"]),
        (json_cells.SYMBOL | json_cells.NULL, b"null", [b'"b"', b"0"]),
        (json_cells.ANYTHING, b"[{}]", []),
    ],
)
def test_checks(kernels: Any, allowed: int, good: bytes, bad: list[bytes]) -> None:
    found = fill(kernels, [good, *bad], [json_cells.CHECK, 0, 0, allowed, 1, 0, 0, 0], [b"a"])
    assert found == [[99], *[None] * len(bad)]


def test_carried_fields_are_measured(kernels: Any) -> None:
    found = np.array([[[3, 5], [-1, 99]], [[-2, 99], [7, 7]]], np.int64)
    carried = np.array([[1, 0, 4], [0, 4, 5]], np.int64)
    begins, edges = np.full(4, 99, np.int64), np.full(5, 99, np.int64)
    kernels.measure_carried(found, carried, 100, begins, edges)
    assert begins.tolist() == [100, 7, 3, 104]
    assert edges.tolist() == [0, 4, 4, 6, 7]

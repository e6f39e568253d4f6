"""The kernel finds what the json module finds, in what the json module takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infer.codecs.cells import read_only
from stream_infer.kernels import json_spans
from stream_infer.kernels.compiled import as_python
from stream_infer.kernels.json_tables import Scratch, Wanted
from stream_infer.types import Binary

either = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
KEYS = ["a", "b", "geo", "lat", "ä"]
TABLE = [(0, "a", 0), (0, "alias", 0), (0, "geo", 1), (0, "list", 2), (1, "lat", 3), (1, "a", 4)]
FIELDS = [(-1, 0, 0, 1, 0), (1, 1, 1, 4, 0), (-1, 4, 4, 5, 2), (-1, 2, 2, 3, 1), (-1, 3, 3, 4, 0)]
"""``a`` (or ``alias``), ``geo`` as a whole, ``geo.lat``, taken for a number, ``geo.a``, and ``list``, for numbers."""
SPANS, KEYS_KEPT = 5, 4
MAX_DEPTH = 8


@pytest.fixture(params=["compiled", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The kernels, compiled or as plain Python, where numpy checks every index."""
    if request.param == "plain":
        for name in [name for name, made in vars(json_spans).items() if hasattr(made, "py_func")]:
            monkeypatch.setattr(json_spans, name, as_python(getattr(json_spans, name)))
    with np.errstate(over="ignore"):
        yield json_spans


def find(kernels: Any, values: list[bytes]) -> list[list[bytes | int] | None]:
    """For each event its spans, or why they are not there; None where the kernel is not sure."""
    letters = "".join(text for _, text, _ in TABLE)
    edges = np.cumsum([0, *(len(text) for _, text, _ in TABLE)])
    keys = np.array([(group, edges[i], edges[i + 1], field) for i, (group, _, field) in enumerate(TABLE)])
    names, slots = read_only(np.frombuffer(letters.encode(), np.uint8)), np.full(16, -1, np.int64)
    kernels.place_keys(names, keys, slots)
    wanted = Wanted(names, slots, keys, np.array([(0, 3), (3, 5)]), np.array(FIELDS))
    scratch = Scratch(np.zeros(len(FIELDS), np.int64), np.zeros(2, np.int64), np.zeros((KEYS_KEPT, 4), np.int64))
    column = Binary.from_values(values)
    found, done = np.zeros((len(values), SPANS, 2), np.int64), np.ones(len(values), np.bool_)
    data = read_only(column.data)
    kernels.find_values(data, column.offsets, MAX_DEPTH, wanted, scratch, found, done)
    return [
        [data[begin:end].tobytes() if begin >= 0 else int(begin) for begin, end in row] if sure else None
        for row, sure in zip(found, done, strict=True)
    ]


ABSENT, BELOW_ABSENT, NULL = json_spans.ABSENT, json_spans.ABSENT - 1, json_spans.NULL


@pytest.mark.parametrize(
    ("event", "spans"),
    [
        (b"{}", [ABSENT] * 5),
        (b' { "a" : 1 } ', [b"1", ABSENT, ABSENT, ABSENT, ABSENT]),
        (b'{"alias":"x","geo":{"a":[{}],"lat":2}}', [b'"x"', b'{"a":[{}],"lat":2}', b"2", b"[{}]", ABSENT]),
        (b'{"geo":{},"a":null}', [b"null", b"{}", BELOW_ABSENT, BELOW_ABSENT, ABSENT]),
        (b'{"geo":null}', [ABSENT, b"null", NULL, NULL, ABSENT]),
        (b'{"list":[1, 2],"lat":5}', [ABSENT, ABSENT, ABSENT, ABSENT, b"[1, 2]"]),
        (b'{"list":"1,2"}', [ABSENT, ABSENT, ABSENT, ABSENT, b'"1,2"']),
        (b'{"other":{"a":1,"geo":5},"\xc3\xa4":[[[]]]}', [ABSENT] * 5),
        (b'{"x":"\\u00e9\\n\\\\\\"","y":-0.5e+10,"z":[true,false,null,{"q":[]}]}', [ABSENT] * 5),
    ],
)
def test_spans(kernels: Any, event: bytes, spans: list[bytes | int]) -> None:
    assert find(kernels, [b"{}", event, b"{}"]) == [[ABSENT] * 5, spans, [ABSENT] * 5]


@pytest.mark.parametrize(
    "event",
    [
        b"", b" ", b"[]", b"null", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b'{,"a":1}', b'{"a" 1}',
        b'{"a":1 "b":2}', b'{"a":1}}', b'{"a":1} x', b"{a:1}", b'{"a":01}', b'{"a":1.}', b'{"a":-}', b'{"a":1e}',
        b'{"a":tru}', b'{"a":nul', b'{"a":falsy}', b'{"a":TRUE}', b'{"a":NaN}', b'{"a":"\x01"}', b'{"a":"\\q"}',
        b'{"a":"\\ud800"}', b'{"a":"\\u12g4"}', b'{"a":"\\u12', b'{"a":"\xff"}', b'{"a":"\xc3"}', b'{"a":"\xc0\x80"}',
        b'{"a":"\xe0\x80\x80"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xf0\x80\x80\x80"}', b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xf5\x80\x80\x80"}', b'{"a":"\xe2\x82"}', b'{"a":[1,]}', b'{"a":[1}', b'{"a":{"b":1]}', b'{"a":[1 2]}',
        b'{"a":{1:2}}', b'{"a":{"b"}}', b'{"a":1,"a":2}', b'{"a":1,"alias":2}', b'{"geo":{"lat":1,"lat":1}}',
        b'{"geo":5}', b'{"\\u0061":1}', b'{"geo":{}', b'{"geo":{"lat":1}', b'{"list":[1', b'\xef\xbb\xbf{}',
        b'{"a":\x0b1}',
        b'{"x":[[[[[[[[]]]]]]]]}', b'{"geo":{"x":[[[[[[[]]]]]]]}}',
    ],
)  # fmt: skip
def test_not_sure(kernels: Any, event: bytes) -> None:
    assert find(kernels, [b"{}", event, b"{}"]) == [[ABSENT] * 5, None, [ABSENT] * 5]


@pytest.mark.parametrize(
    "event", [b'{"x":[[[[[[[]]]]]]]}', b'{"geo":{"x":[[[[[[]]]]]]}}', b'{"geo":{"a":[[[[[[]]]]]]}}']
)
def test_as_deep_as_allowed(kernels: Any, event: bytes) -> None:
    assert find(kernels, [event]) != [None]


def refuse(_: str) -> Any:
    raise ValueError


texts = st.text(max_size=5)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=3),
    max_leaves=8,
)
geos = st.none() | st.dictionaries(st.sampled_from(KEYS), values, max_size=3)
events = st.fixed_dictionaries(
    {}, optional={"a": values, "geo": geos, "list": st.lists(numbers, max_size=4), "x": values, "ä": values}
)


shuffled = events.flatmap(lambda event: st.permutations(list(event.items()))).map(dict)


@either
@given(batch=st.lists(shuffled, min_size=1, max_size=3), ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_valid_events(kernels: Any, batch: list[dict[str, Any]], ascii_only: bool, indent: int | None) -> None:
    texts = [json.dumps(e, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass") for e in batch]
    for event, text, found in zip(batch, texts, find(kernels, texts), strict=True):
        if found is None:
            # Half a surrogate pair, a pair in escapes, an escaped key, or nested too deep.
            assert b"\xed" in text or b"\\" in text or text.count(b"[") + text.count(b"{") > MAX_DEPTH
        else:
            assert_spans(found, event)


def assert_spans(found: list[bytes | int], event: dict[str, Any]) -> None:
    for name, span in (("a", found[0]), ("geo", found[1]), ("list", found[4])):
        assert span == ABSENT if name not in event else json.loads(span) == event[name]  # type: ignore[arg-type]
    geo = event.get("geo")
    for name, span in (("lat", found[2]), ("a", found[3])):
        if isinstance(geo, dict):
            assert span == BELOW_ABSENT if name not in geo else json.loads(span) == geo[name]  # type: ignore[arg-type]
        else:
            assert span == (NULL if "geo" in event else ABSENT)


@either
@given(event=events, data=st.data())
def test_damaged_events(kernels: Any, event: dict[str, Any], data: st.DataObject) -> None:
    """What the kernel takes, the json module takes as well. (Numbers are looked into by somebody else.)"""
    good = json.dumps(event).encode()
    text = bytearray(good)
    at = data.draw(st.integers(0, len(text) - 1))
    if data.draw(st.booleans()):
        del text[at:]
    else:
        text[at] = data.draw(st.sampled_from(list(b'{}[],:"\\0e.-ntf \x00\x80')))
    before, found, after = find(kernels, [good, bytes(text), good])
    assert before == after
    assert found == find(kernels, [bytes(text)])[0]
    if found is not None and not any(isinstance(found[span], bytes) for span in (2, 4)):
        assert_spans(found, json.loads(text, parse_constant=refuse))


def test_keys_that_stand_elsewhere(kernels: Any) -> None:
    """In another object, beyond the keys that are kept, with blanks, and a prefix of the key before."""
    batch = [
        b'{"a":1,"geo":{"a":2,"lat":3},"list":[4]}',
        b'{"geo":{"a":5,"lat":6},"a":7,"list":[8]}',
        b'{"x":0,"geo":{"lat":10},"list":[11],"a":9}',
        b'{"alias" :12,"list":[13], "geo":{"lat":14,"a":15}}',
        b'{"alias":16,"list":[17],"geo" :{"lat":18,"a":19}}',
        b'{"ali":20,"list":[21],"geo":{"lat":22,"a":23}}',
        b'{"geo":{"a":24}}',
        b'{"x":25,"a":26}',
    ]
    alone = [find(kernels, [event])[0] for event in batch]
    assert None not in alone
    assert find(kernels, batch) == alone
    assert find(kernels, [*batch, b'{"alias', *batch]) == [*alone, None, *alone]


@either
@given(data=st.binary(min_size=8, max_size=8), limit=st.integers(1, 128))
def test_eight_bytes_at_once(kernels: Any, data: bytes, limit: int) -> None:
    """The first byte that is below a limit, or that is a certain byte, is the first that is marked."""
    word = np.uint64(kernels._word(read_only(np.frombuffer(data, np.uint8)), np.uint64(0)))
    assert word == int.from_bytes(data, "little")
    below = [place for place, byte in enumerate(data) if byte < limit]
    equal = [place for place, byte in enumerate(data) if byte == data[5]]
    for marks, places in ((kernels._below(word, limit), below), (kernels._equal(word, data[5]), equal)):
        high = np.uint64(marks) & json_spans._HIGH_BITS
        assert (high != 0) == bool(places)
        assert not places or kernels._first(high) == places[0]

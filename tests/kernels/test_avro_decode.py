"""The decode kernel's pieces: text, numbers, ids, spans; compiled and as plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infer.codecs.cells import read_only
from stream_infer.codecs.write import write_long
from stream_infer.kernels import avro_decode, spans
from stream_infer.kernels.compiled import as_python

CHECKS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)


@pytest.fixture(params=["compiled", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernels, compiled or as plain Python, where numpy checks every index."""
    for module in (avro_decode, spans):
        for name in [name for name, made in vars(module).items() if hasattr(made, "py_func")]:
            if request.param == "plain":
                monkeypatch.setattr(module, name, as_python(getattr(module, name)))
    with np.errstate(over="ignore"):
        yield avro_decode


def as_array(data: bytes) -> npt.NDArray[np.uint8]:
    return read_only(np.frombuffer(data, np.uint8))


def accepts(kernels: Any, op: int, data: bytes) -> bool:
    """True where ``data`` is exactly one value of an operation, as the only event of a batch."""
    code = np.array([[op, 0, 0, 0]], np.int64)
    offsets, done = np.array([0, len(data)], np.int64), np.zeros(1, np.bool_)
    empty = np.empty(0, np.int64)
    kernels.decode(
        as_array(data), offsets, np.zeros(1, np.int64), 0, code, empty,
        np.empty((0, 11), np.int64), np.empty((0, 4)), empty, np.empty((0, 3), np.int64), as_array(b""),
        np.empty(0, np.float32), np.empty(0), empty, np.zeros((2, 0, 1), np.int64), np.empty((0, 2), np.uint64), done,
    )  # fmt: skip
    return bool(done[0])


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


WELL_FORMED = ["a", "\x7f", "é", "中", "𐍈", "\ud7ff", "\ue000", "\u0800", "\U00010000", "\U0010ffff", "12345678"]
MALFORMED = ["eda080", "c080", "c1bf", "e09fbf", "f08fbfbf", "f4908080", "80", "f5", "ff", "e4b8", "f0908d"]
PIECES = st.sampled_from([*(text.encode() for text in WELL_FORMED), *map(bytes.fromhex, MALFORMED)])
TEXT = st.lists(PIECES | st.binary(max_size=2), max_size=8).map(b"".join)


@given(data=TEXT)
@CHECKS
def test_text_is_utf8_or_refused(kernels: Any, data: bytes) -> None:
    assert accepts(kernels, kernels.STRING, write_long(len(data)) + data) == is_utf8(data)


@pytest.mark.parametrize("length", range(20))
def test_a_byte_that_is_no_ascii_is_seen_wherever_it_stands(kernels: Any, length: int) -> None:
    for at in range(length):
        data = b"a" * at + b"\x80" + b"a" * (length - at - 1)
        assert not accepts(kernels, kernels.STRING, write_long(length) + data)
    assert accepts(kernels, kernels.STRING, write_long(length) + b"a" * length)


@pytest.mark.parametrize(
    ("data", "good"),
    [
        (b"\x00", True),
        (b"\x80\x00", True),
        (b"\x80" * 9 + b"\x00", True),
        (b"\xff" * 9 + b"\x01", True),
        (b"\xff" * 9 + b"\x02", False),
        (b"\x80" * 10 + b"\x00", False),
        (b"\x80", False),
        (b"", False),
        (b"\x00\x00", False),
    ],
)
def test_a_long_has_64_bits_and_ends_with_the_event(kernels: Any, data: bytes, good: bool) -> None:
    assert accepts(kernels, kernels.LONG, data) is good


def test_an_int_has_32_bits(kernels: Any) -> None:
    for number in (2**31 - 1, -(2**31)):
        assert accepts(kernels, kernels.INT, write_long(number))
    for number in (2**31, -(2**31) - 1, 2**63 - 1, -(2**63)):
        assert not accepts(kernels, kernels.INT, write_long(number))


@given(words=st.lists(st.binary(max_size=30), min_size=2, max_size=20, unique=True))
@CHECKS
def test_equal_text_has_equal_hashes_wherever_it_stands(kernels: Any, words: list[bytes]) -> None:
    def digest(data: bytes, begin: int, end: int) -> int:
        return int(kernels.text_hash(as_array(data), np.uint64(begin), np.uint64(end)))

    for word in words:
        assert digest(b"xyz" + word + b"!", 3, 3 + len(word)) == digest(word, 0, len(word))


def test_hashes_of_categories_as_they_are_differ_in_their_low_bits(kernels: Any) -> None:
    words = [f"merchant-{number:06}".encode() for number in range(512)]
    slots = {int(kernels.text_hash(as_array(w), np.uint64(0), np.uint64(len(w)))) & 1023 for w in words}
    assert len(slots) > 350  # 403 are expected of a perfect hash


@pytest.mark.usefixtures("kernels")
def test_ids_are_read_where_the_framing_is_whole() -> None:
    values = [b"\x00\x00\x00\x01\x02rest", b"\x00\xff\xff\xff\xff", b"\x01\x00\x00\x00\x07", b"\x00\x00\x00\x00", b""]
    offsets = np.cumsum([0, *map(len, values)])
    ids = np.full(3, 5, np.int64)
    spans.read_ids(as_array(b"".join(values)), offsets, np.array([0, 1, 4]), ids)
    assert ids.tolist() == [258, 2**32 - 1, spans.NO_ID]
    spans.read_ids(as_array(b"".join(values)), offsets, np.array([2, 3, 1]), ids)
    assert ids.tolist() == [spans.NO_ID, spans.NO_ID, 2**32 - 1]


@pytest.mark.usefixtures("kernels")
@given(data=st.binary(max_size=60), tail=st.binary(max_size=60), random=st.randoms(use_true_random=False))
@CHECKS
def test_spans_are_joined(data: bytes, tail: bytes, random: Any) -> None:
    pieces = []
    for _ in range(random.randint(0, 5)):
        home, base = random.choice([(data, 0), (tail, len(data))])
        begin = random.randint(0, len(home))
        end = random.randint(begin, len(home))
        if begin < len(home) or begin == end:
            pieces.append((base + begin, home[begin:end]))
    starts = np.array([start for start, _ in pieces], np.int64)
    ends = np.cumsum([0, *(len(piece) for _, piece in pieces)])
    target = np.empty(int(ends[-1]), np.uint8)
    spans.gather(as_array(data), as_array(tail), starts, ends, target)
    assert target.tobytes() == b"".join(piece for _, piece in pieces)

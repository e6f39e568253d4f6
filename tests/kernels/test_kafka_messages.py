"""Messages to columns and back, with messages and functions that stand in for librdkafka's."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from stream_infer.kernels import kafka_messages
from stream_infer.kernels.compiled import as_python
from tests.kafka.fake_messages import FakeLibrary, Given


@pytest.fixture(params=["compiled", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernels, compiled or as plain Python, where numpy checks every index."""
    names = [name for name, made in vars(kafka_messages).items() if hasattr(made, "py_func")]
    if request.param == "plain":
        for name in names:
            monkeypatch.setattr(kafka_messages, name, as_python(getattr(kafka_messages, name)))
    return kafka_messages


class Columns(NamedTuple):
    places: list[list[int]]
    place_of: list[int]
    offsets: list[int]
    timestamps_ms: list[int]
    present: list[list[bool]]
    values: list[bytes]
    keys: list[bytes]
    headers: list[bytes]


def columns(kernels: Any, library: FakeLibrary) -> Columns:
    """Through both kernels, as a consumer does it."""
    count = len(library.pointers)
    scratch, places = np.zeros(4, np.uint64), np.zeros((count, 2), np.uint64)
    place_of, present = np.zeros(count, np.int32), np.zeros((2, count), np.bool_)
    numbers, ends = np.zeros((2, count), np.int64), np.zeros((3, count + 1), np.int64)
    calls = (library.functions, scratch, int(scratch.ctypes.data))
    met = kernels.measure(library.pointers, *calls, places, place_of, numbers, ends, present)
    values, keys, headers = (np.zeros(size, np.uint8) for size in ends[:, -1].tolist())
    kernels.gather(library.pointers, *calls, ends, int(values.ctypes.data), int(keys.ctypes.data), headers)
    parts = [
        [buffer[a:b].tobytes() for a, b in zip(row[:-1].tolist(), row[1:].tolist(), strict=True)]
        for buffer, row in zip((values, keys, headers), ends, strict=True)
    ]
    offsets, timestamps_ms = numbers.tolist()
    table, index = places[:met].tolist(), place_of.tolist()
    return Columns(table, index, offsets, timestamps_ms, present.tolist(), parts[0], parts[1], parts[2])


def test_values_and_keys_follow_each_other(kernels: Any) -> None:
    found = columns(
        kernels, FakeLibrary([Given(b"one", b"k1"), Given(b"", b""), Given(None, None), Given(b"two", None)])
    )
    assert found.values == [b"one", b"", b"", b"two"]
    assert found.keys == [b"k1", b"", b"", b""]
    assert found.present == [[True, True, False, True], [True, True, False, False]]


def test_offsets_and_timestamps_are_signed(kernels: Any) -> None:
    found = columns(kernels, FakeLibrary([Given(b"", offset=2**62, timestamp_ms=-1), Given(b"", offset=3)]))
    assert found.offsets == [2**62, 3]
    assert found.timestamps_ms == [-1, 1000]


def test_places_are_listed_as_they_are_met(kernels: Any) -> None:
    places = [(7, 1), (7, 1), (9, 1), (7, 0), (7, 1), (9, 1)]
    found = columns(kernels, FakeLibrary([Given(b"v", place=place) for place in places]))
    assert found.places == [[7, 1], [9, 1], [7, 0]]
    assert found.place_of == [0, 0, 1, 2, 0, 1]


def test_headers_are_copied_where_there_are_any(kernels: Any) -> None:
    some = [(b"trace", b"\x00\xff"), (b"null", None), (b"", b"")]
    found = columns(kernels, FakeLibrary([Given(b"a"), Given(b"b", headers=some), Given(b"c", headers=some[:1])]))
    first = b"\x05\0\0\0\x02\0\0\0trace\x00\xff"
    assert found.headers == [b"", first + b"\x04\0\0\0\xff\xff\xff\xffnull" + bytes(8), first]
    assert found.values == [b"a", b"b", b"c"]


def test_nothing_is_nothing(kernels: Any) -> None:
    assert columns(kernels, FakeLibrary([])).places == []


def test_errors_are_found_in_the_lower_half_of_their_word(kernels: Any) -> None:
    library = FakeLibrary([Given(b"a"), Given(b"why", error=-190), Given(b"b")])
    failed = np.ones(3, np.bool_)
    assert kernels.find_errors(library.pointers, failed) == 1
    assert failed.tolist() == [False, True, False]


def test_every_message_is_given_back_once(kernels: Any) -> None:
    library = FakeLibrary([Given(b"a"), Given(b"b"), Given(b"c")])
    kernels.destroy(library.pointers[:2], library.destroy)
    assert library.destroyed == [0, 1]


# ------------------------------------------------------------------ producing


class FakeProducer:
    """Takes messages as ``rd_kafka_produceva`` does, until it refuses one."""

    def __init__(self, refuse_at: int = -1) -> None:
        self.taken: list[tuple[int, int, bytes | None, bytes | None]] = []
        self.calls: list[tuple[int, int]] = []
        self._refuse_at = refuse_at
        prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 3)
        self._callback = prototype(self._produce)
        self.function = ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    def _produce(self, producer: int, units: int, count: int) -> int:
        if len(self.taken) == self._refuse_at:
            return 4711
        words = (ctypes.c_uint64 * (9 * count)).from_address(units)
        rows = [words[9 * unit : 9 * unit + 9] for unit in range(count)]
        partition = ctypes.c_int32(rows[0][1]).value
        self.taken.append((partition, rows[1][1], self._bytes(rows[2]), self._bytes(rows[3])))
        self.calls.append((producer, rows[4][1]))
        return 0

    @staticmethod
    def _bytes(unit: list[int]) -> bytes | None:
        return ctypes.string_at(unit[1], unit[2]) if unit[1] else None


def produce(kernels: Any, producer: FakeProducer, rows: Sequence[int]) -> tuple[int, int]:
    values = SimpleNamespace(data=np.frombuffer(b"xxonetwo", np.uint8), offsets=np.array([2, 5, 5, 8, 8]))
    values.present = np.array([True, True, True, False])
    keys: npt.NDArray[np.uint8] = np.frombuffer(b"ab", np.uint8)
    units = np.zeros((5, 9), np.uint64)
    units[4, 1] = 99
    return kernels.produce(  # type: ignore[no-any-return]  # numba's
        np.array(rows, np.int64),
        5,
        producer.function,
        units,
        int(units.ctypes.data),
        5,
        int(values.data.ctypes.data),
        values.offsets,
        values.present,
        int(keys.ctypes.data),
        np.array([0, 1, 1, 1, 2]),
        np.array([True, False, True, True]),
        np.array([-1, 0, 2**31 - 1, 3], np.int32),
        np.array([0, 1000, 2**41, 1]),
    )


MESSAGES = [(-1, 0, b"one", b"a"), (0, 1000, b"", None), (2**31 - 1, 2**41, b"two", b""), (3, 1, None, b"b")]


def test_rows_become_messages_in_the_order_asked_for(kernels: Any) -> None:
    producer = FakeProducer()
    taken, error = produce(kernels, producer, [3, 0, 2, 1])
    assert (taken, error) == (4, 0)
    assert producer.taken == [MESSAGES[3], MESSAGES[0], MESSAGES[2], MESSAGES[1]]


def test_what_is_the_same_for_all_stays_as_it_was(kernels: Any) -> None:
    producer = FakeProducer()
    produce(kernels, producer, [0, 1])
    assert producer.calls == [(5, 99)] * 2


def test_the_first_refusal_ends_the_run(kernels: Any) -> None:
    producer = FakeProducer(refuse_at=2)
    taken, error = produce(kernels, producer, [0, 1, 2, 3])
    assert (taken, error) == (2, 4711)
    assert producer.taken == MESSAGES[:2]


def test_no_rows_are_no_messages(kernels: Any) -> None:
    assert produce(kernels, FakeProducer(), []) == (0, 0)

"""The plain formats, tuned as far as they stay plain Python: getters made once, columns, outputs packed by hand.

Rule: the same packages and msgspec, what a good engineer does with them in an afternoon; what comes out says the same.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import numpy as np

from bench.rivals.contract import ID_FIELDS, OUTPUT_FRAME, Task
from bench.rivals.scorers import IMAGE_ID, IMAGE_PIXELS, THRESHOLD, AvroFormat, Features, Float32Rows, Format

_ONE_BYTE_LENGTH = 64
_TAIL = struct.Struct("<f?")

Getter = Callable[[Any], float | None]
Take = Callable[[str], Callable[[Any], Any]]


class Columns:
    """Rows of features, a column at a time: numpy reads None as NaN where it is told the type.

    Args:
        features: what the columns hold.
        take: what gets a field of an event.
    """

    def __init__(self, features: Features, take: Take) -> None:
        self._getters = [getter(path, codes, take) for path, codes in features.list]

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The model's input, ``[n, width]``."""
        rows = np.empty((len(events), len(self._getters)), np.float32)
        for place, get in enumerate(self._getters):
            rows[:, place] = np.array([get(event) for event in events], np.float32)
        return rows


class TunedAvroFormat(AvroFormat):
    """As `AvroFormat`, and the same outputs, byte for byte."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._columns = Columns(self._features, itemgetter)

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The model's input, ``[n, width]``."""
        return self._columns.rows(events)

    def encode(self, event: Any, score: float) -> bytes:
        """Id, score and flag."""
        name = str(event[self._id]).encode()
        if len(name) >= _ONE_BYTE_LENGTH:
            return super().encode(event, score)
        return b"%b%c%b%b" % (OUTPUT_FRAME, 2 * len(name), name, _TAIL.pack(score, score >= THRESHOLD))


class TunedJsonFormat:
    """JSON to structs that hold only what is needed, by msgspec."""

    def __init__(self, task: Task) -> None:
        features, id_field = Features(task.assets), ID_FIELDS[task.workload]
        wanted = struct_of("Event", [id_field, *(path for path, _ in features.list)])
        self._columns = Columns(features, attrgetter)
        self._id = attrgetter(id_field)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(wanted).decode
        self._write = msgspec.json.Encoder().encode

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The model's input, ``[n, width]``."""
        return self._columns.rows(events)

    def encode(self, event: Any, score: float) -> bytes:
        """Id and score."""
        return self._write({"id": self._id(event), "score": score})


class TunedImageFormat:
    """The pixels' text read as a list in JSON, which msgspec does in a fraction of the time of ``float``."""

    def __init__(self) -> None:
        self._id, self._pixels = attrgetter(IMAGE_ID), attrgetter(IMAGE_PIXELS)
        self._numbers = msgspec.json.Decoder(list[float]).decode
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct_of("Image", [IMAGE_ID, IMAGE_PIXELS])).decode

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The pixels, ``[n, 784]``."""
        return np.array([self._numbers(f"[{self._pixels(event)}]") for event in events], np.float32)

    def encode(self, event: Any, score: float) -> bytes:
        """Id and score."""
        return b'{"id":%d,"score":%a}' % (self._id(event), score)


def tuned_format(task: Task) -> Format:
    """The tuned code for a task's workload."""
    if task.workload == "crayfish":
        return TunedImageFormat()
    if task.workload == "payment_json":
        return TunedJsonFormat(task)
    return TunedAvroFormat(task)


def getter(path: str, codes: Mapping[str, int] | None, take: Take) -> Getter:
    """What takes a feature from an event: None where there is no value, -1 for text that has no code."""
    parts = path.split(".")
    if codes is not None:
        get = _walk(parts, take)
        return lambda event: None if (text := get(event)) is None else codes.get(text, -1)
    return _walk(parts, take)


def _walk(parts: Sequence[str], take: Take) -> Callable[[Any], Any]:
    if len(parts) == 1:
        return take(parts[0])
    outer, inner = take(parts[0]), _walk(parts[1:], take)
    return lambda event: None if (record := outer(event)) is None else inner(record)


def struct_of(name: str, paths: Sequence[str]) -> type[msgspec.Struct]:
    """A struct with the fields that ``paths`` name; dots lead into structs within it, which may be null."""
    below: dict[str, list[str]] = {}
    for path in paths:
        head, _, rest = path.partition(".")
        below.setdefault(head, []).append(rest)
    fields = [(head, Any if rests == [""] else struct_of(head, rests) | None) for head, rests in below.items()]
    return msgspec.defstruct(name, fields)

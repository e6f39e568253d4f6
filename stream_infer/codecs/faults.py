"""What is wrong with one event, as a value.

Rule: inside a codec a bad event is a `BadEvent` (while walking its bytes) or a `Fault` (once known); it ends
as a status and a sentence in `Verdicts`, and never leaves the codec as an exception. A sentence names fields
and types, never a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from stream_infer.types import Status, UInt8Array

Path = tuple[str, ...]

MAX_DETAIL_CHARS = 500
"""Longest sentence about an event. It names types and fields, and a schema may call those by a megabyte."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an event cannot be used: a status and a sentence. May stand in a column in place of a value."""

    status: Status
    detail: str

    def at(self, place: str) -> Fault:
        """The same fault, said of ``place``."""
        return Fault(self.status, f"{place}: {self.detail}")


class BadEvent(Exception):
    """Raised by the walkers at the byte or value that is wrong; records add the path on its way up."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.path: Path = ()

    def within(self, name: str) -> BadEvent:
        """The same error, one record further out."""
        self.path = (name, *self.path)
        return self

    @property
    def fault(self) -> Fault:
        """The error as a value."""
        place = ".".join(self.path)
        return Fault(self.status, f"{place}: {self.detail}" if place else self.detail)


class SchemaRefused(Exception):
    """A schema that must not or cannot be used; the message says why."""


def wrong_type(expected: str, value: Any) -> Fault:
    """A `Status.WRONG_TYPE` fault for ``value``, which is named by its type only."""
    return Fault(Status.WRONG_TYPE, f"expected {expected}, found {describe(value)}")


def fail(fault: Fault) -> NoReturn:
    """Raise ``fault`` as a `BadEvent`."""
    raise BadEvent(fault.status, fault.detail)


_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "text",
    bytes: "bytes",
    list: "an array",
    dict: "an object",
}


def describe(value: Any) -> str:
    """The type of a value in words."""
    return _NAMES.get(type(value), f"a {type(value).__name__}")


@dataclass(slots=True)
class Verdicts:
    """The status and details columns of a batch while it is decoded. The first fault of a row stands."""

    status: UInt8Array
    details: dict[int, str] = field(default_factory=dict)

    @classmethod
    def all_ok(cls, count: int) -> Verdicts:
        """``count`` rows, none rejected yet."""
        return cls(np.zeros(count, np.uint8))

    def reject(self, row: int, fault: Fault) -> None:
        """Reject one row, unless it already is."""
        if self.status[row] == Status.OK:
            self.status[row] = fault.status
            if fault.detail:
                self.details[row] = fault.detail[:MAX_DETAIL_CHARS]

"""The way through the events of one writer: compiled once per writer's schema.

Rule: one pass over an event's bytes checks all of it (`walk`), keeps what the features need as values, and what
is carried to the output as bytes of the reader's type. Which written field is which reader's field is settled
here, by name and alias; what the writer lacks is filled from defaults before the pass begins. A producer's
schema may therefore change while the service runs: the next schema id simply gets its own program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from stream_infer.codecs.faults import BadEvent, Fault, SchemaRefused
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.meaning import avro_conversion
from stream_infer.codecs.paths import EventPath, record_of
from stream_infer.codecs.resolve import match_fields, resolver, same_encoding
from stream_infer.codecs.schema import Node
from stream_infer.codecs.walk import PAST_END, Read, read_long, reader, truncated
from stream_infer.types import Status

Row: TypeAlias = list[Any]
Walk: TypeAlias = Callable[[bytes, int, Row], int]


@dataclass(slots=True)
class Need:
    """What is wanted of one field of the reader's schema: slots of the row, and needs of fields below."""

    path: EventPath | None = None
    slot: int = -1
    carry_slot: int = -1
    carry_default: bytes | Fault = b""
    below: dict[str, Need] = field(default_factory=dict)

    def slots(self) -> Iterator[int]:
        """The slots of this field's value and of all below."""
        if self.path is not None:
            yield self.slot
        for need in self.below.values():
            yield from need.slots()

    def defaults(self, level: int) -> Iterator[tuple[int, Any]]:
        """Slots with the value they take where the field, ``level`` levels into its path, is absent."""
        if self.carry_slot >= 0:
            yield self.carry_slot, self.carry_default
        if self.path is not None:
            yield self.slot, self.path.steps[level].absent
        for need in self.below.values():
            yield from need.defaults(level)


def needs_of(layout: Layout) -> dict[str, Need]:
    """The needs of a layout by top-level field. A row has the layout's paths first, then its carried fields."""
    needs: dict[str, Need] = {}
    for slot, path in enumerate(layout.paths):
        level = needs
        for step in path.steps[:-1]:
            level = level.setdefault(step.field.name, Need()).below
        leaf = level.setdefault(path.steps[-1].field.name, Need())
        leaf.path, leaf.slot = path, slot
    for place, (carried, default) in enumerate(zip(layout.carried, layout.carried_defaults, strict=True)):
        need = needs.setdefault(carried.name, Need())
        need.carry_slot, need.carry_default = len(layout.paths) + place, default
    return needs


class Program:
    """Decodes events of one writer's schema into rows."""

    def __init__(self, written: Node, layout: Layout) -> None:
        """Compile.

        Raises:
            SchemaRefused: the writer's schema is no record.
        """
        if written.kind != "record":
            raise SchemaRefused(f"an event must be a record, and its schema says {written.kind}")
        self._blank: Row = [None] * (len(layout.paths) + len(layout.carried))
        self._walk = _record(written, layout.schema, needs_of(layout), 0)

    def run(self, value: bytes, start: int) -> Row:
        """Decode one event whose bytes begin at ``start``. Raises BadEvent."""
        row = self._blank.copy()
        end = self._walk(value, start, row)
        if end != len(value):
            raise BadEvent(Status.TRAILING_BYTES, f"{len(value) - end} bytes are left after the event")
        return row


def _record(written: Node, read: Node, needs: dict[str, Need], level: int) -> Walk:
    matches = match_fields(written, read)
    steps: list[tuple[str, Walk]] = []
    for theirs in written.fields:
        ours = matches.get(theirs.name)
        need = needs.get(ours.name) if ours is not None else None
        if ours is None or need is None:
            steps.append((theirs.name, _skip(theirs.node)))
        else:
            steps.append((theirs.name, _field(theirs.node, ours.node, need, level)))
    found = {ours.name for ours in matches.values()}
    absent = [need for name, need in needs.items() if name not in found]
    return _sequence(tuple(steps), [constant for need in absent for constant in need.defaults(level)])


def _sequence(steps: tuple[tuple[str, Walk], ...], constants: list[tuple[int, Any]]) -> Walk:
    def walk(buffer: bytes, position: int, row: Row) -> int:
        for slot, value in constants:
            row[slot] = value
        field_name = ""
        try:
            for field_name, step in steps:  # noqa: B007 - the handlers below name the field
                position = step(buffer, position, row)
        except BadEvent as bad:
            raise bad.within(field_name) from None
        except PAST_END:
            raise truncated().within(field_name) from None
        return position

    return walk


def _field(written: Node, read: Node, need: Need, level: int) -> Walk:
    if need.path is not None:
        walk = _store(reader(written, avro_conversion(read)), need.slot)
    elif need.below:
        walk = _nested(written, read, need, level + 1)
    else:
        walk = _skip(written)
    return walk if need.carry_slot < 0 else _carry(walk, written, read, need.carry_slot)


def _skip(written: Node) -> Walk:
    read = reader(written, keep=False)
    return lambda buffer, position, _row: read(buffer, position)[1]


def _store(read: Read, slot: int) -> Walk:
    def store(buffer: bytes, position: int, row: Row) -> int:
        row[slot], position = read(buffer, position)
        return position

    return store


def _nested(written: Node, read: Node, need: Need, level: int) -> Walk:
    """A field on the way to a feature: its record is walked, a null leaves the features missing."""
    branches = [_branch(branch, read, need, level) for branch in written.branches]
    if written.kind != "union":
        return branches[0]

    def nested(buffer: bytes, position: int, row: Row) -> int:
        index, position = read_long(buffer, position)
        if not 0 <= index < len(branches):
            raise BadEvent(Status.MALFORMED, "a union index is out of range")
        return branches[index](buffer, position, row)

    return nested


def _branch(written: Node, read: Node, need: Need, level: int) -> Walk:
    record = record_of(read)
    if written.kind == "record" and record is not None:
        return _record(written, record, need.below, level)
    if written.kind == "null":
        return lambda _buffer, position, _row: position
    fault = Fault(Status.WRONG_TYPE, f"expected a record on the way, found {written.kind}")
    slots = tuple(need.slots())
    skip = reader(written, keep=False)

    def misplaced(buffer: bytes, position: int, row: Row) -> int:
        for slot in slots:
            row[slot] = fault
        return skip(buffer, position)[1]

    return misplaced


def _carry(walk: Walk, written: Node, read: Node, slot: int) -> Walk:
    """Also keep a field's bytes, in the reader's type. What has no counterpart there is a fault, for later."""
    if same_encoding(written, read):

        def copy(buffer: bytes, position: int, row: Row) -> int:
            end = walk(buffer, position, row)
            row[slot] = buffer[position:end]
            return end

        return copy
    resolve = resolver(written, read)

    def rewrite(buffer: bytes, position: int, row: Row) -> int:
        end = walk(buffer, position, row)
        try:
            row[slot], _ = resolve(buffer, position)
        except BadEvent as bad:  # the bytes are good (walk has read them): the value has no counterpart
            row[slot] = bad.fault
        return end

    return rewrite

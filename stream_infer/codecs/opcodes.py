"""From a writer's schema to the program that the decode kernel runs over its events.

Rule: the program takes the same way through an event as `stream_infer.codecs.program` does, field by field, and stops
being sure wherever that one would reject. What the kernel cannot do for a feature or a carried field it leaves as a
span of the event's bytes (`LateFeature`, `Rewrite`), which Python reads afterwards: one feature that is not covered
does not slow the others.

Covered, straight into cells: numbers, booleans and times of every type, also behind unions and in nested records;
categories in strings and enums; arrays of floats and doubles; constants for what the writer lacks. Late: decimals and
other bytes, comma-joined text, other arrays, inputs of strings. What is wrong for every event of a branch (text where a
number is needed) is a ``FAIL`` in the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_infer.codecs.cells import (
    NUMBER_KINDS,
    WHOLE_KINDS,
    Categories,
    CellRange,
    CellTables,
    Target,
    constant,
    takes,
)
from stream_infer.codecs.faults import Fault
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.meaning import avro_conversion
from stream_infer.codecs.paths import record_of
from stream_infer.codecs.program import Need, needs_of
from stream_infer.codecs.resolve import Resolve, match_fields, resolver, same_encoding
from stream_infer.codecs.schema import Node
from stream_infer.codecs.walk import Convert, Read, reader
from stream_infer.kernels import avro_decode as kernel
from stream_infer.types import Int64Array, UInt8Array

NO_CELLS: CellRange = (0, 0)
MAX_BYTES = 2**62
"""Stands for any greater number of bytes: no event is as long."""

_VALUE_OPS = {
    "boolean": kernel.BOOLEAN,
    "int": kernel.INT,
    "long": kernel.LONG,
    "float": kernel.FLOAT,
    "double": kernel.DOUBLE,
    "bytes": kernel.BYTES,
    "string": kernel.STRING,
}
_UNREAD: Read = reader(Node("null"))
"""Reads a span that has no bytes."""
_PROBE_TICKS = 10**9
"""A whole number of seconds in every unit, so that dividing by it and again by the result is exact."""


class Tables(NamedTuple):
    """A program as the kernel takes it; the order is that of its arguments."""

    code: Int64Array
    branches: Int64Array
    cells: Int64Array
    factors: npt.NDArray[np.float64]
    codes: Int64Array
    categories: Int64Array
    letters: UInt8Array


@dataclass(frozen=True, slots=True)
class LateFeature:
    """A path whose features are filled in Python, from the span of its field."""

    span: int
    targets: tuple[Target, ...]
    read: Read
    absent: Any
    """The value where the writer has no such field."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A carried field whose bytes are not those of the reader's type."""

    span: int
    resolve: Resolve


@dataclass(frozen=True, slots=True)
class KernelProgram:
    """The way through the events of one writer.

    Spans are numbered: first the carried fields of the layout, then the late features.
    """

    tables: Tables
    depth: int
    """Deepest nesting of arrays and maps."""
    spans: int
    late: tuple[LateFeature, ...]
    rewrites: tuple[Rewrite, ...]
    defaults: tuple[tuple[int, bytes], ...]
    """Spans of carried fields that the writer lacks, and what stands for them."""


def assemble(written: Node, layout: Layout, targets: Sequence[Target], categories: Categories) -> KernelProgram:
    """Compile the program for a writer's schema, which must be a record."""
    by_path: dict[str, list[Target]] = {}
    for target in targets:
        by_path.setdefault(target.filler.feature.path, []).append(target)
    assembler = _Assembler(by_path, len(layout.paths), len(layout.carried))
    assembler.record(written, layout.schema, needs_of(layout), 0)
    return assembler.finished(categories)


Instruction: TypeAlias = list[int]


@dataclass(slots=True)
class _Assembler:
    """Writes instructions in the order of the written bytes. ``level`` counts records, as in `program`."""

    by_path: dict[str, list[Target]]
    paths: int
    spans: int
    code: list[Instruction] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    tables: CellTables = field(default_factory=CellTables)
    late: dict[int, LateFeature] = field(default_factory=dict)
    rewrites: list[Rewrite] = field(default_factory=list)
    defaults: list[tuple[int, bytes]] = field(default_factory=list)
    open_blocks: int = 0
    depth: int = 0

    def finished(self, categories: Categories) -> KernelProgram:
        tables = Tables(
            np.array(self.code, np.int64).reshape(-1, 4),
            np.array(self.branches, np.int64),
            np.array(self.tables.cells, np.int64).reshape(-1, kernel.UNSEEN + 1),
            np.array(self.tables.factors, np.float64).reshape(-1, kernel.REAL_MISSING + 1),
            np.array(self.tables.codes, np.int64),
            categories.slots,
            categories.letters,
        )
        late, rewrites, defaults = tuple(self.late.values()), tuple(self.rewrites), tuple(self.defaults)
        return KernelProgram(tables, self.depth, self.spans, late, rewrites, defaults)

    def emit(self, op: int, first: int = 0, last: int = 0, extra: int = 0) -> Instruction:
        self.code.append([op, first, last, min(extra, MAX_BYTES)])
        return self.code[-1]

    # ---------------------------------------------------------------- records

    def record(self, written: Node, read: Node, needs: dict[str, Need], level: int) -> None:
        matches = match_fields(written, read)
        found = {ours.name for ours in matches.values()}
        for name, need in needs.items():
            if name not in found:
                self.absent(need, level)
        for theirs in written.fields:
            ours = matches.get(theirs.name)
            if ours is None or ours.name not in needs:
                self.passed(theirs.node)
            else:
                self.needed(theirs.node, ours.node, needs[ours.name], level)

    def absent(self, need: Need, level: int) -> None:
        """A field that the writer lacks."""
        if need.carry_slot >= 0:
            if isinstance(need.carry_default, Fault):
                self.emit(kernel.FAIL)
            else:
                self.defaults.append((need.carry_slot - self.paths, need.carry_default))
        if need.path is not None:
            self.absent_value(need, need.path.steps[level].absent)
        for below in need.below.values():
            self.absent(below, level)

    def absent_value(self, need: Need, value: Any) -> None:
        # An array or comma-joined text is taken apart first; a missing one means the same for every cell of it.
        single = [t for t in self.targets(need) if t.place and (value is None or t.filler.feature.format is None)]
        late = tuple(target for target in self.targets(need) if target not in single)
        if any(constant(target.filler, value) is None for target in single):
            self.emit(kernel.FAIL)
        elif single:
            self.emit(kernel.MISSING, *self.tables.constants(single, value))
        if late:
            self.emit(kernel.MARK, self.late_span(need, late, _UNREAD, value), extra=kernel.ABSENT_SPAN)

    def needed(self, written: Node, read: Node, need: Need, level: int) -> None:
        """A field that features or the output need."""
        span = need.carry_slot - self.paths
        if span >= 0:
            self.emit(kernel.SPAN_BEGIN, span)
        if need.path is not None:
            self.leaf(written, read, need)
        elif need.below:
            self.nested(written, read, need, level + 1)
        else:
            self.passed(written)
        if span >= 0:
            self.emit(kernel.SPAN_END, span)
            if not same_encoding(written, read):
                self.rewrites.append(Rewrite(span, resolver(written, read)))

    def nested(self, written: Node, read: Node, need: Need, level: int) -> None:
        """A field on the way to features. Of a union, the first record is walked; events with another are not done."""
        record = record_of(read)
        walked = record_of(written)

        def branch(node: Node) -> None:
            if node is walked and record is not None:
                self.record(node, record, need.below, level)
            elif node.kind == "null":
                self.null_on_the_way(need)
            else:
                self.emit(kernel.FAIL)

        # The record comes first: what it leaves to Python is then known where a null stands in its place.
        order = sorted(range(len(written.branches)), key=lambda index: written.branches[index] is not walked)
        self.branched(written, order, branch)

    def null_on_the_way(self, need: Need) -> None:
        for below in need.below.values():
            self.null_on_the_way(below)
        if need.path is None:
            return
        known = self.late.get(need.slot)
        covered = [t for t in self.targets(need) if t.place and (known is None or t not in known.targets)]
        late = tuple(target for target in self.targets(need) if target not in covered)
        if covered:
            self.emit(kernel.MISSING, *self.tables.constants(covered, None))
        if late:
            self.emit(kernel.MARK, self.late_span(need, late, _UNREAD), extra=kernel.NO_SPAN)

    # ---------------------------------------------------------------- values

    def leaf(self, written: Node, read: Node, need: Need) -> None:
        """A field that features take their values from."""
        convert = avro_conversion(read)
        covered = [target for target in self.targets(need) if takes(target, written, convert)]
        arrays = [target for target in covered if target.filler.feature.format == "array"]
        covered = [target for target in covered if target not in arrays[1:]]
        late = tuple(target for target in self.targets(need) if target not in covered)
        span = self.late_span(need, late, reader(written, convert)) if late else -1
        if late:
            self.emit(kernel.SPAN_BEGIN, span)
        branches = written.branches
        self.branched(written, range(len(branches)), lambda node: self.value(node, covered, convert))
        if late:
            self.emit(kernel.SPAN_END, span)

    def value(self, written: Node, targets: Sequence[Target], convert: Convert) -> None:
        """A value (no union) that goes to cells."""
        kind = written.kind
        if not targets:
            self.passed(written)
        elif kind == "null":
            self.emit(kernel.MISSING, *self.tables.constants(targets, None))
        elif kind in NUMBER_KINDS and all(target.is_number for target in targets):
            cells = self.tables.numbers(targets, written, _ticks_per_second(written, convert))
            self.emit(_VALUE_OPS[kind], *cells)
        elif kind == "string" and all(target.is_category for target in targets):
            self.emit(kernel.STRING, *self.tables.texts(targets))
        elif kind == "enum" and all(target.is_category for target in targets):
            conversion = convert(written)
            symbols = written.symbols if conversion is None else list(map(conversion, written.symbols))
            self.emit(kernel.ENUM, *self.tables.symbols(targets, symbols), len(symbols))
        elif kind == "array" and all(target.filler.feature.format == "array" for target in targets):
            self.emit(_array_op(written), *self.tables.numbers(targets, written, 1))
        else:
            self.emit(kernel.FAIL)

    def passed(self, written: Node) -> None:
        """A value that is only checked."""
        if written.kind in _VALUE_OPS:
            self.emit(_VALUE_OPS[written.kind], *NO_CELLS)
        elif written.kind == "enum":
            self.emit(kernel.ENUM, *NO_CELLS, len(written.symbols))
        elif written.kind == "fixed":
            self.emit(kernel.FIXED, *NO_CELLS, written.size)
        elif written.kind == "record":
            for part in written.fields:
                self.passed(part.node)
        elif written.kind == "union":
            self.branched(written, range(len(written.branches)), self.passed)
        elif written.kind == "array" and written.children[0].kind in ("float", "double"):
            self.emit(_array_op(written), *NO_CELLS)
        elif written.kind != "null":
            self.blocks(written)

    def blocks(self, written: Node) -> None:
        """An array or a map that is only checked."""
        item, keyed = written.children[0], written.kind == "map"
        depth = self.open_blocks
        self.open_blocks += 1
        self.depth = max(self.depth, self.open_blocks)
        at = len(self.code)
        head = self.emit(kernel.BLOCK, depth, 0, item.min_bytes + keyed)
        if keyed:
            self.emit(kernel.STRING, *NO_CELLS)
        self.passed(item)
        self.emit(kernel.NEXT, depth, at)
        head[2] = len(self.code)
        self.open_blocks -= 1

    def branched(self, written: Node, order: Iterable[int], branch: Callable[[Node], None]) -> None:
        """Write the branches of a union in some order, or the one type that it is."""
        if written.kind != "union":
            branch(written)
            return
        first, count = len(self.branches), len(written.children)
        self.branches += [0] * count
        self.emit(kernel.UNION, count, first)
        jumps, empty = [], []
        for index in order:
            begin = len(self.code)
            branch(written.children[index])
            if len(self.code) == begin:
                empty.append(index)
            else:
                self.branches[first + index] = begin
                jumps.append(self.emit(kernel.JUMP))
        if jumps:
            self.code.pop()
        for jump in jumps:
            jump[1] = len(self.code)
        for index in empty:
            self.branches[first + index] = len(self.code)

    def targets(self, need: Need) -> list[Target]:
        return self.by_path[need.path.path] if need.path is not None else []

    def late_span(self, need: Need, targets: tuple[Target, ...], read: Read, absent: Any = None) -> int:
        if need.slot not in self.late:
            self.late[need.slot] = LateFeature(self.spans, targets, read, absent)
            self.spans += 1
        return self.late[need.slot].span


def _array_op(written: Node) -> int:
    return kernel.FLOATS if written.children[0].kind == "float" else kernel.DOUBLES


def _ticks_per_second(written: Node, convert: Convert) -> float:
    """What the numbers of a written type are divided by: for whole numbers, the only conversion there is."""
    conversion = convert(written) if written.kind in WHOLE_KINDS else None
    return 1.0 if conversion is None else _PROBE_TICKS / float(conversion(_PROBE_TICKS))

"""Features as the decode kernel has them: where their cells stand, and their rules as numbers.

Rule: what a value means is said by `stream_infer.codecs.features` alone. Constants and codes are found by asking a
feature's rule; only offset and scale are handed on, and the kernel computes the same expression. A rule that numbers
cannot say is not handed on (`takes`): its feature is read from the bytes later, in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_infer.codecs.faults import BadEvent
from stream_infer.codecs.features import INT64_MAX, INT64_MIN, CellFiller
from stream_infer.codecs.schema import Node
from stream_infer.codecs.walk import Convert
from stream_infer.kernels import avro_decode as kernel
from stream_infer.projection import ModelInput
from stream_infer.types import Int64Array, UInt8Array

CellRange: TypeAlias = tuple[int, int]
"""First cell, and the one behind the last."""

CELL_KINDS = {"float32": kernel.SINGLE_CELL, "float64": kernel.DOUBLE_CELL, "int64": kernel.WHOLE_CELL}
"""Of each dtype that the kernel fills."""

WHOLE_KINDS = ("boolean", "int", "long")
NUMBER_KINDS = (*WHOLE_KINDS, "float", "double")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an input stands in the buffer of its dtype: behind ``base`` columns of others, ``width`` columns itself."""

    base: int
    width: int


@dataclass(frozen=True, slots=True)
class Target:
    """A feature and where its cells stand."""

    filler: CellFiller
    input_name: str
    place: Place | None
    """None for an input that the kernel does not fill."""
    table: CellRange = (0, 1)
    """Slots of its categories."""

    @property
    def is_number(self) -> bool:
        """True for a single number."""
        return self.filler.feature.categories is None and self.filler.feature.format is None

    @property
    def is_category(self) -> bool:
        """True for a single category."""
        return self.filler.feature.categories is not None and self.filler.feature.format is None


@dataclass(frozen=True, slots=True)
class Categories:
    """The hash tables of all features' categories, as the kernel takes them."""

    slots: Int64Array
    letters: UInt8Array


class _CategoryTables:
    def __init__(self) -> None:
        self._letters = bytearray()
        self._slots: list[npt.NDArray[np.int64]] = []
        self._count = 0

    def add(self, filler: CellFiller) -> CellRange:
        """Add the table of a feature; a quarter full at least, half full at most."""
        codes = {word: constant(filler, word) for word in filler.feature.categories or ()}
        words = {word: code for word, code in codes.items() if isinstance(code, int)}
        size = 2 << len(words).bit_length()
        table = np.full((size, 3), -1, np.int64)
        for word, code in words.items():
            letters = word.encode(errors="surrogatepass")  # a lone surrogate equals no text, and nor do these bytes
            slot = text_hash(letters) & (size - 1)
            while table[slot, kernel.SIZE] >= 0:
                slot = (slot + 1) & (size - 1)
            table[slot] = len(self._letters), len(letters), code
            self._letters += letters
        self._slots.append(table)
        self._count += size
        return self._count - size, self._count

    def joined(self) -> Categories:
        slots = np.concatenate(self._slots) if self._slots else np.empty((0, 3), np.int64)
        return Categories(slots, read_only(np.frombuffer(bytes(self._letters), np.uint8)))


def text_hash(letters: bytes) -> int:
    """The kernel's hash of text."""
    array = np.frombuffer(letters, np.uint8)
    return int(kernel.text_hash(read_only(array), np.uint64(0), np.uint64(len(array))))


def read_only(array: UInt8Array) -> UInt8Array:
    """A view that cannot be written to: kernels are compiled for one of both kinds of arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


def find_places(inputs: Sequence[ModelInput]) -> tuple[list[Place | None], dict[str, int]]:
    """The inputs' places, and the columns of each dtype: inputs of one dtype stand one behind the other in a buffer."""
    widths = dict.fromkeys(CELL_KINDS, 0)
    places: list[Place | None] = []
    for model_input in inputs:
        if model_input.dtype in widths:
            places.append(Place(widths[model_input.dtype], model_input.width))
            widths[model_input.dtype] += model_input.width
        else:
            places.append(None)
    return places, widths


def find_targets(
    inputs: Sequence[tuple[ModelInput, Sequence[CellFiller]]], places: Sequence[Place | None]
) -> tuple[list[Target], Categories]:
    """The features with the places of their inputs, and the tables of their categories."""
    tables = _CategoryTables()
    targets = []
    for (model_input, fillers), place in zip(inputs, places, strict=True):
        for filler in fillers:
            table = tables.add(filler) if place and filler.feature.categories is not None else (0, 1)
            targets.append(Target(filler, model_input.name, place, table))
    return targets, tables.joined()


def constant(filler: CellFiller, value: Any) -> float | int | str | None:
    """The cell of a value; None where the feature's rule refuses it, or its dtype cannot hold it."""
    try:
        cell = filler.rule(value)
    except BadEvent:
        return None
    return None if isinstance(cell, int) and not INT64_MIN < cell <= INT64_MAX else cell


def _code(cell: Any) -> int:
    """A category's code, as the kernel takes it."""
    return cell if isinstance(cell, int) and INT64_MIN < cell <= INT64_MAX else kernel.REFUSED


def takes(target: Target, written: Node, convert: Convert) -> bool:
    """True where the kernel can fill the feature's cells from values of a written type, or knows that it must not.

    ``convert`` is what the reader's type makes of the written one (`stream_infer.codecs.meaning.avro_conversion`).
    """
    return target.place is not None and all(_takes_branch(target, branch, convert) for branch in written.branches)


def _takes_branch(target: Target, written: Node, convert: Convert) -> bool:
    feature = target.filler.feature
    if written.kind in WHOLE_KINDS:
        return not _adds_whole(target.filler) or abs(feature.offset) < INT64_MAX
    if written.kind == "string":
        return feature.format != "csv" and convert(written) is None
    if written.kind == "enum":
        return feature.format != "csv"
    if written.kind == "array" and feature.format == "array":
        return feature.categories is None and written.children[0].kind in ("float", "double")
    # Of bytes only Python knows what they mean (a decimal, text).
    return written.kind not in ("bytes", "fixed")


def _adds_whole(filler: CellFiller) -> bool:
    """True where the rule adds whole numbers to whole numbers (rule 4 of `stream_infer.codecs.features`)."""
    feature = filler.feature
    return filler.dtype == "int64" and feature.scale == 1 and feature.offset == int(feature.offset)


@dataclass(slots=True)
class CellTables:
    """The tables of cells of one program, while they grow."""

    cells: list[list[int]] = field(default_factory=list)
    factors: list[list[float]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def numbers(self, targets: Sequence[Target], written: Node, ticks_per_second: float) -> CellRange:
        """Cells for numbers of a written type, which are divided by ``ticks_per_second`` (1 for plain numbers)."""
        first = len(self.cells)
        for target in targets:
            whole = written.kind in WHOLE_KINDS and ticks_per_second == 1 and _adds_whole(target.filler)
            self._add(target, target.filler.feature.length, None, ticks_per_second)
            if whole:
                self.cells[-1][kernel.KIND] = kernel.EXACT_CELL
                self.cells[-1][kernel.OFFSET] = int(target.filler.feature.offset)
        return first, len(self.cells)

    def texts(self, targets: Sequence[Target]) -> CellRange:
        """Cells for categories that are written as text."""
        first = len(self.cells)
        for target in targets:
            self._add(target, 1, None)
            begin, end = target.table
            self.cells[-1][kernel.FIRST], self.cells[-1][kernel.MASK] = begin, end - begin - 1
            self.cells[-1][kernel.UNSEEN] = _code(target.filler.feature.unseen)
        return first, len(self.cells)

    def symbols(self, targets: Sequence[Target], symbols: Sequence[Any]) -> CellRange:
        """Cells for categories that are written as symbols of an enum (in the reader's words)."""
        first = len(self.cells)
        for target in targets:
            self._add(target, 1, None)
            self.cells[-1][kernel.FIRST] = len(self.codes)
            self.codes += [_code(constant(target.filler, symbol)) for symbol in symbols]
        return first, len(self.cells)

    def constants(self, targets: Sequence[Target], value: Any) -> CellRange:
        """Cells that take what the rules make of one value, wherever their event lacks it."""
        first = len(self.cells)
        for target in targets:
            self._add(target, target.filler.feature.length, value)
        return first, len(self.cells)

    def _add(self, target: Target, length: int, missing: Any, divisor: float = 1) -> None:
        filler, place = target.filler, target.place
        assert place is not None, "the kernel does not fill this input"
        cell = constant(filler, missing)
        row = [0] * (kernel.UNSEEN + 1)
        row[kernel.KIND], row[kernel.LENGTH] = CELL_KINDS[filler.dtype], length
        row[kernel.BASE], row[kernel.STRIDE], row[kernel.COLUMN] = place.base, place.width, filler.start
        row[kernel.HAS_MISSING] = cell is not None
        if filler.dtype == "int64" and isinstance(cell, int):
            row[kernel.WHOLE_MISSING] = cell
        real = 0.0 if cell is None or isinstance(cell, str) else float(cell)
        self.cells.append(row)
        self.factors.append([divisor, filler.feature.offset, filler.feature.scale, real])

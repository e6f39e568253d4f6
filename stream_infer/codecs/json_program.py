"""What a layout asks of a JSON event, as the tables that the kernels walk by.

Rule: what a value means is said by `stream_infer.codecs.features` and `stream_infer.codecs.meaning` alone: constants
are found by asking a feature's rule. What numbers cannot say (`LateFeature`, `Program.late_checks`) is done in Python,
from the span of the value: one feature that is not covered does not slow the others.

Covered: float32 cells of numbers, booleans, times, categories, and lists of numbers as an array or as text; carried
fields that are null, booleans, numbers, text or enums, also in unions. Late: cells of other dtypes, text that is a
decimal, lists of categories; carried bytes, arrays, maps and records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_infer.codecs.cells import read_only
from stream_infer.codecs.faults import Fault, Verdicts
from stream_infer.codecs.features import CellFiller, empty_input
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.meaning import plain_conversion, plain_divisor
from stream_infer.codecs.paths import EventPath, is_own, record_of
from stream_infer.codecs.program import Need, needs_of
from stream_infer.codecs.schema import Node
from stream_infer.kernels import json_cells, json_spans
from stream_infer.kernels.json_cells import NOT_SURE
from stream_infer.kernels.json_tables import Actions, Scratch, Wanted
from stream_infer.projection import ModelInput

_KEYS_KEPT = 128
"""As many keys of an event are looked for where they stood in the event before."""
_CHECKS = {
    "null": json_cells.NULL,
    "boolean": json_cells.BOOLEAN,
    "int": json_cells.INT32,
    "long": json_cells.INT64,
    "float": json_cells.FLOAT32,
    "double": json_cells.FLOAT64,
    "string": json_cells.TEXT,
    "enum": json_cells.SYMBOL,
}


@dataclass(frozen=True, slots=True)
class LateFeature:
    """A feature that is filled in Python; ``span`` is -1 for one of the record's own (``$key`` and others)."""

    input_name: str
    filler: CellFiller
    path: int
    """Place of its path in the layout."""
    span: int


@dataclass(frozen=True, slots=True)
class Program:
    """The tables of a layout.

    Attributes:
        wanted: which values are needed.
        actions: what is done with them.
        spans: number of needed values.
        depth: levels of needed objects.
        width: cells of all inputs that the kernel fills.
        bases: first cell of each of these inputs.
        late: features that are filled in Python, in the order of the feature list.
        carried_spans: the span of each carried field.
        late_checks: places of carried fields whose values are checked in Python.
    """

    wanted: Wanted
    actions: Actions
    spans: int
    depth: int
    width: int
    bases: dict[str, int]
    late: tuple[LateFeature, ...]
    carried_spans: tuple[int, ...]
    late_checks: tuple[int, ...]

    def scratch(self) -> Scratch:
        """Memory for one batch."""
        seen, path = np.zeros(len(self.wanted.fields), np.int64), np.zeros(self.depth, np.int64)
        return Scratch(seen, path, np.zeros((_KEYS_KEPT, 4), np.int64))


def compile_layout(layout: Layout) -> Program | None:
    """The program of a layout; None where two fields share a name or an alias, so that one key fills both."""
    objects = _Objects(layout)
    objects.add(layout.schema, needs_of(layout), 0)
    if objects.keys.has_double:
        return None
    return _Compiler(layout, objects).compile()


class _Texts:
    """Texts with a number each, in groups, to be found by a hash of their bytes."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._rows: list[tuple[int, int, int, int]] = []
        self._known: set[tuple[int, str]] = set()
        self.has_double = False

    def add(self, group: int, text: str, number: int) -> None:
        self.has_double |= (group, text) in self._known
        self._known.add((group, text))
        encoded = text.encode(errors="surrogatepass")  # half a surrogate pair equals no text, and nor do these bytes
        self._rows.append((group, len(self._names), len(self._names) + len(encoded), number))
        self._names += encoded

    def names(self) -> Any:
        return read_only(np.frombuffer(bytes(self._names), np.uint8))

    def rows(self) -> Any:
        return np.array(self._rows, np.int64).reshape(-1, 4)

    def empty_slots(self) -> Any:
        """At least twice as many as texts, so that a search soon meets an empty one."""
        return np.full(2 << len(self._rows).bit_length(), -1, np.int64)


class _Objects:
    """The objects of an event that are looked into, and the spans of what is needed of them."""

    def __init__(self, layout: Layout) -> None:
        self._paths = len(layout.paths)
        self._checked = _checked_by_readers(layout)
        self._objects: list[tuple[int, int]] = []
        self._fields: list[tuple[int, int, int, int, int]] = []
        self.keys = _Texts()
        self.path_spans = [-1] * self._paths
        self.carried_spans = [-1] * len(layout.carried)
        self.spans = 0
        self.depth = 0

    def add(self, record: Node, needs: dict[str, Need], level: int) -> int:
        """Add an object; its number."""
        number, first = len(self._objects), len(self._fields)
        self._objects.append((first, first + len(needs)))
        self._fields += [(-1, -1, 0, 0, 0)] * len(needs)
        self.depth = max(self.depth, level + 1)
        for place, (name, need) in enumerate(needs.items(), first):
            field = record.field(name)
            assert field is not None, "needs are fields of the reader's schema"
            for spelling in field.names:
                self.keys.add(number, spelling, place)
            self._fields[place] = self._field(field.node, need, level)
        return number

    def _field(self, node: Node, need: Need, level: int) -> tuple[int, int, int, int, int]:
        begin, own, below = self.spans, -1, -1
        if need.path is not None or need.carry_slot >= 0:
            own = self.spans
            self.spans += 1
        if need.path is not None:
            self.path_spans[need.slot] = own
        if need.carry_slot >= 0:
            self.carried_spans[need.carry_slot - self._paths] = own
        record = record_of(node)
        if need.below and record is not None:
            below = self.add(record, need.below, level + 1)
        checked = json_spans.SPAN_READ if need.path is None else self._checked.get(need.path.path, json_spans.SPAN_READ)
        return below, own, begin, self.spans, checked

    def wanted(self) -> Wanted:
        """The kernel's tables."""
        names, keys, slots = self.keys.names(), self.keys.rows(), self.keys.empty_slots()
        json_spans.place_keys(names, keys, slots)
        fields = np.array(self._fields, np.int64).reshape(-1, 5)
        return Wanted(names, slots, keys, np.array(self._objects, np.int64), fields)


def _checked_by_readers(layout: Layout) -> dict[str, int]:
    """Paths of numbers and of lists of numbers that the kernel reads, so that nobody has to look at them before."""
    return {
        filler.feature.path: json_spans.NUMBER_READ if filler.feature.format is None else json_spans.LIST_READ
        for model_input, fillers in layout.inputs
        for filler in fillers
        if model_input.dtype == "float32" and filler.feature.format != "csv" and filler.feature.categories is None
    }


class _Compiler:
    """Turns features and carried fields into actions."""

    def __init__(self, layout: Layout, objects: _Objects) -> None:
        self._layout = layout
        self._objects = objects
        self._places = {path.path: place for place, path in enumerate(layout.paths)}
        self._texts = _Texts()
        self._groups = 0
        self._actions: list[tuple[int, ...]] = []
        self._rules: list[tuple[float, float, float]] = []
        self._fills: list[int] = []
        self._constants: list[float] = []
        self._late: list[LateFeature] = []
        self._late_checks: list[int] = []

    def compile(self) -> Program:
        bases: dict[str, int] = {}
        width = 0
        for model_input, fillers in self._layout.inputs:
            if model_input.dtype == "float32":
                bases[model_input.name] = width
                width += model_input.width
            for filler in fillers:
                self._feature(model_input, filler, bases.get(model_input.name))
        for place in range(len(self._layout.carried)):
            self._carried(place)
        objects = self._objects
        return Program(
            objects.wanted(),
            self._tables(),
            objects.spans,
            objects.depth,
            width,
            bases,
            tuple(self._late),
            tuple(objects.carried_spans),
            tuple(self._late_checks),
        )

    def _tables(self) -> Actions:
        names, texts, slots = self._texts.names(), self._texts.rows(), self._texts.empty_slots()
        json_cells.place_texts(names, texts, slots)
        return Actions(
            np.array(self._actions, np.int64).reshape(-1, 8),
            np.array(self._rules, np.float64).reshape(-1, 3),
            np.array(self._fills, np.int64),
            np.array(self._constants, np.float32),
            names,
            slots,
            texts,
        )

    def _feature(self, model_input: ModelInput, filler: CellFiller, base: int | None) -> None:
        feature = filler.feature
        if is_own(feature.path):
            self._late.append(LateFeature(model_input.name, filler, -1, -1))
            return
        place = self._places[feature.path]
        path, span = self._layout.paths[place], self._objects.path_spans[place]
        code = _code(filler, path)
        if base is None or code is None:
            self._late.append(LateFeature(model_input.name, filler, place, span))
            return
        unseen = feature.unseen
        known, is_sure = (unseen, True) if isinstance(unseen, int) else (0, False)
        group = self._group(feature.categories or ())
        fills = self._fills_of(model_input, filler, [None, *(step.absent for step in path.steps)])
        self._actions.append((code, span, base + filler.start, feature.length, group, known, is_sure, fills))
        divisor = plain_divisor(path.leaf) if code != json_cells.CSV else 1.0
        self._rules.append((divisor, feature.offset, feature.scale))

    def _group(self, texts: Sequence[str]) -> int:
        """A new group of texts, numbered in their order."""
        self._groups += 1
        for text, number in {text: number for number, text in enumerate(texts)}.items():
            self._texts.add(self._groups, text, number)
        return self._groups

    def _fills_of(self, model_input: ModelInput, filler: CellFiller, values: Sequence[Any]) -> int:
        """Constants for the cells of some values, by the feature's own rule."""
        first = len(self._fills)
        for value in values:
            cells, verdicts = empty_input(model_input, 1), Verdicts.all_ok(1)
            filler.fill([value], cells, verdicts)
            self._fills.append(NOT_SURE if verdicts.status[0] else len(self._constants))
            self._constants += cells[0, filler.start : filler.start + filler.feature.length].tolist()
        return first

    def _carried(self, place: int) -> None:
        field, default = self._layout.carried[place], self._layout.carried_defaults[place]
        span = self._objects.carried_spans[place]
        allowed, symbols = _allowed(field.node)
        if allowed == json_cells.ANYTHING:
            self._late_checks.append(place)
        fills = len(self._fills)
        self._fills += [NOT_SURE, NOT_SURE if isinstance(default, Fault) else 0]
        self._actions.append((json_cells.CHECK, span, 0, allowed, self._group(symbols), 0, 0, fills))
        self._rules.append((1.0, 0.0, 1.0))


def _code(filler: CellFiller, path: EventPath) -> int | None:
    """What the kernel does for a feature; None where it cannot."""
    feature = filler.feature
    if feature.format == "array":
        return None if feature.categories is not None else json_cells.ARRAY
    if feature.format is None and feature.categories is None:
        return json_cells.NUMBER
    if plain_conversion(path.leaf) is not None or None not in (feature.format, feature.categories):
        return None
    return json_cells.CSV if feature.format == "csv" else json_cells.CATEGORY


def _allowed(node: Node) -> tuple[int, list[str]]:
    """What a carried value may be, and the symbols of enums."""
    allowed = 0
    symbols: list[str] = []
    for branch in node.branches:
        if branch.kind not in _CHECKS:
            return json_cells.ANYTHING, []
        allowed |= _CHECKS[branch.kind]
        symbols += branch.symbols
    return allowed, symbols

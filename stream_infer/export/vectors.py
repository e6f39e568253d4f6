"""Choosing golden events: real ones, and the ones on which two implementations are most likely to differ.

Rule: seeded, so that the same sample gives the same events. A made-up event is a real one with one field changed (or
all features at once); where a field cannot hold the wanted value, that event is left out.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from stream_infer.bundle import GoldenEvents, encode_rows
from stream_infer.bundle.manifest import FeatureSpec, InputSpec
from stream_infer.export.fields import Field, SchemaFields
from stream_infer.export.graph import Split
from stream_infer.export.sample import Sample

SEED = 20_261_122
UNSEEN_CATEGORY = "stream_infer unseen category"
EXTREMES = (0.0, -1.0, 1e-30, 1e9, -1e9, 3e38, -3e38)
"""Zero, a sign, a number that vanishes beside others, and what approaches the ends of float32."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A feature of one cell, and the field of the schema that fills it."""

    feature: FeatureSpec
    field: Field


def choose_events(sample: Sample, inputs: Sequence[InputSpec], splits: Iterator[Split], rows: int) -> GoldenEvents:
    """At most ``rows`` events: half of them made up where there are that many, the others drawn from the sample."""
    rng = np.random.default_rng(SEED)
    fields = SchemaFields(sample.schema)
    chosen = rng.permutation(len(sample))[:rows].tolist()
    bases = [(sample.rows[row], row) for row in chosen]
    made = list(islice(_made_up(bases, fields, inputs, _draw(list(splits), rng, rows // 4)), max(1, rows // 2)))
    values = encode_rows(sample.schema, [row for row, _ in made])
    real = chosen[: rows - len(made)]
    return GoldenEvents(
        schema=sample.schema,
        values=(*(sample.values[row] for row in real), *values),
        envelopes=(*(sample.envelopes[row] for row in real), *(sample.envelopes[base] for _, base in made)),
    )


def _draw(splits: list[Split], rng: np.random.Generator, count: int) -> list[Split]:
    return [splits[index] for index in rng.permutation(len(splits))[:count].tolist()]


def _made_up(
    bases: Sequence[tuple[Row, int]], fields: SchemaFields, inputs: Sequence[InputSpec], splits: Sequence[Split]
) -> Iterator[tuple[Row, int]]:
    """Made-up events and the sample row each came from, the most telling first."""
    targets = list(_targets(fields, inputs))
    base_row, base = bases[0]
    yield _all_missing(base_row, targets), base
    for index, (target, value) in enumerate([*_changes(targets), *_on_splits(fields, inputs, splits)]):
        row, origin = bases[index % len(bases)]
        if (changed := _with_value(row, target.feature.path, value)) is not None:
            yield changed, origin


def _targets(fields: SchemaFields, inputs: Sequence[InputSpec]) -> Iterator[Target]:
    for spec in inputs:
        for feature in spec.features:
            field = fields.find(feature.path)
            if field is not None and feature.length == 1:
                yield Target(feature, field)


def _changes(targets: Sequence[Target]) -> Iterator[tuple[Target, Any]]:
    """Round by round, so that every feature has its turn before the limit: missing, unseen, known, extremes."""
    yield from ((target, _missing(target.field)) for target in targets if _can_miss(target.field))
    texts = [target for target in targets if target.field.kind == "string"]
    yield from ((target, UNSEEN_CATEGORY) for target in texts)
    yield from ((target, category) for target in texts for category in (target.feature.categories or ())[:8])
    for extreme in EXTREMES:
        for target in targets:
            value = _stored(target.field, extreme)
            if value is not None:
                yield target, value


def _on_splits(
    fields: SchemaFields, inputs: Sequence[InputSpec], splits: Sequence[Split]
) -> Iterator[tuple[Target, Any]]:
    """Events whose cell lies exactly on the threshold of a tree's split."""
    by_cell = {(spec.name, cell): feature for spec in inputs for cell, feature in _cells(spec)}
    for name, cell, threshold, _ in splits:
        feature = by_cell.get((name, cell))
        field = fields.find(feature.path) if feature is not None else None
        if (
            feature is None
            or field is None
            or feature.length > 1
            or feature.categories is not None
            or not feature.scale
        ):
            continue
        value = _stored(field, threshold / feature.scale - feature.offset)
        if value is not None:
            yield Target(feature, field), value


def _cells(spec: InputSpec) -> Iterator[tuple[int, FeatureSpec]]:
    cell = 0
    for feature in spec.features:
        yield cell, feature
        cell += feature.length


def _stored(field: Field, value: float) -> Any:
    """A number as the field stores it; None where it cannot."""
    if field.logical is not None or not math.isfinite(value):
        return None
    if field.kind in ("float", "double"):
        return float(np.clip(value, -3.4e38, 3.4e38)) if field.kind == "float" else value
    bound = {"int": 2**31, "long": 2**63}.get(field.kind)
    return round(value) if bound is not None and -bound <= round(value) < bound else None


def _can_miss(field: Field) -> bool:
    return field.nullable or field.kind in ("float", "double")


def _missing(field: Field) -> float | None:
    return None if field.nullable else math.nan


def _all_missing(row: Row, targets: Sequence[Target]) -> Row:
    for target in targets:
        if _can_miss(target.field):
            row = _with_value(row, target.feature.path, _missing(target.field)) or row
    return row


def _with_value(row: Row, path: str, value: Any) -> Row | None:
    """A copy of an event with another value at ``path``; None where a record on the way there is null."""
    changed = copy.deepcopy(row)
    record: Any = changed
    *parents, leaf = path.split(".")
    for parent in parents:
        record = record.get(parent)
        if record is None:
            return None
    record[leaf] = value
    return changed

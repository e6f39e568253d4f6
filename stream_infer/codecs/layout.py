"""From values per event to columns per batch: the last step of every decoder.

Rule: a decoder yields, for each row, one value per distinct path of the feature list and one per carried field;
`Layout` knows which, and turns them into `Decoded`. The feature rules run in the order of the feature list, then
the carried fields: the first fault of a row is the one that is reported.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_infer.codecs.faults import BadEvent, Fault, SchemaRefused, Verdicts
from stream_infer.codecs.features import CellFiller, cell_fillers, empty_input
from stream_infer.codecs.paths import EventPath, check_own_path, event_path, is_own
from stream_infer.codecs.schema import NO_DEFAULT, Field, Node, parse_schema, type_json
from stream_infer.codecs.write import default_bytes
from stream_infer.errors import ConfigError, ConfigProblem, ModelLoadError
from stream_infer.projection import ModelInput, Projection
from stream_infer.types import Binary, Column, Decoded, Status

OwnColumn = Callable[[str], Sequence[Any]]


class Layout:
    """What a projection asks of an event.

    Attributes:
        schema: the reader's schema.
        inputs: the model's inputs, each with what fills its cells.
        paths: the distinct paths into the event; a decoder yields one column for each.
        own: the distinct paths that are the record's own (``$key`` and others).
        carried: the fields that go to the output; a decoder yields one column for each, of bytes or faults.
        carried_defaults: what stands for each of them in an event that lacks it, in Avro's encoding.
    """

    def __init__(self, projection: Projection) -> None:
        """Compile a projection.

        Raises:
            ModelLoadError: the reader's schema or the feature list cannot be used.
            ConfigError: a carried field is not in the reader's schema.
        """
        try:
            self.schema = reader_node(projection.reader_schema)
            self.inputs: tuple[tuple[ModelInput, tuple[CellFiller, ...]], ...] = tuple(
                (model_input, cell_fillers(model_input)) for model_input in projection.inputs
            )
            features = [filler.feature for _, fillers in self.inputs for filler in fillers]
            names = dict.fromkeys(feature.path for feature in features)
            self.paths: tuple[EventPath, ...] = tuple(event_path(self.schema, n) for n in names if not is_own(n))
        except SchemaRefused as refused:
            raise ModelLoadError(f"the bundle's input schema cannot be used: {refused}") from refused
        self.own: tuple[str, ...] = tuple(name for name in names if is_own(name))
        for name in self.own:
            check_own_path(name)
        self.carried: tuple[Field, ...] = carried_fields(self.schema, projection.carried)
        self.carried_defaults: tuple[bytes | Fault, ...] = tuple(map(_carried_default, self.carried))

    def decoded(
        self,
        values: Sequence[Sequence[Any]],
        carried: Sequence[Sequence[bytes | Fault | None]],
        own: OwnColumn,
        verdicts: Verdicts,
        encoding: str,
    ) -> Decoded:
        """Apply the feature rules and join the columns.

        Args:
            values: one column for each of `paths`.
            carried: one column for each of `carried`: the encoded value, or why there is none.
            own: gives the column of a ``$`` path.
            verdicts: statuses so far; completed here.
            encoding: of the carried bytes, ``avro`` or ``json``.
        """
        columns: dict[str, Sequence[Any]] = {path.path: column for path, column in zip(self.paths, values, strict=True)}
        columns.update((name, own(name)) for name in self.own)
        count = len(verdicts.status)
        inputs = {}
        for model_input, fillers in self.inputs:
            inputs[model_input.name] = target = empty_input(model_input, count)
            for filler in fillers:
                filler.fill(columns[filler.feature.path], target, verdicts)
        for field, column in zip(self.carried, carried, strict=True):
            _check_carried(field, column, verdicts)
        joined = tuple(_column(f, c, verdicts, encoding) for f, c in zip(self.carried, carried, strict=True))
        return Decoded(inputs, verdicts.status, joined, verdicts.details)


def reader_node(schema: Mapping[str, Any]) -> Node:
    """Parse the reader's schema. Raises SchemaRefused where it is not a safe record."""
    node = parse_schema(schema)
    if node.kind != "record":
        raise SchemaRefused("it is no record")
    return node


def carried_fields(schema: Node, names: Sequence[str]) -> tuple[Field, ...]:
    """The fields of the reader's record that are carried to the output.

    Raises:
        ConfigError: names that it does not have, all of them at once.
    """
    known = [field.name for field in schema.fields]
    problems = [
        ConfigProblem("sink.fields", f"the input schema has no field {name}", _nearest(name, known))
        for name in names
        if schema.field(name) is None
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(field for name in names if (field := schema.field(name)) is not None)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"


def _carried_default(field: Field) -> bytes | Fault:
    if field.default is NO_DEFAULT:
        return Fault(Status.MISSING_FIELD, "absent, and the input schema has no default for it")
    try:
        return default_bytes(field)
    except BadEvent as bad:
        raise ModelLoadError(
            f"the bundle's input schema: the default of field {field.name} does not fit its type ({bad.detail})"
        ) from None


def _check_carried(field: Field, column: Sequence[bytes | Fault | None], verdicts: Verdicts) -> None:
    for row, value in enumerate(column):
        if isinstance(value, Fault):
            verdicts.reject(row, value.at(f"carried field {field.name}"))


def _column(field: Field, column: Sequence[bytes | Fault | None], verdicts: Verdicts, encoding: str) -> Column:
    """Join a carried column; rows that are rejected for whatever reason hold no bytes."""
    good = (verdicts.status == 0).tolist()
    spans = [value if ok and isinstance(value, bytes) else b"" for ok, value in zip(good, column, strict=True)]
    return Column(field.name, type_json(field.node), encoding, Binary.from_values(spans))

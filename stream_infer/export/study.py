"""Understanding a model before it is exported: what each input is fed, and what the score is.

Rule: everything is checked against the sample of events, decoded as serving will decode it; a model that fails on real
events is found here, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from stream_infer.bundle import GoldenEvents
from stream_infer.bundle.manifest import ClassLabel, InputSpec, OutputSpec, ScoreRef
from stream_infer.errors import ExportRefused, ModelLoadError
from stream_infer.export.features import InputEntry
from stream_infer.export.fields import SchemaFields, path_problems
from stream_infer.export.graph import Graph
from stream_infer.export.sample import Sample
from stream_infer.export.tensors import choose_output, describe_output, match_inputs
from stream_infer.projection import Projection
from stream_infer.scoring.verify import decode_golden
from stream_infer.types import Decoded, Status


@dataclass(frozen=True, slots=True)
class Study:
    """A model, a feature list and a sample of events that fit together; ``decoded`` is the whole sample."""

    graph: Graph
    sample: Sample
    inputs: tuple[InputSpec, ...]
    projection: Projection
    decoded: Decoded
    output: OutputSpec
    score: ScoreRef
    classes: tuple[ClassLabel, ...]


def study_model(
    graph: Graph,
    sample: Sample,
    entries: Sequence[InputEntry],
    score: str | None,
    classes: Sequence[ClassLabel] | None,
) -> Study:
    """Match a graph, a sample of events and a feature list; ``score`` and ``classes`` are those of `export`.

    Raises:
        ExportRefused: they don't fit together.
    """
    inputs = match_inputs(graph, entries)
    if problems := list(path_problems(SchemaFields(sample.schema), inputs, sample.source)):
        raise ExportRefused(f"the feature list does not fit the events: {'; '.join(problems)}")
    projection = Projection(tuple(spec.to_input() for spec in inputs), (), sample.schema)
    decoded = decode_events(projection, GoldenEvents(sample.schema, sample.values, sample.envelopes))
    output, score_ref = _ask_output(graph, inputs, decoded, score)
    labels = _class_labels(graph, output, classes)
    return Study(graph, sample, inputs, projection, decoded, output, score_ref, labels)


def decode_events(projection: Projection, events: GoldenEvents) -> Decoded:
    """Decode as serving does.

    Raises:
        ExportRefused: not one event gets through, which is never what the feature list's author means.
    """
    try:
        decoded = decode_golden(projection, events)
    except ModelLoadError as error:
        raise ExportRefused(f"the events cannot be decoded with this feature list: {error}") from error
    if not (decoded.status == Status.OK).any():
        reason, detail = Status(int(decoded.status[0])).reason, decoded.details.get(0, "")
        raise ExportRefused(f"every event of the sample is rejected; the first one as {reason}: {detail}")
    return decoded


def decode_exactly(study: Study) -> Decoded:
    """The sample's events with float32 inputs in float64, as the events say them; rejected ones stay rejected."""
    inputs = [
        msgspec.structs.replace(spec, dtype="float64") if spec.dtype == "float32" else spec for spec in study.inputs
    ]
    projection = Projection(tuple(spec.to_input() for spec in inputs), (), study.sample.schema)
    exact = decode_events(projection, GoldenEvents(study.sample.schema, study.sample.values, study.sample.envelopes))
    return Decoded(exact.inputs, study.decoded.status, (), {})


def _ask_output(
    graph: Graph, inputs: Sequence[InputSpec], decoded: Decoded, score: str | None
) -> tuple[OutputSpec, ScoreRef]:
    """What the score's output looks like, by running the graph on a few events of the sample."""
    name, column = choose_output(graph, score)
    rows = np.resize(np.flatnonzero(decoded.status == Status.OK), graph.fixed_rows or 2)
    feed = {spec.name: decoded.inputs[spec.name][rows].reshape(spec.shape) for spec in inputs}
    return describe_output(name, column, graph.ask(name, feed), len(rows), graph.class_labels())


def _class_labels(graph: Graph, output: OutputSpec, classes: Sequence[ClassLabel] | None) -> tuple[ClassLabel, ...]:
    """What the output's columns are called: as the caller says, else as the graph does, else by number."""
    columns = output.columns or 1
    if classes is not None:
        if len(classes) != columns:
            raise ExportRefused(f"{len(classes)} classes are named, but output {output.name!r} has {columns} column(s)")
        return tuple(classes)
    if columns == 1:
        return ()
    labels = graph.class_labels()
    return labels if len(labels) == columns else tuple(range(columns))

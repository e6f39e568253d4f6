"""What is written of an event does not depend on its company: the rows beside it, and who scores them.

From input bytes to output bytes, bit for bit: for trees in the kernel and for models in ONNX Runtime, in Avro and in
JSON, among events that are rejected or passed over.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.bundle import ModelBundle, encode_rows
from stream_infer.bundle.manifest import OutputSpec
from stream_infer.codecs import AvroDecoder, AvroEncoder, FixedSchema, JsonDecoder, JsonEncoder, output_schema
from stream_infer.core.flow import FlowLimits
from stream_infer.delivery import AtLeastOnce
from stream_infer.executors import executor
from stream_infer.pipeline import Pipeline
from stream_infer.ports import Decoder, Encoder
from stream_infer.scoring import Scorer, open_model
from stream_infer.testing import FakeClock, FakeSink, FakeSource, RecordingInstrument, records
from stream_infer.types import Split
from stream_infer.work import Work
from tests.lines import DELIVERY, SETTINGS, no_jitter
from tests.scoring import zoo
from tests.scoring.bundles import PROBABILITIES, SCORE, matrix_bundle, matrix_schema, rows

EVENTS = 200
WIDTH = 40
"""Features: where sums depend on how many rows there are, long sums show it first."""
PARTITIONS = 2
CARRIED = ["f0"]
FOUR = OutputSpec("probabilities", "float32", (-1, 4), "probabilities")

Outcome = tuple[bytes | None, str | None]
"""Of one event: what is published, or why it is not."""


class StillClock(FakeClock):
    """The moment of scoring is written into each event, so it is always the same one."""

    def wall_ms(self) -> int:
        return 1_800_000_000_000


@dataclass(frozen=True)
class Model:
    """A model, and what is expected to serve it."""

    bundle: Callable[[], ModelBundle]
    engine: str


def _bundle(
    model: bytes, output: OutputSpec = SCORE, column: int = 0, classes: tuple[int | str, ...] = ()
) -> ModelBundle:
    return matrix_bundle(model, rows(width=WIDTH), output=output, column=column, classes=classes)


def _trees(depth: int) -> ModelBundle:
    return _bundle(zoo.trees(WIDTH, depth=depth), PROBABILITIES, 1, (0, 1))


MODELS = {
    "shallow trees": Model(lambda: _trees(3), "tree kernel"),
    "deep trees": Model(lambda: _trees(8), "tree kernel"),
    "linear": Model(lambda: _bundle(zoo.linear(WIDTH)), "ONNX Runtime"),
    "perceptron": Model(lambda: _bundle(zoo.perceptron(WIDTH)), "ONNX Runtime"),
    "four classes": Model(lambda: _bundle(zoo.multi_class(WIDTH), FOUR, 2, tuple("abcd")), "ONNX Runtime"),
}
CODECS = ("avro", "json")
both = pytest.mark.parametrize("codec", CODECS)
each_model = pytest.mark.parametrize("model", MODELS)


@cache
def work(model: str, codec: str) -> Work:
    """From bytes to bytes, with all that a service has."""
    bundle = MODELS[model].bundle()
    runtime = open_model(bundle)
    assert runtime.engine == MODELS[model].engine
    output = output_schema(bundle.input_schema, CARRIED, len(bundle.manifest.classes) > 2)
    projection = bundle.projection(CARRIED)
    decoder: Decoder = JsonDecoder(projection, max_event_bytes=5000)
    encoder: Encoder = JsonEncoder(output)
    if codec == "avro":
        decoder = AvroDecoder(projection, FixedSchema(bundle.input_schema), max_event_bytes=5000)
        encoder = AvroEncoder(output, b"\x00\x00\x00\x00\x07")
    return Work(Scorer(bundle, decoder, runtime), encoder, StillClock())


@cache
def values(codec: str) -> tuple[bytes | None, ...]:
    """Events with gaps in them, one in ten of them bad or a tombstone."""
    random = np.random.default_rng(8)
    events: list[dict[str, Any]] = [
        {f"f{cell}": value for cell, value in enumerate(row)} for row in random.normal(size=(EVENTS, WIDTH)).tolist()
    ]
    for row in np.flatnonzero(random.random(EVENTS) < 0.1).tolist():
        events[row][f"f{random.integers(WIDTH)}"] = None
    made: list[bytes | None] = [json.dumps(event).encode() for event in events]
    if codec == "avro":
        made = list(encode_rows(matrix_schema(WIDTH), events))
    spoilt = itertools.cycle([None, b"", b"\xff", (made[0] or b"")[:-1]])
    for row in np.flatnonzero(random.random(EVENTS) < 0.1).tolist():
        made[row] = next(spoilt)
    return tuple(made)


def scored(model: str, codec: str, sizes: Sequence[int], partition: int = 0) -> list[Outcome]:
    """Every event, in batches of these sizes."""
    found: list[Outcome] = []
    for size in sizes:
        begin = len(found)
        batch = records(values(codec)[begin : begin + size], split=Split("payments", partition), first_offset=begin)
        done = work(model, codec).score(batch).batch
        reasons = {reject.row: reject.status.reason for reject in done.rejects}
        found += [(payload, reasons.get(row)) for row, payload in enumerate(done.payload.to_list())]
    return found


@cache
def alone(model: str, codec: str, partition: int = 0) -> list[Outcome]:
    """Every event in a batch of its own."""
    return scored(model, codec, [1] * EVENTS, partition)


def sizes_of(cuts: Sequence[int]) -> list[int]:
    edges = [0, *sorted(set(cuts)), EVENTS]
    return [end - begin for begin, end in itertools.pairwise(edges)]


@both
@each_model
def test_most_events_are_scored_and_some_are_not(model: str, codec: str) -> None:
    payloads = [payload for payload, _ in alone(model, codec) if payload is not None]
    reasons = {reason for _, reason in alone(model, codec) if reason}
    assert EVENTS * 0.7 < len(payloads) < EVENTS
    assert {"empty", "truncated"} <= reasons


@both
@each_model
@given(cuts=st.lists(st.integers(1, EVENTS - 1), max_size=30))
@settings(max_examples=25, deadline=None)
def test_an_event_is_scored_as_if_it_were_alone(model: str, codec: str, cuts: list[int]) -> None:
    assert scored(model, codec, sizes_of(cuts)) == alone(model, codec)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("max_batch_size", [1, 7, 128])
@both
@each_model
def test_however_many_workers_there_are(model: str, codec: str, max_batch_size: int, workers: int) -> None:
    clock, instrument = StillClock(), RecordingInstrument()
    source, sink = FakeSource(clock, PARTITIONS), FakeSink(clock)
    for partition in range(PARTITIONS):
        source.append(partition, *values(codec))
    numbers = replace(
        SETTINGS,
        max_batch_size=max_batch_size,
        max_in_flight=max(1, 2 * workers),
        parallel=max(1, workers),
        flow=FlowLimits(max_records=512, max_bytes=1_000_000, low_ratio=0.5, pause_after_s=8.0),
        until_caught_up=True,
    )
    delivery = AtLeastOnce(source, sink, DELIVERY, clock, instrument, no_jitter)
    line = Pipeline(source, delivery, work(model, codec), executor(workers), numbers, clock, instrument, no_jitter)
    line.start()
    assert line.run(lambda: False) == "finished"
    line.close()
    for partition in range(PARTITIONS):
        found = {each.offset: (each.payload, each.reason) for each in sink.acknowledged if each.split[1] == partition}
        wanted = alone(model, codec, partition)
        assert [found.get(offset, (None, None)) for offset in range(EVENTS)] == wanted

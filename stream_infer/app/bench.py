"""``bench``: the line of a config, fed from memory.

Rule: whatever ``run`` builds is built here by the same functions, but for Kafka's client and the watchdog. No registry
is asked: framed events are given the schema that the sample has.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stream_infer.app import assembly, codecs
from stream_infer.app.dry_run import DrySink
from stream_infer.bench import Bench, Events, Plan, Report, Tape, Variant, avro_events, json_events, study
from stream_infer.clock import Clock, SystemClock
from stream_infer.config.model import AvroSourceCodec, Config, Section
from stream_infer.config.options import BenchOptions, RunOptions
from stream_infer.config.timing import publish_ms
from stream_infer.delivery import AtLeastOnce
from stream_infer.errors import UsageError
from stream_infer.executors import executor
from stream_infer.observe.prometheus import PrometheusInstrument, new_registry
from stream_infer.pipeline import Pipeline
from stream_infer.ports import Instrument, Instruments, SchemaSource, Source
from stream_infer.types import NO_TIMESTAMP
from stream_infer.work import Work

DEFAULT_GOAL_MS = 50.0
"""What the 99th percentile of latency is held against where ``batching.slo_ms`` is not set."""
MOST_ROWS = 8192
"""Rows in one call of the model at most; larger batches gain nothing."""
_LARGER = 4
"""How much larger the larger batches are that are tried."""


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What became of the sample, each event once: dead letters by reason."""

    events: int
    mean_bytes: float
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class BenchResult:
    """The sample, the model, and what was found. ``engine`` is what scores: the tree kernel or ONNX Runtime."""

    model: str
    engine: str
    workers: int
    max_batch_size: int
    slo_ms: float | None
    sample: SampleFacts
    report: Report


def run_bench(config: Config, options: BenchOptions, progress: Callable[[str], None]) -> BenchResult:
    """Measure the line of ``config`` with the events of ``options``; ``progress`` is told of each step.

    Raises:
        ConfigError: the config cannot work.
        ModelLoadError: the bundle is damaged.
        ExportRefused: the sample is absent, empty, damaged or of no known kind.
        UsageError: no event of the sample can be scored, or one does not fit the topic's schema.
    """
    progress("model and sample")
    assembly.check_client(config)
    model = assembly.load_model(config)
    events = _events(config, model, options.events)
    tape = Tape(events, max(config.batching.max_batch_size, _larger_batch(config) or 0))
    lines = _Lines(config, model, None if events.schema is None else _OneSchema(events.schema))
    facts = _look_at(tape, lines.work(config, SystemClock()), config.batching.max_batch_size)
    report = study(
        Bench(tape, lines.build, SystemClock(), _ThreadClock(), time.process_time), _plan(config, options), progress
    )
    identity = model.bundle.identity(config.decision.threshold)
    return BenchResult(
        model=f"{identity.name} {identity.version}",
        engine=model.runtime.engine,
        workers=config.scoring.workers,
        max_batch_size=config.batching.max_batch_size,
        slo_ms=config.batching.slo_ms,
        sample=facts,
        report=report,
    )


def _events(config: Config, model: assembly.Model, path: Path) -> Events:
    codec = config.source.codec
    if not isinstance(codec, AvroSourceCodec):
        return json_events(path)
    framed = codec.schema_file is None
    if not framed:
        codecs.decoder(config, model.bundle)  # says what is wrong with the schema file
    writer = None if framed else json.loads(codecs.fixed_schema(codec))
    return avro_events(path, writer=writer, model=model.bundle.input_schema, framed=framed)


def _plan(config: Config, options: BenchOptions) -> Plan:
    slo_ms, publishing_ms = config.batching.slo_ms, publish_ms(config)
    return Plan(
        seconds=options.seconds,
        shares=sorted(options.rates),
        goal_ms=DEFAULT_GOAL_MS if slo_ms is None else max(0.0, slo_ms - publishing_ms),
        publish_ms=publishing_ms,
        slo_ms=slo_ms,
        workers=config.scoring.workers,
        larger_batch=_larger_batch(config),
        cpus=len(os.sched_getaffinity(0)),
    )


def _larger_batch(config: Config) -> int | None:
    """A larger ``max_batch_size`` that the rest of the config has room for, if there is one."""
    room = config.flow.max_unacknowledged // (1 + len(config.sink.routes))
    size = min(_LARGER * config.batching.max_batch_size, MOST_ROWS, config.flow.max_buffered_records, room)
    return size if size > config.batching.max_batch_size else None


class _Lines:
    """Builds lines, one for each trial."""

    def __init__(self, config: Config, model: assembly.Model, schemas: SchemaSource | None) -> None:
        self._config = config
        self._model = model
        self._schemas = schemas
        self._executor = cache(executor)  # threads of workers stay: one set for each number of them

    def work(self, config: Config, clock: Clock, instrument: Instrument | None = None) -> Work:
        """What happens to a batch. Nothing is shed: that would pass for speed."""
        config = changed(config, "flow", when_full="block", max_age_ms=None)
        bundle, schemas = self._model.bundle, self._schemas or _OneSchema({})
        return assembly.make_work(
            config,
            model=self._model,
            decoder=codecs.decoder(config, bundle, instrument, schemas),
            encoder=codecs.encoder(config, bundle, instrument, schemas=schemas),
            clock=clock,
        )

    def build(self, variant: Variant, source: Source, instrument: Instrument, work_clock: Clock) -> Pipeline:
        """As `stream_infer.app.assembly.assemble`, without Kafka."""
        config, options, clock = varied(self._config, variant), RunOptions(until_caught_up=True), SystemClock()
        told = Instruments(PrometheusInstrument(new_registry(), config.name, clock), instrument)
        numbers = assembly.delivery_settings(config, options)
        numbers = replace(numbers, max_consecutive_rejects=0, max_reject_ratio=1.0)  # they are counted, not feared
        return Pipeline(
            source,
            AtLeastOnce(source, DrySink(), numbers, clock, told, random.random),
            self.work(config, work_clock, told),
            self._executor(config.scoring.workers),
            assembly.settings(config, options),
            clock,
            told,
        )


def varied(config: Config, variant: Variant) -> Config:
    """The config with the variant's settings. Other workers bring the default of ``max_in_flight`` along."""
    if variant.max_batch_size is not None:
        config = changed(config, "batching", max_batch_size=variant.max_batch_size)
    if variant.slo_ms is not None:
        config = changed(config, "batching", slo_ms=variant.slo_ms)
    if variant.workers is not None:
        config = changed(config, "scoring", workers=variant.workers, max_in_flight=None)
    return config


def changed(config: Config, section: str, **values: object) -> Config:
    """The config with other values in one section; nothing is validated."""
    old: Section = getattr(config, section)
    return config.model_copy(update={section: old.model_copy(update=values)})


class _ThreadClock(SystemClock):
    """Its monotonic time passes only while the calling thread has a processor: what a stage costs."""

    def monotonic(self) -> float:
        """Seconds of processor time of this thread."""
        return time.thread_time()


class _OneSchema:
    """A `stream_infer.ports.SchemaSource` that knows the sample's schema under id 1, and calls every output 1."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._text = json.dumps(schema)

    def by_id(self, schema_id: int) -> str | None:
        """The schema, for id 1."""
        return self._text if schema_id == 1 else None

    def by_guid(self, guid: str) -> str | None:
        """No event here has one."""
        return None

    def register(self, subject: str, schema: str) -> int:
        """Nothing is registered."""
        return 1


def _look_at(tape: Tape, work: Work, rows: int) -> SampleFacts:
    """Score each event of the sample once.

    Raises:
        UsageError: none of them can be.
    """
    rejected: Counter[str] = Counter()
    nbytes, last = 0, ""
    for first in range(0, tape.count, rows):
        batch = work.score(tape.records(first, np.full(min(rows, tape.count - first), NO_TIMESTAMP), 0)).batch
        nbytes += batch.records.values.nbytes
        rejected.update(reject.status.reason for reject in batch.rejects)
        last = next((reject.message for reject in batch.rejects if reject.message), last)
    if rejected.total() == tape.count:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common())
        raise UsageError(
            f"none of the {tape.count} events of the sample can be scored ({reasons}{f'; {last}' if last else ''}); "
            "give events of the topic that this config reads"
        )
    return SampleFacts(tape.count, nbytes / tape.count, dict(rejected.most_common()))

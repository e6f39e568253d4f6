"""Worker threads and processes without a broker: events a second of the real line, with records in memory.

Rule: one worker, two workers and two processes take turns within a round, and only ratios within a round mean
something; the median of the quiet rounds is reported. A round is quiet where others, the hypervisor included, took less
than a tenth of a core meanwhile: on a machine of two cores nothing is left over for them. So rounds go on until enough
of them were quiet, or the limit is reached.

    python -m bench.workers
    python -m bench.workers --workloads payment --batch-rows 2048 --rounds 15

The line is `Pipeline` with `AtLeastOnce`, the work and the numbers of a service; what stands for the broker is a source
that gives slices of columns, as the Kafka client on librdkafka's C interface does, and a sink that keeps the payloads.
``inline`` is ``workers = 0``. Two processes are two lines ``inline``, each with events of its own. Every line runs in a
process of its own that stays, so that no run pays for a start; it goes over so many events that the same ones in the
next run teach the branch predictor nothing.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

import psutil

from bench import CACHE
from bench.in_memory import MemorySource, as_records, open_work
from bench.rivals.cpu_time import tree_cpu_s
from bench.rivals.workloads import WORKLOADS, Prepared, prepare
from stream_infer.app.assembly import delivery_settings, settings
from stream_infer.app.dry_run import DrySink
from stream_infer.clock import SystemClock
from stream_infer.config.load import config_from_mapping
from stream_infer.config.model import Config
from stream_infer.config.options import RunOptions
from stream_infer.delivery import AtLeastOnce
from stream_infer.executors import executor
from stream_infer.observe.prometheus import PrometheusInstrument, new_registry
from stream_infer.pipeline import Pipeline
from stream_infer.types import Records, ScoredBatch, Status
from stream_infer.work import Work

_AVRO = [name for name, workload in WORKLOADS.items() if workload.codec == "avro"]
_QUIET_CORES = 0.1
_OPTIONS = RunOptions(until_caught_up=True)


class Variant(NamedTuple):
    """How the same work is divided."""

    workers: int
    processes: int


VARIANTS = {
    "inline": Variant(0, 1),
    "one worker": Variant(1, 1),
    "two workers": Variant(2, 1),
    "two processes": Variant(0, 2),
}
RATIOS = (
    ("two workers", "one worker"),
    ("two workers", "inline"),
    ("two processes", "inline"),
)


class Round(NamedTuple):
    """Events a second of each variant, and how many cores others used meanwhile."""

    rates: dict[str, float]
    foreign_cores: float

    @property
    def quiet(self) -> bool:
        """True where others used next to nothing."""
        return self.foreign_cores < _QUIET_CORES


class MemorySink(DrySink):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.published = 0
        self._batches: list[ScoredBatch] = []

    def publish(self, batch: ScoredBatch) -> Sequence[tuple[int, Status]]:
        """Take the batch."""
        self.published += len(batch.payload) - len(batch.rejects)
        self._batches.append(batch)
        return ()


def run_line(made: Prepared, work: Work, records: Records, workers: int, batch_rows: int) -> tuple[float, float]:
    """Run one line from the first record to the last commit: when it began and ended, on the monotonic clock.

    Raises:
        RuntimeError: not every event was scored.
    """
    config, clock = _config(made, workers, batch_rows), SystemClock()
    instrument = PrometheusInstrument(new_registry(), config.name, clock)
    source, sink = MemorySource(records), MemorySink()
    numbers = delivery_settings(config, _OPTIONS)
    delivery = AtLeastOnce(source, sink, numbers, clock, instrument, lambda: 0.0)
    line = Pipeline(source, delivery, work, executor(workers), settings(config, _OPTIONS), clock, instrument)
    line.start()
    began = time.monotonic()
    line.run(lambda: False)
    ended = time.monotonic()
    line.close()
    if (sink.published, source.committed_to) != (len(records), len(records)):
        raise RuntimeError(f"{sink.published} of {len(records)} events were scored")
    return began, ended


def _config(made: Prepared, workers: int, batch_rows: int) -> Config:
    """A service's config; of where events come from and go to only the numbers are used."""
    return config_from_mapping(
        {
            "name": "bench",
            "kafka": {"bootstrap_servers": "localhost:9092"},
            "source": {"topics": ["in"], "group_id": "bench", "codec": {"type": "avro", "schema": str(made.schema)}},
            "model": {"bundle": str(made.bundle)},
            "batching": {"max_batch_size": batch_rows},
            # As many full batches as the defaults allow for: fewer, and the gate shuts while workers wait.
            "flow": {"max_buffered_records": max(8192, 8 * batch_rows)},
            "scoring": {"workers": workers},
            "sink": {"topic": "out", "codec": {"type": "avro", "schema": "none"}},
            "dead_letter": {"topic": "dlq"},
        }
    )


def _serve(orders: Connection, name: str, events: int) -> None:
    """A process of its own: runs lines as it is told to, until it is told None."""
    made = prepare(WORKLOADS[name], events, CACHE)
    records, work = as_records(made.events.values, made.events.keys), open_work(made, max_batch_size=2048)
    work.score(records.slice(0, 64))
    orders.send("ready")
    while (order := orders.recv()) is not None:
        orders.send(run_line(made, work, records, *order))


class Stage:
    """Two processes that run lines.

    Args:
        name: the workload.
        events: of each line.
    """

    def __init__(self, name: str, events: int) -> None:
        prepare(WORKLOADS[name], events, CACHE)
        self._events = events
        self._lines: list[Connection] = []
        context = multiprocessing.get_context("spawn")
        for _ in range(max(variant.processes for variant in VARIANTS.values())):
            ours, theirs = context.Pipe()
            context.Process(target=_serve, args=(theirs, name, events), daemon=True).start()
            self._lines.append(ours)
        for line in self._lines:
            line.recv()

    def rounds(self, batch_rows: int) -> Iterator[Round]:
        """Every variant once a round, in alternating order, for ever."""
        for turn in itertools.count():
            busy_s, own_s, began = _busy_s(), tree_cpu_s(os.getpid()), time.monotonic()
            rates = {name: self._rate(VARIANTS[name], batch_rows) for name in list(VARIANTS)[:: 1 if turn % 2 else -1]}
            wall_s = time.monotonic() - began
            yield Round(rates, (_busy_s() - busy_s - (tree_cpu_s(os.getpid()) - own_s)) / wall_s)

    def close(self) -> None:
        """Let the processes end."""
        for line in self._lines:
            line.send(None)

    def _rate(self, variant: Variant, batch_rows: int) -> float:
        lines = self._lines[: variant.processes]
        for line in lines:
            line.send((variant.workers, batch_rows))
        times = [line.recv() for line in lines]
        seconds: float = max(ended for _, ended in times) - min(began for began, _ in times)
        return variant.processes * self._events / seconds


def _busy_s() -> float:
    """CPU seconds of the whole machine in which it was not idle, those that the hypervisor took included."""
    times = psutil.cpu_times()._asdict()
    return float(sum(times[kind] for kind in set(times) - {"idle", "iowait", "guest", "guest_nice"}))


def gather(rounds: Iterator[Round], quiet: int, most: int) -> list[Round]:
    """Rounds until so many of them were quiet; ``most`` at most."""
    found: list[Round] = []
    while len(found) < most and sum(each.quiet for each in found) < quiet:
        found.append(next(rounds))
    return found


def tell(name: str, batch_rows: int, found: Sequence[Round]) -> None:
    """Print the medians of the quiet rounds, or of all where none was quiet."""
    quiet = [each for each in found if each.quiet]
    foreign = statistics.median(each.foreign_cores for each in found)
    print(f"{name}, {batch_rows} rows: {len(quiet)} of {len(found)} rounds were quiet (others: {foreign:.2f} cores)")
    rounds = [each.rates for each in quiet or found]
    for variant in VARIANTS:
        print(f"  {variant:28}{statistics.median(rates[variant] for rates in rounds):12,.0f} events/s")
    for dividend, divisor in RATIOS:
        ratios = [rates[dividend] / rates[divisor] for rates in rounds]
        extremes = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {f'{dividend} / {divisor}':28}{statistics.median(ratios):12.2f}  ({extremes})", flush=True)


def main() -> None:
    """Print rates and ratios for each workload and batch size."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="*", default=["payment", "floats"], choices=_AVRO)
    parser.add_argument("--batch-rows", type=int, nargs="*", default=[256, 2048])
    parser.add_argument("--rounds", type=int, default=9, help="quiet ones that are wanted")
    parser.add_argument("--most-rounds", type=int, default=45, help="that are tried for them")
    parser.add_argument("--events", type=int, default=200_000, help="of each line in each round")
    arguments = parser.parse_args()
    for name in arguments.workloads:
        stage = Stage(name, arguments.events)
        for batch_rows in arguments.batch_rows:
            tell(name, batch_rows, gather(stage.rounds(batch_rows), arguments.rounds, arguments.most_rounds))
        stage.close()


if __name__ == "__main__":
    main()

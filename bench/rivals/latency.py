"""Latency under an open load, from append to append: how long after an event its score is in the output topic.

    python -m bench.rivals.latency --rate 2000 --seconds 60 --repetitions 5

Rule: see `bench.rivals.open_load`. The first seconds are left out, in which subjects warm up.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench import CACHE
from bench.rivals.cpu_time import tree_cpu_s
from bench.rivals.open_load import APPEND_TIME, send, waits_ms
from bench.rivals.runner import PARTITIONS, Stage, last_words
from bench.rivals.subjects import SUBJECTS, Start, Subject, with_batching
from bench.rivals.workloads import WORKLOADS, prepare
from integration import support_log
from integration.local_kafka import LocalKafka
from integration.topics import Topics
from stream_infer.bench.figures import growth
from stream_infer.types import Float64Array

WARM_UP_S = 10.0
_READY_S = 60.0


class Latency(NamedTuple):
    """Milliseconds; the broker's clock ticks in whole ones."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    events: int
    cpu_us: float
    """CPU of all its processes by event, from the first event of the load to the last answer."""
    rises: float
    """Seconds by which the usual latency rose in a second (`stream_infer.bench.figures.growth`)."""
    sender_late_ms: float
    """How late the load itself was at the worst."""


def measure(stage: Stage, subject: Subject, folder: Path, due_s: Float64Array, warm_up_s: float) -> Latency:
    """One subject, once.

    Args:
        stage: the broker.
        subject: who.
        folder: for what it needs.
        due_s: when events are due, ascending.
        warm_up_s: seconds of the load that do not count.

    Raises:
        TimeoutError: it did not answer the first event, or not all of them.
    """
    source = stage.topics.create(PARTITIONS, "bench-in", APPEND_TIME)
    task = stage.task(output_config=APPEND_TIME, input=source)
    process = _started(subject.start(task, stage.prepared, folder), folder)
    events, broker = stage.prepared.events, stage.bootstrap_servers
    try:
        # The first one only shows that the subject is there.
        support_log.produce(broker, source, events.values[-1:], events.keys[-1:])
        _await_outputs(broker, task.output, 1, folder)
        cpu_s = tree_cpu_s(process.pid)
        late_s = send(broker, source, events, due_s)
        _await_outputs(broker, task.output, 1 + len(due_s), folder)
        cpu_s = tree_cpu_s(process.pid) - cpu_s
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_READY_S)
    at_ms, waits = waits_ms(broker, source, task.output, warm_up_s)
    p50, p99, p999 = np.quantile(waits, (0.5, 0.99, 0.999)).tolist()
    rises = growth(at_ms / 1000.0, waits / 1000.0)
    return Latency(p50, p99, p999, len(waits), 1e6 * cpu_s / len(due_s), rises, 1000 * late_s)


def _started(start: Start, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log.txt").open("wb") as words:
        environment = {**os.environ, **start.environment}
        return subprocess.Popen(start.command, stdout=words, stderr=words, env=environment)


def _await_outputs(bootstrap_servers: str, topic: str, count: int, folder: Path) -> None:
    give_up = time.monotonic() + _READY_S
    while sum(support_log.ends(bootstrap_servers, topic).values()) < count:
        if time.monotonic() > give_up:
            raise TimeoutError(f"{count} outputs did not come in {_READY_S:.0f} s{last_words(folder)}")
        time.sleep(0.1)


def subjects(names: Sequence[str], slo_ms: float) -> Mapping[str, Subject]:
    """Those named; ``stream_infer`` gets the goal."""
    return {name: with_batching(slo_ms=slo_ms) if name == "stream_infer" else SUBJECTS[name] for name in names}


def main() -> int:
    """Measure in turns, and print each run and the medians."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals.latency", description=__doc__.splitlines()[0])
    parser.add_argument("--workload", default="payment", choices=WORKLOADS)
    parser.add_argument("--subjects", default="stream_infer,streams,floor")
    parser.add_argument("--rate", type=float, default=2000, help="events a second")
    parser.add_argument(
        "--seconds", type=float, default=60, help=f"of each run; the first {WARM_UP_S:.0f} do not count"
    )
    parser.add_argument("--slo-ms", type=float, default=25, help="stream_infer's goal")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    due_s = np.arange(int(options.rate * options.seconds)) / options.rate
    prepared = prepare(WORKLOADS[options.workload], len(due_s) + 1, CACHE)
    found: dict[str, list[Latency]] = {name: [] for name in options.subjects.split(",")}
    told = subjects(list(found), options.slo_ms).items()
    with (
        tempfile.TemporaryDirectory(prefix="stream-infer-bench.") as directory,
        LocalKafka(Path(directory) / "kafka") as kafka,
    ):
        stage = Stage(kafka.bootstrap_servers, Topics(kafka.bootstrap_servers), "", prepared)
        for _, (name, subject) in itertools.product(range(options.repetitions), told):
            folder = Path(tempfile.mkdtemp(dir=directory))
            found[name].append(measure(stage, subject, folder, due_s, WARM_UP_S))
            print(name, *(f"{field} {value:g}" for field, value in found[name][-1]._asdict().items()), flush=True)
    for name, runs in found.items():
        middles = [statistics.median(run[place] for run in runs) for place in range(3)]
        print(f"{name:24s} median p50 {middles[0]:g} ms, p99 {middles[1]:g} ms, p99.9 {middles[2]:g} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())

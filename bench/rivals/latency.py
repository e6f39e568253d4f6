"""Latency under an open load, from append to append: how long after an event its score is in the output topic.

    python -m bench.rivals.latency --rate 2000 --seconds 60 --repetitions 5

Rule: both topics have ``LogAppendTime``, so the broker's one clock stamps events and scores when they are written, and
no subject can be kind to itself. Events are sent when their time has come, whether or not the subject keeps up. The
first seconds are left out, in which subjects warm up.
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
from confluent_kafka import Producer

from bench import CACHE
from bench.rivals.runner import PARTITIONS, Stage, last_words
from bench.rivals.subjects import SUBJECTS, Start, Subject, with_goal
from bench.rivals.workloads import WORKLOADS, Prepared, prepare
from integration import support_log
from integration.local_kafka import LocalKafka
from integration.topics import Topics
from stream_infer.types import Int64Array

WARM_UP_S = 10.0
_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
_READY_S = 60.0


class Latency(NamedTuple):
    """Milliseconds; the broker's clock ticks in whole ones."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    events: int


def send_at_rate(bootstrap_servers: str, topic: str, prepared: Prepared, rate_per_s: float, seconds: float) -> None:
    """Send events one by one, each when its time has come."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "partitioner": "murmur2_random"})
    events = prepared.events
    began = time.monotonic()
    for number in range(int(rate_per_s * seconds)):
        wait_s = began + number / rate_per_s - time.monotonic()
        if wait_s > 0:
            producer.poll(0)
            time.sleep(wait_s)
        producer.produce(topic, events.values[number], events.keys[number])
    producer.flush(_READY_S)


def measure(stage: Stage, subject: Subject, folder: Path, rate_per_s: float, seconds: float) -> Latency:
    """One subject, once.

    Raises:
        TimeoutError: it did not answer the first event, or not all of them.
    """
    task = stage.task(output_config=_APPEND_TIME, input=stage.topics.create(PARTITIONS, "bench-in", _APPEND_TIME))
    start = subject.start(task, stage.prepared, folder)
    process = _started(start, folder)
    try:
        # The first one only shows that the subject is there.
        support_log.produce(stage.bootstrap_servers, task.input, stage.prepared.events.values[-1:])
        _await_outputs(stage.bootstrap_servers, task.output, 1, folder)
        send_at_rate(stage.bootstrap_servers, task.input, stage.prepared, rate_per_s, seconds)
        _await_outputs(stage.bootstrap_servers, task.output, 1 + int(rate_per_s * seconds), folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_READY_S)
    return latency_of(stage, start, task.input, task.output, int(rate_per_s * WARM_UP_S))


def latency_of(stage: Stage, start: Start, source: str, target: str, skipped: int) -> Latency:
    """What the two topics tell, without the first ``skipped`` events."""
    sent, answered = (support_log.read(stage.bootstrap_servers, topic) for topic in (source, target))
    came = dict(zip(sent.values, sent.timestamp_ms.tolist(), strict=True))
    prepared = stage.prepared
    by_id = dict(zip(prepared.ids, prepared.events.values, strict=True))
    wanted = set(prepared.events.values[skipped:])
    values = [value or b"" for value in answered.values]
    inputs = values if start.read is None else [by_id[one.id] for one in start.read(values)]
    pairs = zip(inputs, answered.timestamp_ms.tolist(), strict=True)
    waits: Int64Array = np.array([at_ms - came[value] for value, at_ms in pairs if value in wanted], np.int64)
    p50, p99, p999 = np.quantile(waits, (0.5, 0.99, 0.999)).tolist()
    return Latency(p50, p99, p999, len(waits))


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
    return {name: with_goal(slo_ms) if name == "stream_infer" else SUBJECTS[name] for name in names}


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
    prepared = prepare(WORKLOADS[options.workload], int(options.rate * options.seconds) + 1, CACHE)
    found: dict[str, list[Latency]] = {name: [] for name in options.subjects.split(",")}
    told = subjects(list(found), options.slo_ms).items()
    with (
        tempfile.TemporaryDirectory(prefix="stream-infer-bench.") as directory,
        LocalKafka(Path(directory) / "kafka") as kafka,
    ):
        stage = Stage(kafka.bootstrap_servers, Topics(kafka.bootstrap_servers), "", prepared)
        for _, (name, subject) in itertools.product(range(options.repetitions), told):
            folder = Path(tempfile.mkdtemp(dir=directory))
            found[name].append(measure(stage, subject, folder, options.rate, options.seconds))
            print(name, *(f"{field} {value:g}" for field, value in found[name][-1]._asdict().items()), flush=True)
    for name, runs in found.items():
        middles = [statistics.median(run[place] for run in runs) for place in range(3)]
        print(f"{name:24s} median p50 {middles[0]:g} ms, p99 {middles[1]:g} ms, p99.9 {middles[2]:g} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())

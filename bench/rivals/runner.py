"""One subject, once: started, watched until its outputs are there, stopped, and its outputs checked.

Rule: nothing of the subject is trusted: CPU comes from ``/proc``, progress from the ends of the output topic, and what
was written is read back and compared: each event once, with the score that the model gives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.rivals.contract import Task
from bench.rivals.cpu_time import tree_cpu_s
from bench.rivals.figures import Figures, Sample, steady_figures
from bench.rivals.outputs import Reader, Scored
from bench.rivals.scorers import THRESHOLD
from bench.rivals.subjects import Start, Subject
from bench.rivals.workloads import Prepared
from integration import support_log
from integration.topics import Topics

PARTITIONS = 4
_LOOK_EVERY_S = 0.05
_TIMEOUT_S = 600.0
_END_TIMEOUT_S = 60.0
_TOLERANCE = 1e-6
"""Of scores: Java's and Python's ONNX Runtime are not of one version, and may sum in another order."""
_NEAR = 1e-5
"""Scores so near to the threshold may be flagged or not: stream_infer rounds them first."""
_FEWEST = 5_000
"""Events that even a slow subject is given, where there are as many: fewer are gone between two looks."""


class SubjectFailed(RuntimeError):
    """It ended, did not get through in time, or wrote something else than it had to."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where subjects run: a broker with the events in a topic."""

    bootstrap_servers: str
    topics: Topics
    source: str
    prepared: Prepared

    @classmethod
    def set(cls, bootstrap_servers: str, topics: Topics, prepared: Prepared) -> Stage:
        """Write the events into a topic of their own."""
        source = topics.create(PARTITIONS, f"bench-{prepared.workload.name}")
        support_log.produce(bootstrap_servers, source, prepared.events.values, prepared.events.keys)
        return cls(bootstrap_servers, topics, source, prepared)

    def run(self, subject: Subject, folder: Path, *, batch: int = 256, linger_ms: int = 5) -> Figures:
        """Run a subject over the first of the events.

        Args:
            subject: who.
            folder: gets what it needs, and its log.
            batch: most events of a model call, for those that form batches themselves.
            linger_ms: longest wait for these.

        Raises:
            SubjectFailed: with its last words.
        """
        task = self.task(batch=batch, linger_ms=linger_ms)
        start = subject.start(task, self.prepared, folder)
        wanted = wanted_events(subject.share, len(self.prepared.events.values))
        samples = self._watch(start, task, folder, wanted)
        self._check(start.read, task.output, wanted)
        return steady_figures(samples, wanted)

    def task(
        self,
        *,
        input: str = "",
        batch: int = 256,
        linger_ms: int = 5,
        output_config: Mapping[str, str] | None = None,
    ) -> Task:
        """A task with topics of its own for outputs and dead letters; ``input`` instead of the stage's."""
        output = self.topics.create(PARTITIONS, "bench-out", output_config)
        self.topics.create(1, f"{output}.dlq", exact=True)
        prepared = self.prepared
        return Task(
            bootstrap=self.bootstrap_servers,
            input=input or self.source,
            output=output,
            group=f"bench-{uuid.uuid4().hex[:8]}",
            workload=prepared.workload.name,
            model=prepared.model,
            schema=prepared.schema,
            output_schema=prepared.output_schema,
            assets=prepared.folder,
            batch=batch,
            linger_ms=linger_ms,
        )

    def _watch(self, start: Start, task: Task, folder: Path, wanted: int) -> list[Sample]:
        with (folder / "log.txt").open("wb") as words:
            environment = {**os.environ, **start.environment}
            process = subprocess.Popen(start.command, stdout=words, stderr=words, env=environment)
        samples: list[Sample] = []
        give_up = time.monotonic() + _TIMEOUT_S
        try:
            while not samples or samples[-1].outputs < wanted:
                if process.poll() is not None or time.monotonic() > give_up:
                    end = "too slow" if process.returncode is None else f"ended with code {process.returncode}"
                    came = samples[-1].outputs if samples else 0
                    raise SubjectFailed(f"{end}: it came to {came} of {wanted}{last_words(folder)}")
                outputs = sum(support_log.ends(self.bootstrap_servers, task.output).values())
                samples.append(Sample(time.monotonic(), tree_cpu_s(process.pid), outputs))
                time.sleep(_LOOK_EVERY_S)
            process.send_signal(signal.SIGTERM)
            if process.wait(_END_TIMEOUT_S) != 0:
                raise SubjectFailed(f"it ended with code {process.returncode}{last_words(folder)}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return samples

    def _check(self, read: Reader | None, topic: str, wanted: int) -> None:
        written = support_log.read(self.bootstrap_servers, topic)
        values = [value for value in written.values if value is not None]
        events = self.prepared.events
        if read is None:
            known = set(events.values)
            if len(set(values)) != len(values) or not known.issuperset(values):
                raise SubjectFailed("bytes came through that were not sent, or came twice")
            return
        rows = {name: row for row, name in enumerate(self.prepared.ids)}
        scored = read(values)
        places = [rows[one.id] for one in scored]
        if len(set(places)) != len(places) or len(places) < wanted:
            raise SubjectFailed(f"{len(places)} outputs speak of {len(set(places))} events; {wanted} were wanted")
        check_scores(self.prepared.scores[places], scored)


def wanted_events(share: float, count: int) -> int:
    """How many of ``count`` events a subject with a share has to answer."""
    return min(count, max(int(share * count), _FEWEST))


def check_scores(expected: np.ndarray, scored: Sequence[Scored]) -> None:
    """Compare with the scores that the model gives, row by row; flags only where outputs hold them.

    Raises:
        SubjectFailed: a score or a flag is wrong.
    """
    off = np.abs(np.array([one.score for one in scored]) - expected)
    if not off.max() <= _TOLERANCE:
        raise SubjectFailed(f"a score is off by {off.max():g}")
    wrong = [
        one.flagged not in (None, score >= THRESHOLD) for one, score in zip(scored, expected.tolist(), strict=True)
    ]
    if (np.array(wrong) & (np.abs(expected - THRESHOLD) >= _NEAR)).any():
        raise SubjectFailed("an event is flagged that must not be, or the other way round")


def last_words(folder: Path) -> str:
    """What a subject said last, to end a sentence with."""
    return "; its last words:\n" + "\n".join((folder / "log.txt").read_text(errors="replace").splitlines()[-15:])

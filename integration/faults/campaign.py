"""Many trials, one after the other: stages made and mended, verdicts given, results kept.

Rule: a trial that fails is kept whole (configs, logs, history), one that does not leaves its result only. A trial that
could not be judged, because the brokers did not come back, gets one more try on a new stage, and no result otherwise.
"""

from __future__ import annotations

import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from confluent_kafka import KafkaException

from integration.artifacts import cache_directory
from integration.faults import history as histories
from integration.faults.checker import check
from integration.faults.plan import Plan, TrialKey, make_plan
from integration.faults.report import TrialResult, result_of
from integration.faults.stage import BrokersAtFault, Stage
from integration.faults.trial import Storm, Trial

REPOSITORY = Path(__file__).resolve().parents[2]
_CANNOT_BE_JUDGED = (BrokersAtFault, KafkaException, RuntimeError, TimeoutError, OSError)
_TRIES = 2


FAILED_ONCE = (TrialKey("exactly_once", "cooperative-sticky", 30),)
"""Trials that found something: a split that was tried event by event slowed all others to that pace.

Every campaign begins with them. What was mended has tests of its own, which are in every run."""


def kept_directory() -> Path:
    """Where failed trials and results are kept."""
    return cache_directory() / "faults"


def run_trial(
    plan: Plan, stage: Stage, directory: Path, *, package: Path | None = None, storm: Storm | None = None
) -> TrialResult:
    """One trial, judged. What it leaves in ``directory`` is all there is to know about it.

    Args:
        plan: what is to happen.
        stage: where; healthy.
        directory: gets configs, logs, ``history.jsonl``, ``plan.txt`` and ``words.txt``.
        package: directory to import another `stream_infer` from.
        storm: what to do instead of the plan's faults.

    Raises:
        BrokersAtFault, RuntimeError, TimeoutError, KafkaException: it cannot be judged, see `Trial.run`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "plan.txt").write_text(plan.explain() + "\n")
    with Trial(plan, stage, directory, package) as trial:
        evidence = trial.run(storm)
    histories.save(evidence.history, directory / "history.jsonl")
    verdict = check(evidence.history)
    failure = "; ".join(f"{problem.name}: {problem.text}" for problem in evidence.problems)
    (directory / "words.txt").write_text(f"{verdict.sentence()}\n{failure}\n{evidence.words}\n")
    return result_of(
        evidence.history,
        verdict,
        seconds=evidence.seconds,
        commit=commit(),
        failure=failure,
    )


@cache
def commit() -> str:
    """What is being tested: the abbreviated commit, with ``+`` where the tree had changes on top."""
    found = _git("rev-parse", "--short", "HEAD")
    return found + ("+" if _git("status", "--porcelain", "stream_infer") else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()


class Campaign:
    """Runs trials on stages of its own.

    Args:
        on_result: told of each result, and of the directory of a trial that failed (None for one that did not).
        on_trouble: told of each trial that could not be judged, and why.
    """

    def __init__(
        self,
        on_result: Callable[[TrialResult, Path | None], None],
        on_trouble: Callable[[TrialKey, Exception], None],
    ) -> None:
        self._on_result = on_result
        self._on_trouble = on_trouble
        self._lock = threading.Lock()
        self._keys: queue.SimpleQueue[TrialKey] = queue.SimpleQueue()

    def run(self, keys: Iterable[TrialKey], jobs: int = 1) -> None:
        """Run all trials, ``jobs`` at a time, those with clusters of the same size together."""
        for key in sorted(keys, key=lambda key: key.nodes):
            self._keys.put(key)
        others = [threading.Thread(target=self._work, name=f"trials-{job}") for job in range(1, jobs)]
        for other in others:
            other.start()
        self._work()
        for other in others:
            other.join()

    def _work(self) -> None:
        with _Stages() as stages:
            while True:
                try:
                    key = self._keys.get_nowait()
                except queue.Empty:
                    return
                self._run(key, stages)

    def _run(self, key: TrialKey, stages: _Stages) -> None:
        for _ in range(_TRIES):
            directory = _fresh_directory(key)
            try:
                result = run_trial(make_plan(key), stages.get(key.nodes), directory)
            except _CANNOT_BE_JUDGED as error:
                stages.drop()
                shutil.rmtree(directory)
                with self._lock:
                    self._on_trouble(key, error)
                continue
            if result.ok:
                shutil.rmtree(directory)
            else:
                stages.copy_logs(directory)
            with self._lock:
                self._on_result(result, None if result.ok else directory)
            return


def _fresh_directory(key: TrialKey) -> Path:
    kept_directory().mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{str(key).replace('/', '-')}.", dir=kept_directory()))


class _Stages:
    """The stage of one worker: made when needed, replaced when another size is, or when it broke."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._directory: Path | None = None

    def get(self, nodes: int) -> Stage:
        """A healthy stage of that size."""
        if self._stage is None or len(self._stage.kafka.nodes) != nodes:
            self.drop()
            self._directory = Path(tempfile.mkdtemp(prefix="stream-infer-faults."))
            self._stage = Stage(self._directory, nodes)
            self._stage.start()
        return self._stage

    def copy_logs(self, to: Path) -> None:
        """Keep what the brokers have logged so far."""
        if self._stage is not None:
            self._stage.copy_logs(to)

    def drop(self) -> None:
        """End the stage there is, and forget its data."""
        if self._stage is not None:
            self._stage.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._stage = self._directory = None

    def __enter__(self) -> _Stages:
        return self

    def __exit__(self, *_error: object) -> None:
        self.drop()


__all__ = ["FAILED_ONCE", "REPOSITORY", "Campaign", "commit", "kept_directory", "run_trial"]

"""The comparison: all subjects on one workload, in turns, on a broker of its own.

    python -m bench.rivals                                             # everything, three times
    python -m bench.rivals --workload floats,crayfish --subjects stream_infer,plain_python --events 200000

A workload is compared with the subjects that it names; of large events it takes fewer. Each repetition runs every
subject once, so what the machine does meanwhile meets all of them. A line for each run, or why there is none, goes to
``.cache/bench/results.jsonl`` (`--results`); `bench.rivals.page` tells the last run in ``docs``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import CACHE
from bench.rivals import machine
from bench.rivals.figures import Figures
from bench.rivals.report import table
from bench.rivals.runner import Stage, SubjectFailed
from bench.rivals.subjects import SUBJECTS
from bench.rivals.workloads import WORKLOADS, Workload, prepare
from integration.local_kafka import LocalKafka
from integration.topics import Topics

RESULTS = CACHE / "results.jsonl"
GATES_RESULTS = CACHE / "gates.jsonl"
"""Of the short comparison, which no page tells."""


def main() -> int:
    """Run, and print tables; 1 if a subject failed."""
    options = _options()
    names, workloads = _chosen(options.subjects, SUBJECTS), _chosen(options.workload, WORKLOADS)
    missing = {name: reason for name in names if (reason := SUBJECTS[name].missing())}
    for name, reason in missing.items():
        print(f"not run: {SUBJECTS[name].title}: {reason}")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="stream-infer-bench.") as directory:
        for workload in (WORKLOADS[name] for name in workloads):
            compared = [name for name in names if workload.compares(name)]
            failed += _compare(workload, compared, missing, options, Path(directory))
    return 1 if failed else 0


def _chosen(told: str, known: Mapping[str, Any]) -> list[str]:
    """Names in a comma-joined option.

    Raises:
        SystemExit: one is not known.
    """
    names = told.split(",")
    if unknown := sorted(set(names) - set(known)):
        print(f"there is no {unknown[0]}; there are: {', '.join(known)}", file=sys.stderr)
        raise SystemExit(2)
    return names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.rivals", description=__doc__.splitlines()[0])
    parser.add_argument("--workload", default=",".join(WORKLOADS), help="one or more of: " + ", ".join(WORKLOADS))
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="one or more of: " + ", ".join(SUBJECTS))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_000_000, help="in the topic, of the small kinds")
    parser.add_argument("--batch", type=int, default=1024, help="most events of a model call, for rivals that batch")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file that lines are added to")
    return parser.parse_args()


def _compare(
    workload: Workload, names: Sequence[str], missing: Mapping[str, str], options: argparse.Namespace, directory: Path
) -> int:
    count = max(1, int(options.events * workload.share))
    print(f"\n{workload.name}: {count:,} events", flush=True)
    prepared = prepare(workload, count, CACHE)
    runnable = [name for name in names if name not in missing]
    found: dict[str, dict[int, Figures]] = {name: {} for name in runnable}
    run = {"run": uuid.uuid4().hex[:8], "workload": workload.name, "events": count, "machine": machine.describe()}
    failed = 0
    for name in names:
        if name in missing:
            _keep(options.results, run, name, 0, {"failed": missing[name]})
    with LocalKafka(directory / workload.name) as kafka:
        topics = Topics(kafka.bootstrap_servers)
        stage = Stage.set(kafka.bootstrap_servers, topics, prepared)
        for repetition in range(options.repetitions):
            for name in runnable:
                folder = Path(tempfile.mkdtemp(dir=directory))
                try:
                    figures = stage.run(SUBJECTS[name], folder, batch=options.batch)
                except SubjectFailed as error:
                    print(f"{name} failed: {error}", file=sys.stderr)
                    failed += 1
                    _keep(options.results, run, name, repetition, {"failed": str(error).partition(";")[0]})
                    continue
                found[name][repetition] = figures
                _keep(options.results, run, name, repetition, _rounded(figures))
                told = f"{figures.cpu_us_per_event:8.2f} us of CPU an event, {figures.events_per_s:10,.0f} events/s"
                print(f"{repetition + 1}  {name:24s}{told}", flush=True)
    print(table(found))
    return failed


def _rounded(figures: Figures) -> dict[str, float]:
    return {"cpu_us_per_event": round(figures.cpu_us_per_event, 3), "events_per_s": round(figures.events_per_s)}


def _keep(file: Path, run: Mapping[str, Any], name: str, repetition: int, came: Mapping[str, Any]) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with file.open("a") as results:
        results.write(json.dumps({**run, "at": at, "subject": name, "repetition": repetition, **came}) + "\n")


if __name__ == "__main__":
    sys.exit(main())

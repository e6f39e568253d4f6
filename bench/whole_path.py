"""The whole path without Kafka, from framed Avro to scored Avro: columns and kernels against dicts. CPU per event.

Rule: both are given the same events, one after the other within a round, and no event comes twice: repeated events
teach the branch predictor. Only the ratio within a round means something; the median of all rounds is reported. Id,
score and flag of every event are compared on the way.

    python -m bench.whole_path
    python -m bench.whole_path --workloads payment --batch-rows 256

``columns`` is `stream_infer.work.Work` as the service composes it, from records in columns to payloads in a column.
``dicts`` is what most people write first (`bench.rivals`): fastavro, a dict and a list of floats for each event,
onnxruntime on the batch, a dict and fastavro again. It writes three fields, ``columns`` twelve and the id.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence

from bench import CACHE
from bench.in_memory import as_records, open_work, output_of
from bench.rivals.events import Events
from bench.rivals.outputs import avro_reader
from bench.rivals.scorers import scorer
from bench.rivals.workloads import OUTPUT_SCHEMA, WORKLOADS, Prepared, offline_task, prepare
from stream_infer.types import Binary

_AVRO = [name for name, workload in WORKLOADS.items() if workload.codec == "avro"]


class Contest:
    """One workload through both paths.

    Args:
        made: the workload, with as many events as the rounds of all batch sizes use up.
        batch_rows: most rows of a batch.
    """

    def __init__(self, made: Prepared, batch_rows: int) -> None:
        self._dicts = scorer(offline_task(made))
        self._work = open_work(made, batch_rows)
        self._read_columns = avro_reader(output_of(made).avro, made.workload.id_field)
        self._read_dicts = avro_reader(OUTPUT_SCHEMA, "id")
        self._events = made.events
        self._taken = 0

    def rounds(self, batch_rows: int, rounds: int, events: int) -> Iterator[dict[str, float]]:
        """Microseconds of CPU per event of each path, round by round.

        Raises:
            SystemExit: the paths do not say the same of an event, or one was not scored.
        """
        for turn in range(rounds + 1):
            batches = [self._take(batch_rows) for _ in range(events // batch_rows)]
            spent, answers = {}, {}
            for name in ("columns", "dicts")[:: 1 if turn % 2 else -1]:
                spent[name], answers[name] = self._through(name, batches)
            if self._read_columns(answers["columns"]) != self._read_dicts(answers["dicts"]):
                raise SystemExit("the two paths do not say the same of an event")
            if turn:  # the first one compiles
                yield spent

    def _take(self, count: int) -> Events:
        start, self._taken = self._taken, self._taken + count
        drawn = self._events
        return Events(drawn.values[start : self._taken], drawn.keys[start : self._taken], ())

    def _through(self, name: str, batches: Sequence[Events]) -> tuple[float, list[bytes]]:
        """Microseconds per event, and what came out."""
        outputs: list[Binary] | list[list[bytes]]
        if name == "columns":
            records = [as_records(batch.values, batch.keys) for batch in batches]
            began = time.process_time()
            outputs = [self._work.score(batch).batch.payload for batch in records]
        else:
            began = time.process_time()
            outputs = [self._dicts(batch.values) for batch in batches]
        spent = (time.process_time() - began) / sum(len(batch.values) for batch in batches) * 1e6
        came = [value for output in outputs for value in (output if isinstance(output, list) else output.to_list())]
        return spent, _all_there(came)


def _all_there(values: Sequence[bytes | None]) -> list[bytes]:
    """The values; SystemExit where one is missing."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        raise SystemExit("an event was not scored")
    return there


def main() -> None:
    """Print a line for each workload and batch size."""
    parser = argparse.ArgumentParser(prog="python -m bench.whole_path", description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="*", default=["payment", "floats"], choices=_AVRO)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-rows", type=int, nargs="*", default=[256, 16])
    parser.add_argument("--events", type=int, default=4096, help="of each round")
    arguments = parser.parse_args()
    needed = (arguments.rounds + 1) * arguments.events * len(arguments.batch_rows)
    print(f"{'workload':18}{'rows':>6}{'dicts us':>10}{'columns us':>12}{'ratio':>8}{'of rounds':>16}")
    for name in arguments.workloads:
        contest = Contest(prepare(WORKLOADS[name], needed, CACHE), max(arguments.batch_rows))
        for batch_rows in arguments.batch_rows:
            found = list(contest.rounds(batch_rows, arguments.rounds, arguments.events))
            us = {path: statistics.median(spent[path] for spent in found) for path in found[0]}
            ratios = [spent["dicts"] / spent["columns"] for spent in found]
            extremes = f"{min(ratios):.1f} to {max(ratios):.1f}"
            print(
                f"{name:18}{batch_rows:6}{us['dicts']:10.2f}{us['columns']:12.2f}"
                f"{statistics.median(ratios):8.1f}{extremes:>16}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""``python -m integration.faults``: trials on real brokers, a line for each, and a table at the end.

Rule: what a trial is follows from its key, and a key whose result is in the results file is not run again, so that an
interrupted campaign goes on where it was. Keys that failed once come first. The exit code is 1 when any trial failed or
could not be judged.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from integration.artifacts import ComponentUnavailable
from integration.faults import report
from integration.faults.campaign import FAILED_ONCE, REPOSITORY, Campaign, kept_directory
from integration.faults.plan import GUARANTEES, PROTOCOLS, TrialKey, make_plan, trial_keys
from integration.faults.report import TrialName, TrialResult


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials that were asked for."""
    options = _parser().parse_args(arguments)
    keys = _select(options)
    if options.explain:
        print("\n".join(make_plan(key).explain() for key in keys))
        return 0
    # Both become an orderly end, in which brokers and replicas are stopped.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(keys, options)
    except ComponentUnavailable as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
    return 1


def _run(keys: Sequence[TrialKey], options: argparse.Namespace) -> int:
    results: Path = options.results
    names = {TrialName(*key) for key in keys}
    known = report.load(results)
    missing = [key for key in keys if TrialName(*key) not in known]
    if len(missing) < len(keys):
        print(f"{len(keys) - len(missing)} of {len(keys)} trials are in {_relative(results)} already")

    def tell(result: TrialResult, directory: Path | None) -> None:
        report.append(result, results)
        print(report.line(result), flush=True)
        if directory is not None:
            print(f"       kept in {_relative(directory)}", flush=True)

    def complain(key: TrialKey, error: Exception) -> None:
        print(f"no result of {key}: {error}", file=sys.stderr, flush=True)

    Campaign(tell, complain).run(missing, options.jobs)
    asked = {name: result for name, result in report.load(results).items() if name in names}
    print(f"\n{report.table(asked.values())}")
    return 0 if len(asked) == len(keys) and all(result.ok for result in asked.values()) else 1


def _select(options: argparse.Namespace) -> list[TrialKey]:
    guarantees = [options.guarantee] if options.guarantee else GUARANTEES
    protocols = [options.protocol] if options.protocol else PROTOCOLS
    first = options.seed if options.only is None else options.only
    keys = trial_keys(first, guarantees, protocols)
    if options.only is not None:
        return list(itertools.takewhile(lambda key: key.seed == first, keys))
    again = [key for key in FAILED_ONCE if key.guarantee in guarantees and key.protocol in protocols]
    fitting = (key for key in itertools.chain(again, keys) if options.nodes in (None, key.nodes))
    return list(dict.fromkeys(itertools.islice(fitting, options.trials)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make faults", description="Random faults, and the proof that nothing is lost."
    )
    parser.add_argument("--trials", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--only", type=int, metavar="SEED", help="this one seed, whatever --trials says")
    parser.add_argument("--guarantee", choices=GUARANTEES, help="both by default")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="rebalance protocol; all three by default")
    parser.add_argument("--nodes", type=int, choices=(1, 3), help="only trials on so many brokers")
    parser.add_argument("--jobs", type=int, default=1, help="trials at the same time, each with its own brokers")
    parser.add_argument("--results", type=Path, default=kept_directory() / "results.jsonl", help="file of results")
    parser.add_argument("--explain", action="store_true", help="print what would happen, and do nothing")
    return parser


def _relative(path: Path) -> Path:
    resolved = path.resolve()
    return resolved.relative_to(REPOSITORY) if resolved.is_relative_to(REPOSITORY) else path


if __name__ == "__main__":
    sys.exit(main())

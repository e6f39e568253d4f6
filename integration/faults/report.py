"""What trials came to: one line a trial in a file, one on the terminal, and a table for docs/delivery.md.

Rule: the file only grows. A trial is named by guarantee, protocol and seed, so an interrupted run goes on where
it was, and of a trial that was run again the last result counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from integration.faults.checker import Finding, Verdict
from integration.faults.history import Guarantee, History

_LOST = (Finding.LOST, Finding.COMMIT_AHEAD)
"""Both are events that nobody will read again (see `integration.faults.checker`)."""
_OTHERS = tuple(
    finding
    for finding in Finding
    if not finding.tolerated and finding not in (*_LOST, Finding.DUPLICATED, Finding.REORDERED)
)
_TOTALS = (
    "trials",
    "failed",
    "faults",
    "events",
    "lost",
    "duplicated",
    "out of order",
    "other errors",
    "repeats",
    "condemned",
)
_Row: TypeAlias = tuple[str | int, ...]


class TrialName(NamedTuple):
    """What a trial is called by, and made from."""

    guarantee: Guarantee
    protocol: str
    seed: int


class TrialResult(msgspec.Struct, frozen=True):
    """One trial, as it is kept.

    Args:
        seed: what input and schedule were made from.
        guarantee: what had to be kept.
        protocol: of the group.
        faults: kind -> how often.
        events: acknowledged inputs.
        outputs: scored events and dead letters that count.
        repeats: outcomes beyond the first of an input, where the guarantee allows them.
        findings: name of a `Finding` -> how often; tolerated ones as well.
        seconds: how long the trial took.
        commit: what was tested; abbreviated, with ``+`` where the tree had changes on top.
        failure: why the trial failed beyond its findings (a replica's exit code, say); empty if it did not.
    """

    seed: int
    guarantee: Guarantee
    protocol: str
    faults: dict[str, int]
    events: int
    outputs: int
    repeats: int
    findings: dict[Finding, int]
    seconds: float
    commit: str
    failure: str = ""

    @property
    def name(self) -> TrialName:
        """What the trial is called by."""
        return TrialName(self.guarantee, self.protocol, self.seed)

    @property
    def ok(self) -> bool:
        """True where nothing was found but what is tolerated."""
        return not self.failure and all(finding.tolerated for finding in self.findings)

    def count(self, *findings: Finding) -> int:
        """How often any of ``findings`` was found."""
        return sum(self.findings.get(finding, 0) for finding in findings)


def result_of(history: History, verdict: Verdict, *, seconds: float, commit: str, failure: str = "") -> TrialResult:
    """What is kept of a trial: see `TrialResult`."""
    return TrialResult(
        history.seed,
        history.guarantee,
        history.protocol,
        dict(Counter(fault.kind for fault in history.faults)),
        verdict.events,
        verdict.outcomes,
        verdict.repeats,
        verdict.counts,
        round(seconds, 1),
        commit,
        failure,
    )


def append(result: TrialResult, path: Path) -> None:
    """Add a result to a file, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(result) + b"\n")


def load(path: Path) -> dict[TrialName, TrialResult]:
    """The last result of each trial in a file; none where there is no file yet.

    Raises:
        ValueError: a line is not that of a result; it is named.
    """
    if not path.exists():
        return {}
    results: dict[TrialName, TrialResult] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            result = msgspec.json.decode(line, type=TrialResult)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}: line {number} is not the result of a trial: {error}") from error
        results[result.name] = result
    return results


def line(result: TrialResult) -> str:
    """A trial on one line, about 120 characters wide."""
    name = f"{result.guarantee:<13} {result.protocol:<18} seed {result.seed:<5}"
    faults = ", ".join(_kinds(result.faults))
    size = f"{result.events} events, {result.repeats} repeats, {result.seconds:.0f} s"
    return f"{'ok    ' if result.ok else 'FAILED'} {name} {size}: {faults or 'no faults'}{_complaints(result)}"


def _kinds(faults: Mapping[str, int]) -> list[str]:
    return [kind if count == 1 else f"{count} {kind}" for kind, count in sorted(faults.items())]


def _complaints(result: TrialResult) -> str:
    told = [f"{count} {finding.words}" for finding, count in result.findings.items() if finding is not Finding.REPEATED]
    told += [result.failure] if result.failure else []
    return f" -> {', '.join(told)}" if told else ""


def table(results: Iterable[TrialResult]) -> str:
    """All results as two Markdown tables: what came of the trials, by guarantee and protocol, and their faults."""
    ordered = sorted(results, key=lambda result: result.name)
    return f"{_outcome_table(ordered)}\n\n{_fault_table(ordered)}"


def _outcome_table(results: Sequence[TrialResult]) -> str:
    groups: defaultdict[tuple[str, str], list[TrialResult]] = defaultdict(list)
    for result in results:
        groups[result.guarantee, result.protocol].append(result)
    rows: list[_Row] = [(*names, *_totals(group)) for names, group in groups.items()]
    rows.append(("all", "", *_totals(results)))
    return _markdown(("guarantee", "protocol", *_TOTALS), rows, text_columns=2)


def _totals(results: Sequence[TrialResult]) -> tuple[int, ...]:
    """What `_TOTALS` names, of some trials."""
    return (
        len(results),
        sum(not result.ok for result in results),
        sum(sum(result.faults.values()) for result in results),
        sum(result.events for result in results),
        sum(result.count(*_LOST) for result in results),
        sum(result.count(Finding.DUPLICATED) for result in results),
        sum(result.count(Finding.REORDERED) for result in results),
        sum(result.count(*_OTHERS) for result in results),
        sum(result.repeats for result in results),
        sum(result.count(Finding.CONDEMNED) for result in results),
    )


def _fault_table(results: Sequence[TrialResult]) -> str:
    guarantees = sorted({result.guarantee for result in results})
    counts = {guarantee: Counter[str]() for guarantee in guarantees}
    for result in results:
        counts[result.guarantee].update(result.faults)
    kinds = sorted(set[str]().union(*counts.values()))
    rows: list[_Row] = [(kind, *(counts[guarantee][kind] for guarantee in guarantees)) for kind in kinds]
    return _markdown(("fault", *guarantees), rows, text_columns=1)


def _markdown(head: Sequence[str], rows: Iterable[_Row], text_columns: int) -> str:
    """A Markdown table; columns behind the first ``text_columns`` are numbers."""
    rule = ["---"] * text_columns + ["--:"] * (len(head) - text_columns)
    body = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [list(head), rule, *body])


__all__ = ["TrialName", "TrialResult", "append", "line", "load", "result_of", "table"]

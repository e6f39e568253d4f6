"""The harness can fail: with the handling of rebalances taken out of the service, it must find duplicates.

What is broken is a copy of the package: its pipeline goes on with partitions that were taken away from it, publishes
what it still holds of them, and commits their offsets, under a membership that is in order.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import stream_infer
from integration.faults.campaign import run_trial
from integration.faults.checker import Finding
from integration.faults.plan import Fault, FaultKind, Plan, TrialKey, make_plan
from integration.faults.report import line
from integration.faults.stage import Stage
from stream_infer.pipeline import Pipeline

DEAF = """

Pipeline.splits_revoked = lambda _self, _splits: None
Pipeline.splits_lost = lambda _self, _splits: None
"""
REBALANCES = tuple(
    Fault(kind, at_s, duration_s)
    for kind, at_s, duration_s in (
        (FaultKind.SCALE_UP, 1.0, 5.0),
        (FaultKind.SCALE_DOWN, 7.0, 3.0),
    )
)


@pytest.fixture
def plan() -> Plan:
    """Replicas come and go in good weather, with much between two commits; a rebalance takes everything from all."""
    drawn = make_plan(TrialKey("exactly_once", "range", 3))
    assert not drawn.static_members
    return replace(drawn, faults=REBALANCES, storm_s=12.0, commit_interval_ms=1500, events_per_s=800)


@pytest.fixture
def broken_package(tmp_path: Path) -> Path:
    """Where a `stream_infer` lies that does not hear what is taken away from it."""
    assert callable(Pipeline.splits_revoked)
    assert callable(Pipeline.splits_lost)
    source = Path(stream_infer.__file__).parent
    copied = tmp_path / "broken" / "stream_infer"
    # Compiled kernels go along: compiling them takes longer than the trial.
    shutil.copytree(source, copied, ignore=shutil.ignore_patterns("*.pyc"))
    with (copied / "pipeline.py").open("a") as pipeline:
        pipeline.write(DEAF)
    return copied.parent


def test_without_rebalance_handling_events_are_duplicated(
    plan: Plan, stage: Stage, tmp_path: Path, broken_package: Path
) -> None:
    result = run_trial(plan, stage, tmp_path / "trial", package=broken_package)
    print(line(result))
    assert not result.ok
    assert result.count(Finding.DUPLICATED) > 0, (tmp_path / "trial" / "words.txt").read_text()


def test_with_it_they_are_not(plan: Plan, stage: Stage, tmp_path: Path) -> None:
    result = run_trial(plan, stage, tmp_path / "trial")
    assert result.ok, f"{line(result)}\n{(tmp_path / 'trial' / 'words.txt').read_text()}"

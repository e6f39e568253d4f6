"""A short selection of trials, and every seed that ever failed. The whole campaign is ``make faults``."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.faults.campaign import REGRESSIONS, run_trial
from integration.faults.plan import Plan, TrialKey, make_plan
from integration.faults.report import line
from integration.faults.stage import Stage

SHORT_STORM_S = 10.0
SELECTION = (
    TrialKey("at_least_once", "range", 1),
    TrialKey("at_least_once", "cooperative-sticky", 3),
    TrialKey("at_least_once", "consumer", 5),
    TrialKey("exactly_once", "range", 7),
    TrialKey("exactly_once", "cooperative-sticky", 5),
    TrialKey("exactly_once", "consumer", 9),
)
"""All on one broker, which starts in seconds."""


CASES = [
    *(pytest.param(make_plan(key, SHORT_STORM_S), id=str(key)) for key in SELECTION),
    *(pytest.param(make_plan(regression.key), id=regression.name) for regression in REGRESSIONS),
]


@pytest.mark.parametrize("plan", CASES)
def test_a_trial_keeps_its_guarantee(plan: Plan, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    stage: Stage = request.getfixturevalue("stage" if plan.key.nodes == 1 else "stage_of_three")
    result = run_trial(plan, stage, tmp_path)
    print(line(result))
    assert result.ok, f"{line(result)}\n{plan.explain()}\n{(tmp_path / 'words.txt').read_text()}"
    assert result.events > 1000

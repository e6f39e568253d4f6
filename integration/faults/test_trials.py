"""A short selection of trials, and every seed that ever failed. The whole campaign is ``make faults``."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.faults.campaign import REGRESSIONS, Regression, run_trial
from integration.faults.plan import TrialKey, make_plan
from integration.faults.report import line
from integration.faults.stage import Stage

SHORT_STORM_S = 10.0
SELECTION = (
    TrialKey("at_least_once", "range", 1),
    TrialKey("at_least_once", "cooperative-sticky", 2),
    TrialKey("at_least_once", "consumer", 4),
    TrialKey("exactly_once", "range", 2),
    TrialKey("exactly_once", "cooperative-sticky", 5),
    TrialKey("exactly_once", "consumer", 7),
)
"""All on one broker, which starts in seconds."""


@pytest.mark.parametrize("key", SELECTION, ids=str)
def test_a_trial_keeps_its_guarantee(key: TrialKey, stage: Stage, tmp_path: Path) -> None:
    plan = make_plan(key, SHORT_STORM_S)
    result = run_trial(plan, stage, tmp_path)
    print(line(result))
    assert result.ok, f"{line(result)}\n{plan.explain()}\n{(tmp_path / 'words.txt').read_text()}"
    assert result.events > 1000


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda regression: regression.name)
def test_what_failed_once_does_not_fail_again(
    regression: Regression, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    stage = request.getfixturevalue("stage" if regression.key.nodes == 1 else "stage_of_three")
    result = run_trial(make_plan(regression.key), stage, tmp_path)
    assert result.ok, f"{line(result)}\n{(tmp_path / 'words.txt').read_text()}"

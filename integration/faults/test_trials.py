"""A short selection of trials. The whole campaign, and every seed that ever failed, is ``make faults``."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.faults.campaign import run_trial
from integration.faults.plan import TrialKey, make_plan
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


@pytest.mark.parametrize("key", SELECTION, ids=str)
def test_a_trial_keeps_its_guarantee(key: TrialKey, stage: Stage, tmp_path: Path) -> None:
    plan = make_plan(key, SHORT_STORM_S)
    result = run_trial(plan, stage, tmp_path)
    print(line(result))
    assert result.ok, f"{line(result)}\n{plan.explain()}\n{(tmp_path / 'words.txt').read_text()}"
    assert result.events > 1000

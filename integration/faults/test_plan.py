"""Plans are drawn once, within bounds, and the same seed draws the same plan."""

from __future__ import annotations

import itertools

import pytest

from integration.faults.__main__ import main
from integration.faults.plan import (
    ALL,
    BROKER_FAULTS,
    GUARANTEES,
    MAX_REPLICAS,
    NETWORK_FAULTS,
    PROTOCOLS,
    REPLICA_FAULTS,
    FaultKind,
    Plan,
    TrialKey,
    make_plan,
    trial_keys,
)


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [make_plan(key) for key in itertools.islice(trial_keys(1), 300)]


def test_a_key_always_makes_the_same_plan(plans: list[Plan]) -> None:
    assert [make_plan(plan.key) for plan in plans] == plans


def test_both_guarantees_meet_the_same_weather() -> None:
    at_least_once, exactly_once = (make_plan(TrialKey(guarantee, "range", 7)) for guarantee in GUARANTEES)
    assert at_least_once.faults == exactly_once.faults


def test_every_trial_has_at_least_three_faults_within_its_storm(plans: list[Plan]) -> None:
    for plan in plans:
        assert len(plan.faults) >= 3
        assert all(0 < fault.at_s <= fault.until_s < plan.storm_s for fault in plan.faults), plan.explain()


def test_brokers_fail_once_a_trial_where_there_are_three(plans: list[Plan]) -> None:
    for plan in plans:
        assert sum(fault.kind in BROKER_FAULTS for fault in plan.faults) == (plan.key.nodes == 3)


def test_targets_are_there(plans: list[Plan]) -> None:
    for plan in plans:
        assert plan.replicas < MAX_REPLICAS
        for fault in plan.faults:
            if fault.kind in BROKER_FAULTS:
                assert 1 <= fault.target <= plan.key.nodes
            elif fault.kind in REPLICA_FAULTS | NETWORK_FAULTS:
                everybody = [ALL] if fault.kind in NETWORK_FAULTS else []
                assert fault.target in [*range(plan.replicas), *everybody]


def test_no_call_of_a_model_outlasts_the_poll_interval_on_the_main_thread(plans: list[Plan]) -> None:
    slow = [plan for plan in plans if any(fault.kind is FaultKind.SLOW_MODEL for fault in plan.faults)]
    slowest_ms = max(fault.amount for plan in slow for fault in plan.faults if fault.kind is FaultKind.SLOW_MODEL)
    assert all(plan.workers or plan.max_poll_interval_ms > 10 * slowest_ms for plan in slow)


def test_every_kind_of_fault_and_of_cluster_comes_up(plans: list[Plan]) -> None:
    assert {fault.kind for plan in plans for fault in plan.faults} == set(FaultKind)
    assert {(plan.key.nodes, plan.static_members) for plan in plans} == set(itertools.product((1, 3), (False, True)))


def test_a_seed_comes_with_every_guarantee_and_protocol() -> None:
    keys = list(itertools.islice(trial_keys(5), len(GUARANTEES) * len(PROTOCOLS)))
    assert {key.seed for key in keys} == {5}
    assert len(set(keys)) == len(keys)


def test_the_command_line_explains_what_it_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--explain", "--only", "3", "--protocol", "range", "--guarantee", "exactly_once"]) == 0
    said = capsys.readouterr().out
    assert said == make_plan(TrialKey("exactly_once", "range", 3)).explain() + "\n"


def test_the_command_line_takes_trials_on_three_brokers_only(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--explain", "--nodes", "3", "--trials", "8"])
    heads = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert len(heads) == 8
    assert all("3 broker(s)" in head for head in heads)

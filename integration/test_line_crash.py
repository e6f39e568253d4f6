"""The program is killed (SIGKILL) three times during a run and started again: nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from integration.scenario import DEMO_BUNDLE, Scenario
from integration.support_scores import Oracle, check_every_input, check_order, check_scores
from stream_infer.testing.payments import PaymentStream

PAYMENTS = 60_000
KILLS = 3
SEED = 5


def test_nothing_is_lost_by_three_kills(make_scenario: Callable[..., Scenario]) -> None:
    # Small batches make the run long enough to be killed in its middle.
    scenario = make_scenario(overrides={"batching.max_batch_size": 64, "delivery.commit_interval_ms": 300})
    payments = PaymentStream(seed=SEED).columns(PAYMENTS)
    scenario.produce_payments(payments)
    rng = np.random.default_rng(SEED)

    for _ in range(KILLS):
        program = scenario.run()
        program.wait_settled(int(rng.integers(1_000, PAYMENTS // 5)), timeout_s=60)
        program.kill()
        assert scenario.committed() != scenario.input_ends(), "it was killed too late to prove anything"
    scenario.run_to_end()

    scored = scenario.scored()
    repeats = check_every_input(scored, scenario.input_ends(), exactly_once=False)
    print(f"\n{KILLS} kills: {repeats:,} of {PAYMENTS:,} payments scored again")
    check_order(scored, with_repeats=True)
    oracle = Oracle.open(DEMO_BUNDLE)
    scores = oracle.scores(oracle.matrix(payments))
    check_scores(scored, scores, oracle.flags(scores))
    assert scenario.committed() == scenario.input_ends()
    assert len(scenario.dead_letters()) == 0

"""`make proof-sparkov`: a model trained on the first months of sparkov scores the whole set through Kafka.

Decimals, dates, timestamps and text, in Avro through a real schema registry: each payment is scored exactly once,
every score is that of ONNX Runtime on the same rows bit for bit, and the flags of the later months are worth something.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from integration import support_log
from integration.scenario import Scenario
from integration.support_models import encode_events, export
from integration.support_scores import (
    Oracle,
    Scored,
    check_every_input,
    check_keys_stay_together,
    check_order,
    check_scores,
)
from integration.support_sparkov import DATA, SCHEMA, Sparkov, precision_and_recall, train

TRAINED_UNTIL, THRESHOLD_UNTIL = 5, 6
"""Months: January to May train the model, June chooses the threshold, July to September judge both."""
LEAST_PRECISION = 0.3
"""Of 100 payments one is fraud, and one event says little about a card: three in ten flags are good flags."""
CARRIED = ["trans_num", "cc_num", "amt", "trans_time"]


class Trained(NamedTuple):
    """A bundle, the model's matrix of the whole set, and the scores of a direct call."""

    bundle: Path
    scores: npt.NDArray[np.float32]
    flags: npt.NDArray[np.bool_]


@pytest.fixture(scope="module")
def sparkov() -> Sparkov:
    """The data set. Where it is not there, that is said instead of a result."""
    if not DATA.exists():
        pytest.skip(f"NOT RUN: there is no {DATA.name} under ../shared/data/sparkov beside this repository")
    return Sparkov.read()


@pytest.fixture(scope="module")
def trained(sparkov: Sparkov, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train, choose the threshold, export. The first export only serves to score June with the model."""
    matrix, is_fraud, month = sparkov.matrix(), sparkov.is_fraud, sparkov.month
    model = train(matrix[month <= TRAINED_UNTIL], is_fraud[month <= TRAINED_UNTIL])
    directory, sample = tmp_path_factory.mktemp("sparkov"), sparkov.events()[::50]
    draft = Oracle.open(export(directory / "draft", "sparkov", model, sparkov.feature_list(), SCHEMA, sample))
    scores = draft.scores(matrix)
    choosing = (month > TRAINED_UNTIL) & (month <= THRESHOLD_UNTIL)
    threshold = choose_threshold(scores[choosing], is_fraud[choosing])
    bundle = export(directory / "final", "sparkov", model, sparkov.feature_list(), SCHEMA, sample, threshold=threshold)
    return Trained(bundle, scores, Oracle.open(bundle).flags(scores))


def choose_threshold(scores: npt.NDArray[np.float32], is_fraud: npt.NDArray[np.bool_]) -> float:
    """The lowest threshold, in hundredths, whose flags have `LEAST_PRECISION`."""
    candidates = np.arange(0.05, 1.0, 0.01).round(2).tolist()
    good = [t for t in candidates if precision_and_recall(scores >= t, is_fraud)[0] >= LEAST_PRECISION]
    assert good, f"no threshold has a precision of {LEAST_PRECISION}: the model has learnt nothing"
    return float(good[0])


def test_the_whole_set_is_scored_once_and_right(
    make_scenario: Callable[..., Scenario], sparkov: Sparkov, trained: Trained
) -> None:
    """Produce everything, run the real program, read everything back, compare, and print what it took."""
    scenario = make_scenario(bundle=trained.bundle, overrides={"sink.fields": CARRIED})
    values = encode_events(SCHEMA, sparkov.events(), scenario.prefix(SCHEMA))
    keys = [card.encode() for card in sparkov.texts("cc_num")]
    support_log.produce(scenario.bootstrap_servers, scenario.source, values, keys)

    program = scenario.run()
    program.wait_ready()
    began, cpu_before_s, settled_before = time.monotonic(), program.cpu_seconds(), program.metrics().settled
    program.wait_settled(len(sparkov), timeout_s=120)
    seconds, cpu_s = time.monotonic() - began, program.cpu_seconds() - cpu_before_s
    program.stop()

    assert len(scenario.dead_letters()) == 0
    scored = scenario.scored()
    check_every_input(scored, scenario.input_ends())
    check_order(scored)
    check_keys_stay_together(scored)
    row_of = {number: row for row, number in enumerate(sparkov.texts("trans_num"))}
    rows = np.array([row_of[number] for number in scored.column("trans_num")], np.int64)
    check_scores(scored, trained.scores, trained.flags, rows)
    check_carried(scored, sparkov, rows)
    assert scenario.committed() == scenario.input_ends()

    later = sparkov.month[rows] > THRESHOLD_UNTIL
    precision, recall = precision_and_recall(scored.flagged[later], sparkov.is_fraud[rows][later])
    count = len(sparkov) - settled_before
    report(
        f"{len(sparkov):,} payments ({len(values[0])} bytes or so), {count / seconds:,.0f} events/s, "
        f"{cpu_s / count * 1e6:.1f} us of processor time each",
        f"July to September: {later.sum():,} payments, {int(sparkov.is_fraud[rows][later].sum())} frauds; "
        f"precision {precision:.3f}, recall {recall:.3f}",
    )
    assert precision > 0.2
    assert recall > 0.4


def check_carried(scored: Scored, sparkov: Sparkov, rows: npt.NDArray[np.int64]) -> None:
    """Long card numbers and decimals arrive as they were."""
    cards = sparkov.texts("cc_num")
    assert scored.column("cc_num") == [cards[row] for row in rows.tolist()]
    cents = [int.from_bytes(amount, "big", signed=True) for amount in scored.column("amt")]
    assert np.array_equal(cents, sparkov.cents[rows])


def report(*lines: str) -> None:
    """Print figures with what they were measured on."""
    head = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    today, commit = datetime.datetime.now(datetime.UTC).date(), head.stdout.strip() or "unknown"
    print(f"\nsparkov, {today}, {os.cpu_count()} cores, commit {commit}")
    for line in lines:
        print(f"  {line}")

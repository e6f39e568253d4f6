"""The packaged bundle: small, whole, and good at what the demo shows."""

from __future__ import annotations

import numpy as np
import pytest

from stream_infer.bundle import ModelBundle
from stream_infer.demo.figures import CARRIED_FIELDS
from stream_infer.demo.setting import BUNDLE
from stream_infer.scoring import Scorer
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.types import Status


def test_the_bundle_is_small_and_speaks_of_todays_payments() -> None:
    assert BUNDLE.stat().st_size < 300_000
    bundle = ModelBundle.load(BUNDLE)
    assert bundle.projection(CARRIED_FIELDS).reader_schema == PAYMENT_SCHEMA, "run training/train_demo_model.py"


@pytest.mark.parametrize("seed", [7, 8])
def test_flags_are_right_more_than_four_times_in_five_and_find_most_fraud(seed: int) -> None:
    payments = PaymentStream(seed).columns(20_000)
    scored = Scorer.load(BUNDLE).score_bytes(payments.to_avro(), codec=PAYMENT_SCHEMA)
    assert not np.any(scored.status != Status.OK)
    hits = np.count_nonzero(scored.flagged & payments.is_fraud)
    assert hits / scored.flagged.sum() > 0.8
    assert hits / payments.is_fraud.sum() > 0.6

"""The generator: the same payments however they are asked for, plausible, and alike in all three forms."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import fields
from pathlib import Path

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.testing import payments_avro as avro
from stream_infer.testing.payments import DEFAULT_START_MS, Pattern, PaymentColumns, PaymentStream
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA, PAYMENT_SCHEMA_JSON
from stream_infer.testing.payments_world import MILLISECONDS_PER_DAY, MILLISECONDS_PER_HOUR

SCHEMAS = Path(__file__).parents[2] / "schemas"
PARSED = fastavro.parse_schema(PAYMENT_SCHEMA)


@pytest.fixture(scope="module")
def month() -> PaymentColumns:
    return PaymentStream(seed=5).columns(300_000)


def assert_same(left: PaymentColumns, right: PaymentColumns) -> None:
    for field in fields(PaymentColumns):
        np.testing.assert_array_equal(getattr(left, field.name), getattr(right, field.name), err_msg=field.name)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=6))
def test_chunks_do_not_change_the_payments(sizes: list[int]) -> None:
    chunked = PaymentStream(seed=11, cards=300, merchants=100)
    at_once = PaymentStream(seed=11, cards=300, merchants=100)
    assert_same(PaymentColumns.concat([chunked.columns(size) for size in sizes]), at_once.columns(sum(sizes)))


def test_chunks_across_windows_do_not_change_the_payments() -> None:
    chunked, at_once = PaymentStream(seed=3), PaymentStream(seed=3)
    assert_same(PaymentColumns.concat([chunked.columns(13_001) for _ in range(5)]), at_once.columns(65_005))


def test_another_seed_gives_other_payments() -> None:
    first, second = PaymentStream(seed=1).columns(100), PaymentStream(seed=2).columns(100)
    assert not np.array_equal(first.amount, second.amount)


def test_payments_are_in_time_order_and_numbered_from_the_start(month: PaymentColumns) -> None:
    assert np.all(np.diff(month.event_time_ms) >= 0)
    assert month.event_time_ms[0] >= DEFAULT_START_MS
    np.testing.assert_array_equal(month.number, np.arange(len(month)))


def test_about_one_in_a_hundred_is_fraud_of_every_pattern(month: PaymentColumns) -> None:
    assert 0.008 < month.is_fraud.mean() < 0.012
    shares = np.bincount(month.pattern, minlength=len(Pattern)) / len(month)
    assert np.all(shares[1:] > 0.0015)


def test_no_fraud_when_none_is_asked_for() -> None:
    assert not PaymentStream(seed=5, fraud_rate=0.0).columns(20_000).is_fraud.any()


def test_nights_are_quiet_and_fridays_busier_than_sundays(month: PaymentColumns) -> None:
    weeks = month.slice(0, int(np.searchsorted(month.event_time_ms, DEFAULT_START_MS + 14 * MILLISECONDS_PER_DAY)))
    honest_ms = weeks.event_time_ms[~weeks.is_fraud]
    hours = np.bincount(honest_ms // MILLISECONDS_PER_HOUR % 24, minlength=24)
    assert hours[17] > 10 * hours[3]
    days = np.bincount((honest_ms - DEFAULT_START_MS) // MILLISECONDS_PER_DAY % 7, minlength=7)
    assert days[4] > 1.3 * days[6]


def test_stolen_cards_pay_far_from_home_in_a_burst(month: PaymentColumns) -> None:
    stolen = month.pattern == Pattern.STOLEN_CARD
    honest = month.pattern == Pattern.HONEST
    assert np.nanmedian(month.distance_from_home_km[stolen]) > 10 * np.nanmedian(month.distance_from_home_km[honest])
    assert month.payments_last_hour[stolen].mean() > 5 * month.payments_last_hour[honest].mean()
    assert np.median(month.amount_ratio[stolen]) > 2 * np.median(month.amount_ratio[honest])


def test_a_compromised_merchant_sees_tiny_payments_of_many_cards_before_big_ones(month: PaymentColumns) -> None:
    fraud = month.pattern == Pattern.COMPROMISED_MERCHANT
    tests, charges = fraud & (month.amount < 5), fraud & (month.amount >= 5)
    assert month.merchant_tiny_last_hour[tests].mean() > 3
    merchant = Counter(month.merchant[tests].tolist()).most_common(1)[0][0]
    assert len(set(month.card[tests & (month.merchant == merchant)].tolist())) >= 8
    assert charges.sum() > 2 * tests.sum()


def test_takeovers_drift_to_the_night_and_to_higher_amounts(month: PaymentColumns) -> None:
    rows = np.flatnonzero(month.pattern == Pattern.ACCOUNT_TAKEOVER)
    early = month.device_age_days[rows] < 1.0
    late = month.device_age_days[rows] > 3.5
    night = month.local_hour[rows] < 5
    assert night[late].mean() > night[early].mean() + 0.3
    assert np.median(month.amount_ratio[rows[late]]) > 1.5 * np.median(month.amount_ratio[rows[early]])


def test_labels_are_known_days_later(month: PaymentColumns) -> None:
    delay_days = (month.label_known_at_ms - month.event_time_ms) / MILLISECONDS_PER_DAY
    assert delay_days.min() >= 1.0
    assert np.all(delay_days[~month.is_fraud] == 45.0)
    label = month.slice(0, 1).labels()[0]
    assert label == {
        "transaction_id": "tx-000000000000",
        "is_fraud": bool(month.is_fraud[0]),
        "pattern": Pattern(month.pattern[0]).name.lower(),
        "label_known_at": int(month.label_known_at_ms[0]),
    }


def test_history_is_what_a_plain_loop_over_the_payments_gives() -> None:
    # Five thousand payments span several windows of event time, and the warm-up is history too: skip the first day.
    payments = PaymentStream(seed=9, cards=50, merchants=40).columns(2_000)
    times, cards = payments.event_time_ms.tolist(), payments.card.tolist()
    for row in range(1_000, 2_000, 7):
        earlier = [other for other in range(row) if cards[other] == cards[row]]
        expected = (times[row] - times[earlier[-1]]) // 1000
        assert payments.seconds_since_last[row] == expected
        within = sum(times[row] - MILLISECONDS_PER_HOUR <= times[other] < times[row] for other in earlier)
        assert payments.payments_last_hour[row] == within


def test_avro_equals_fastavro_byte_for_byte() -> None:
    payments = PaymentStream(seed=5).columns(1_000)
    for encoded, payment in zip(payments.to_avro(b"\0\0\0\0\1"), payments.to_dicts(), strict=True):
        expected = io.BytesIO()
        fastavro.schemaless_writer(expected, PARSED, payment)
        assert encoded == b"\0\0\0\0\1" + expected.getvalue()


def test_json_and_avro_hold_the_same_values() -> None:
    payments = PaymentStream(seed=5).columns(500)
    for text, encoded in zip(payments.to_json(), payments.to_avro(), strict=True):
        decoded = fastavro.schemaless_reader(io.BytesIO(encoded), PARSED, None)
        assert isinstance(decoded, dict)
        decoded["event_time"] = round(decoded["event_time"].timestamp() * 1000)
        assert json.loads(text) == decoded


def test_nulls_occur_where_they_should() -> None:
    payments = PaymentStream(seed=5).columns(2_000).to_dicts()
    for name in ("geo", "device_id", "device_age_days", "distance_from_home_km"):
        nulls = sum(payment[name] is None for payment in payments)
        assert 100 < nulls < 1_900, name
    assert all((payment["geo"] is None) == (payment["distance_from_home_km"] is None) for payment in payments)
    assert all((payment["device_id"] is None) == (payment["device_age_days"] is None) for payment in payments)


def test_keys_are_the_card_ids() -> None:
    payments = PaymentStream(seed=5).columns(10)
    assert payments.keys() == [payment["card_id"].encode() for payment in payments.to_dicts()]


def test_the_schema_file_is_the_generators_schema() -> None:
    assert (SCHEMAS / "payment.avsc").read_text() == PAYMENT_SCHEMA_JSON, "write payments_schema.PAYMENT_SCHEMA_JSON"


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"cards": 0}, {"merchants": 31}, {"fraud_rate": 1.0}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="PaymentStream needs"):
        PaymentStream(**({"seed": 1} | wrong))  # type: ignore[arg-type]


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_longs_equal_fastavro(values: list[int]) -> None:
    encoded = avro.join_rows([avro.long(np.array(values, np.int64))]).to_list()
    for value, data in zip(values, encoded, strict=True):
        expected = io.BytesIO()
        fastavro.schemaless_writer(expected, "long", value)
        assert data == expected.getvalue()

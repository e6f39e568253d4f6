"""Bad events among good ones: each becomes a dead letter with the right reason, and costs no neighbour its score."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from integration import support_log
from integration.scenario import Scenario
from integration.support_log import Header, Log
from integration.support_models import TABLE_LIMIT, export_table
from integration.support_scores import Oracle, check_order, check_places, check_scores
from stream_infer.testing.payments import PaymentColumns, PaymentStream
from stream_infer.testing.payments_bad import AVRO_KINDS, JSON_KINDS, VARIANT_SCHEMAS, BadEvent, BadEvents
from stream_infer.types import Status

SEED = 17
PREFIX = "__stream_infer.errors."
MAX_EVENT_BYTES = 20_000
MakeScenario = Callable[..., Scenario]


class Event(NamedTuple):
    """An event to produce. ``reason`` is that of its dead letter; None for a good one."""

    value: bytes
    key: bytes
    headers: list[Header]
    reason: str | None


def mix(payments: PaymentColumns, values: Sequence[bytes], bad: Sequence[BadEvent]) -> list[Event]:
    """Spread ``bad`` over the payments at random, seeded places. Headers repeat a name, hold nulls and no text."""
    good = [Event(value, key, [("from", b"shop")], None) for value, key in zip(values, payments.keys(), strict=True)]
    wrong = [
        Event(
            event.value,
            b"bad \xff %d" % number,
            [("kind", event.kind.encode()), ("trace", b"\x00\xff"), ("trace", None)],
            event.status.reason,
        )
        for number, event in enumerate(bad)
    ]
    places = np.sort(np.random.default_rng(SEED).integers(0, len(good), len(wrong)))
    # From the end, so that earlier places stay what they are.
    for place, event in zip(places[::-1].tolist(), reversed(wrong), strict=True):
        good.insert(place, event)
    return good


def bad_events(make: Callable[[str], BadEvent], kinds: Sequence[str], count: int) -> list[BadEvent]:
    """``count`` bad events, all ``kinds`` in turn."""
    return [make(kinds[number % len(kinds)]) for number in range(count)]


def produce(scenario: Scenario, events: Sequence[Event]) -> tuple[Log, dict[bytes | None, str]]:
    """Produce; the topic as read back, and the expected reason of each bad event by its key."""
    support_log.produce(
        scenario.bootstrap_servers,
        scenario.source,
        [event.value for event in events],
        [event.key for event in events],
        headers=[event.headers for event in events],
    )
    reasons: dict[bytes | None, str] = {event.key: event.reason for event in events if event.reason is not None}
    return scenario.log(scenario.source), reasons


def check_dead_letters(scenario: Scenario, source: Log, reasons: Mapping[bytes | None, str]) -> None:
    """Exactly the events whose keys are in ``reasons`` are dead letters, as they came, with that reason.

    Args:
        scenario: after its run.
        source: the input as read back.
        reasons: expected reason by key; each key is that of one event only.
    """
    dead, rows = scenario.dead_letters(), source.rows()
    assert Counter(dead.keys) == Counter(reasons.keys())
    for key, value, headers in zip(dead.keys, dead.values, dead.headers, strict=True):
        said = {name.removeprefix(PREFIX): text for name, text in headers if name.startswith(PREFIX)}
        about = {name: text.decode() for name, text in said.items() if isinstance(text, bytes)}
        row = rows[int(about["partition"]), int(about["offset"])]
        assert about["topic"] == scenario.source
        assert (key, value) == (source.keys[row], source.values[row])
        assert [header for header in headers if not header[0].startswith(PREFIX)] == source.headers[row]
        assert about["timestamp"] == str(source.timestamp_ms[row])
        assert about["reason"] == reasons[key], f"{source.headers[row]}: {about}"
        assert about["group"] == scenario.group_id
        assert about["stage"] == Status[about["reason"].upper()].stage


def check_the_others(
    scenario: Scenario, source: Log, reasons: Mapping[bytes | None, str], payments: PaymentColumns
) -> None:
    """Every event that is no dead letter was scored exactly once, right, and in order."""
    scored = scenario.scored()
    places = zip(source.keys, source.partition.tolist(), source.offset.tolist(), strict=True)
    expected = {(partition, offset) for key, partition, offset in places if key not in reasons}
    check_places(scored.input_places, expected)
    assert len(scored) == len(expected)
    oracle = Oracle.open(scenario.bundle)
    check_scores(scored, oracle.scores(oracle.matrix(payments)))
    check_order(scored)
    assert scenario.committed() == scenario.input_ends()


def test_a_thousand_bad_avro_events_among_good_ones(make_scenario: MakeScenario) -> None:
    good_count, bad_count = 50_000, 1_000
    scenario = make_scenario(overrides={"source.max_event_bytes": MAX_EVENT_BYTES})
    ids = {name: scenario.add_schema(schema) for name, schema in VARIANT_SCHEMAS.items()}
    made = BadEvents(SEED, schema_ids=ids, oversize_bytes=MAX_EVENT_BYTES + 1)
    payments = PaymentStream(seed=SEED).columns(good_count)
    bad = bad_events(made.avro, list(AVRO_KINDS), bad_count)

    source, reasons = produce(scenario, mix(payments, payments.to_avro(scenario.prefix()), bad))
    scenario.run_to_end()

    assert len(reasons) == bad_count
    assert len(set(reasons.values())) >= 10
    assert len(AVRO_KINDS) >= 12
    check_dead_letters(scenario, source, reasons)
    check_the_others(scenario, source, reasons, payments)


def test_bad_json_events_among_good_ones(make_scenario: MakeScenario) -> None:
    """With the default of ``source.max_event_bytes``: oversize events have more than 1 MiB."""
    scenario = make_scenario(events="json")
    made = BadEvents(SEED)
    payments = PaymentStream(seed=SEED).columns(5_000)
    bad = bad_events(made.json, list(JSON_KINDS), 105)

    source, reasons = produce(scenario, mix(payments, payments.to_json(), bad))
    scenario.run_to_end()

    assert len(JSON_KINDS) >= 12
    check_dead_letters(scenario, source, reasons)
    check_the_others(scenario, source, reasons, payments)


@pytest.mark.parametrize("workers", [0, 2])
def test_events_that_make_the_model_fail_are_found_by_bisecting(
    make_scenario: MakeScenario, tmp_path: Path, workers: int
) -> None:
    bundle = export_table(tmp_path)
    scenario = make_scenario(bundle=bundle, overrides={"scoring.workers": workers})
    payments = PaymentStream(seed=SEED).columns(5_000)
    payments = dataclasses.replace(payments, amount=np.minimum(payments.amount, TABLE_LIMIT - 1))
    # Alone, side by side, the first and the last.
    failing = [0, 700, 701, 702, 2_500, 4_999]
    produced = dataclasses.replace(payments, amount=payments.amount.copy())
    produced.amount[failing] = TABLE_LIMIT * 100
    # Keys of their own, so that the culprits can be told by them.
    keys: list[bytes] = [b"payment-%d" % number for number in range(len(payments))]
    support_log.produce(scenario.bootstrap_servers, scenario.source, produced.to_avro(scenario.prefix()), keys)
    source = scenario.log(scenario.source)

    program = scenario.run()
    program.wait_settled(len(payments), timeout_s=60)
    bisected = program.metrics().value("stream_infer_batches_bisected_total")
    program.stop()

    reasons: dict[bytes | None, str] = {keys[row]: "model_failed" for row in failing}
    check_dead_letters(scenario, source, reasons)
    check_the_others(scenario, source, reasons, payments)
    assert bisected > 0

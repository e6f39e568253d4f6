"""A producer changes its schema while the service runs: nothing is rejected, and the features stay right."""

from __future__ import annotations

import copy
import dataclasses
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from integration import support_log
from integration.scenario import DEMO_BUNDLE, Encoding, Scenario
from integration.support_models import encode_events, export
from integration.support_scores import Oracle, check_every_input, check_order, check_scores
from stream_infer.testing.payments import PaymentColumns, PaymentStream
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA

EVENTS = 2_000
FEATURES = Path(__file__).resolve().parent.parent / "training" / "features.toml"
NEW_NAMES = {"amount_ratio": "relative_amount", "card_id": "account_id"}
"""A feature and a carried field, and what a later producer calls them."""
WIDENED = {"card_age_days": "long", "local_hour": "long", "credit_limit": "double"}
BEYOND_INT = 3_000_000_000
Event = dict[str, Any]


def changed(**types: Any) -> dict[str, Any]:
    """The payment's schema with other types for some fields."""
    schema = copy.deepcopy(PAYMENT_SCHEMA)
    for field in schema["fields"]:
        field["type"] = types.get(field["name"], field["type"])
    return schema


def with_added_field() -> dict[str, Any]:
    """One field more, in the middle, of a type that no feature has."""
    tiers = {"name": "loyalty", "type": {"type": "map", "values": {"type": "array", "items": "string"}}}
    fields = PAYMENT_SCHEMA["fields"]
    return PAYMENT_SCHEMA | {"fields": [*fields[:5], tiers, *fields[5:]]}


def with_new_names() -> dict[str, Any]:
    """Two fields renamed."""
    fields = [field | {"name": NEW_NAMES.get(field["name"], field["name"])} for field in PAYMENT_SCHEMA["fields"]]
    return PAYMENT_SCHEMA | {"fields": fields}


def without(name: str) -> dict[str, Any]:
    """One field less; it has a default, so that readers need not care."""
    return PAYMENT_SCHEMA | {"fields": [field for field in PAYMENT_SCHEMA["fields"] if field["name"] != name]}


def with_long_ages(payments: PaymentColumns) -> PaymentColumns:
    """Payments that make use of the wider type."""
    ages = payments.card_age_days.astype(np.int64) + np.where(payments.number % 2, BEYOND_INT, 0)
    return dataclasses.replace(payments, card_age_days=ages)  # type: ignore[arg-type]  # wider than the generator's


def without_device_ages(payments: PaymentColumns) -> PaymentColumns:
    """Payments as a reader understands them where the field is gone."""
    return dataclasses.replace(payments, device_age_days=np.full(len(payments), np.nan))


class Version(NamedTuple):
    """A version of the producer: its schema, what it pays, and how it writes a payment."""

    schema: dict[str, Any]
    payments: Callable[[PaymentColumns], PaymentColumns] = lambda payments: payments
    event: Callable[[Event], Event] = lambda event: event


VERSIONS: Mapping[str, Version] = {
    "first": Version(PAYMENT_SCHEMA),
    "added": Version(with_added_field(), event=lambda event: event | {"loyalty": {"tiers": ["gold", "silver"]}}),
    "removed": Version(without("device_age_days"), without_device_ages),
    "widened": Version(changed(**WIDENED), with_long_ages),
    "renamed": Version(
        with_new_names(), event=lambda event: {NEW_NAMES.get(name, name): value for name, value in event.items()}
    ),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model; its reader's schema knows the new names as aliases."""
    schema = copy.deepcopy(PAYMENT_SCHEMA)
    for field in schema["fields"]:
        if field["name"] in NEW_NAMES:
            field["aliases"] = [NEW_NAMES[field["name"]]]
    with zipfile.ZipFile(DEMO_BUNDLE) as jar:
        model = jar.read(next(name for name in jar.namelist() if name.endswith("/model.onnx")))
    features = FEATURES.read_text().partition("features = [")[2].rpartition("]")[0]
    return export(tmp_path_factory.mktemp("aliased"), "aliased", model, features, schema)


@pytest.mark.parametrize("schemas", ["registry", "files"])
def test_a_producer_may_change_its_schema_while_the_service_runs(
    make_scenario: Callable[..., Scenario], bundle: Path, schemas: Encoding
) -> None:
    scenario = make_scenario(events=schemas, bundle=bundle)
    if schemas == "files":
        # Files are read at the start; a registry learns of each version when it is first used.
        for name, version in VERSIONS.items():
            scenario.add_schema(version.schema, name)
    program = scenario.run()
    stream, produced = PaymentStream(seed=31), []

    for number, name in enumerate(VERSIONS, 1):
        produced.append(produce(scenario, stream.columns(EVENTS), [name]))
        program.wait_settled(number * EVENTS, timeout_s=60)
    # Producers of all versions at once: one batch then holds events of several schemas.
    produced.append(produce(scenario, stream.columns(EVENTS), list(VERSIONS)))
    program.wait_settled((len(VERSIONS) + 1) * EVENTS, timeout_s=60)
    program.stop()

    assert len(scenario.dead_letters()) == 0
    scored, payments = scenario.scored(), PaymentColumns.concat(produced)
    check_every_input(scored, scenario.input_ends())
    check_order(scored)
    oracle = Oracle.open(bundle)
    check_scores(scored, oracle.scores(oracle.matrix(payments)))
    cards = np.array([int(card.removeprefix("card-")) for card in scored.column("card_id")])
    assert np.array_equal(cards, payments.card[scored.numbers])


def produce(scenario: Scenario, payments: PaymentColumns, names: list[str]) -> PaymentColumns:
    """Send payments, an equal share by each of these versions, shuffled; the payments as a reader understands them."""
    share = len(payments) // len(names)
    parts, values = [], []
    for number, name in enumerate(names):
        version = VERSIONS[name]
        part = version.payments(payments.slice(number * share, (number + 1) * share))
        events = [version.event(event) for event in part.to_dicts()]
        values += encode_events(version.schema, events, scenario.prefix(version.schema, name))
        parts.append(part)
    keys, order = payments.keys(), np.random.default_rng(0).permutation(len(values)).tolist()
    support_log.produce(
        scenario.bootstrap_servers, scenario.source, [values[row] for row in order], [keys[row] for row in order]
    )
    return PaymentColumns.concat(parts)

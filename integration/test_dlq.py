"""``stream-infer dlq`` on a real broker: a look into the dead letters, and back to the input, once and no more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from integration import support_log
from integration.command import Outcome, call, fails
from integration.scenario import Scenario
from integration.support_log import Header, Log
from stream_infer.clock import SystemClock
from stream_infer.errors import Fenced
from stream_infer.kafka.dead_letter_progress import SentBack
from stream_infer.kafka.dead_letter_sender import TRANSACTION_TIMEOUT_MS, DeadLetterSender
from stream_infer.kafka.properties import Transaction, producer_properties
from stream_infer.testing.payments import PaymentStream

MakeScenario = Callable[..., Scenario]
PREFIX = "__stream_infer.errors."
ATTEMPTS = "__stream_infer.attempts"
FAILED_AT_MS = 1_700_000_000_000
TIMESTAMP_MS = 1_690_000_000_000


@pytest.fixture
def scenario(make_scenario: MakeScenario) -> Scenario:
    return make_scenario(events="json", partitions=2)


def dlq(scenario: Scenario, verb: str, *options: str) -> Outcome:
    return call("dlq", verb, scenario.config, *options)


def answer(scenario: Scenario, verb: str, *options: str) -> Any:
    """What a command says in JSON, after it has ended well."""
    outcome = dlq(scenario, verb, *options, "--format", "json")
    assert outcome.code == 0, outcome.output
    return json.loads(outcome.stdout)


def letter(scenario: Scenario, offset: int, reason: str = "malformed", attempts: int = 1) -> list[Header]:
    """The headers of a dead letter whose event came from partition 1 at ``offset``."""
    said = {
        "topic": scenario.source,
        "partition": 1,
        "offset": offset,
        "timestamp": TIMESTAMP_MS,
        "stage": "decode",
        "reason": reason,
        "message": "not JSON",
        "failed_at": FAILED_AT_MS + offset * 1000,
        "attempts": attempts,
    }
    own: list[Header] = [("trace", b"\x00\xff"), ("trace", None)]
    return own + [(PREFIX + name, str(value).encode()) for name, value in said.items()]


def bury(scenario: Scenario, headers: Sequence[list[Header]]) -> None:
    """Produce dead letters: key k<n>, value v<n>."""
    support_log.produce(
        scenario.bootstrap_servers,
        scenario.dead,
        [b"v%d" % number for number in range(len(headers))],
        [b"k%d" % number for number in range(len(headers))],
        headers=headers,
        timestamp_ms=TIMESTAMP_MS,
    )


def input_of(scenario: Scenario) -> Log:
    return scenario.log(scenario.source)


def inputs(scenario: Scenario) -> list[bytes]:
    """The values in the input topic, sorted."""
    return sorted(value for value in input_of(scenario).values if value is not None)


# ------------------------------------------------------------------ list, show


def test_list_counts_by_reason_with_the_dead_letters_of_other_tools(scenario: Scenario) -> None:
    spring: list[Header] = [
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-partition", (3).to_bytes(4, "big")),
        ("kafka_dlt-original-offset", (1042).to_bytes(8, "big")),
        ("kafka_dlt-exception-fqcn", b"org.example.Broken"),
    ]
    bury(
        scenario,
        [letter(scenario, 0), letter(scenario, 1), letter(scenario, 2, "oversize"), spring, [("why", b"\x1b[31m")]],
    )
    rows = {row["reason"]: row for row in answer(scenario, "list")}
    assert {reason: row["count"] for reason, row in rows.items()} == {
        "malformed": 2,
        "oversize": 1,
        "org.example.Broken": 1,
        "unknown": 1,
    }
    assert rows["malformed"]["topics"] == [scenario.source]
    assert (rows["malformed"]["first_failed_at_ms"], rows["malformed"]["last_failed_at_ms"]) == (
        FAILED_AT_MS,
        FAILED_AT_MS + 1000,
    )
    assert (rows["org.example.Broken"]["topics"], rows["org.example.Broken"]["example"]) == (["orders"], "0:3")

    shown = dlq(scenario, "list", "--since", "2023-11-14T22:13:21Z", "--until", "2023-11-14T22:13:22Z")
    assert shown.code == 0
    assert shown.stdout.splitlines()[0].split() == [
        "count",
        "reason",
        "stage",
        "first",
        "last",
        "input",
        "topics",
        "example",
    ]
    assert shown.stdout.splitlines()[1].split()[:3] == ["1", "malformed", "decode"]
    assert shown.stdout.endswith(f"1 dead letters in {scenario.dead}\n")


def test_list_ends_where_a_transaction_has_left_its_marker(scenario: Scenario) -> None:
    """Dead letters of an aborted transaction are not there, and the markers at the end are waited for by nobody."""
    producer = Producer({"bootstrap.servers": scenario.bootstrap_servers, "transactional.id": scenario.dead})
    producer.init_transactions(30)
    for abort in (False, True):
        producer.begin_transaction()
        producer.produce(scenario.dead, b"v", headers=letter(scenario, 0))
        producer.abort_transaction(30) if abort else producer.commit_transaction(30)
    assert [row["count"] for row in answer(scenario, "list")] == [1]


def test_an_empty_topic(scenario: Scenario) -> None:
    assert answer(scenario, "list") == []
    assert dlq(scenario, "list").stdout.endswith(f"0 dead letters in {scenario.dead}\n")
    assert dlq(scenario, "resend", "--yes").stdout == "0 dead letters were sent back\n"


def test_show_keeps_the_payload_to_itself_unless_asked(scenario: Scenario) -> None:
    bury(scenario, [letter(scenario, 7), letter(scenario, 8)])
    shown = dlq(scenario, "show", "0:1")
    assert shown.code == 0, shown.output
    assert "not JSON" in shown.stdout
    assert "2 bytes" in shown.stdout
    assert not {"v1", "k1"} & set(shown.stdout.split())

    [details] = answer(scenario, "show", "--input", f"{scenario.source}:1:8", "--payload")
    assert details["place"] == "0:1"
    assert (details["input_topic"], details["input_partition"], details["input_offset"]) == (scenario.source, 1, 8)
    assert (details["key"], details["value"]) == ({"bytes": 2, "text": "k1"}, {"bytes": 2, "text": "v1"})
    assert details["headers"] == [
        {"name": "trace", "value": {"bytes": 2, "base64": "AP8="}},
        {"name": "trace", "value": None},
    ]


def test_what_is_not_there_is_said(scenario: Scenario) -> None:
    bury(scenario, [letter(scenario, 7)])
    for place in ("0:1", "0:99", "5:0"):
        fails(1, dlq(scenario, "show", place), "there is no such dead letter")
    scenario.write_config({"dead_letter.topic": "nowhere"})
    for verb, option in (("list", "--since=1h"), ("show", "0:0"), ("resend", "--dry-run")):
        fails(1, dlq(scenario, verb, option), "topic does not exist", "nowhere")


# ------------------------------------------------------------------ resend


def test_everything_goes_back_once_as_it_was(scenario: Scenario) -> None:
    bury(scenario, [letter(scenario, number) for number in range(5)])
    assert answer(scenario, "resend", "--dry-run")["would_send"] == 5
    assert len(input_of(scenario)) == 0

    assert answer(scenario, "resend", "--yes")["sent"] == 5
    sent = input_of(scenario)
    assert sent.values == [b"v%d" % number for number in range(5)]
    assert sent.keys == [b"k%d" % number for number in range(5)]
    assert set(sent.partition.tolist()) == {1}, "where they came from"
    assert set(sent.timestamp_ms.tolist()) == {TIMESTAMP_MS}
    assert sent.headers == [[("trace", b"\x00\xff"), ("trace", None), (ATTEMPTS, b"1")]] * 5

    again = answer(scenario, "resend", "--yes")
    assert (again["sent"], again["left_out"]["sent_before"]) == (0, 5)
    bury(scenario, [letter(scenario, 5)])
    assert answer(scenario, "resend", "--yes")["sent"] == 1
    assert len(input_of(scenario)) == 6


def test_selections_and_all_share_one_memory(scenario: Scenario) -> None:
    bury(scenario, [letter(scenario, number, ("malformed", "oversize", "empty")[number % 3]) for number in range(9)])

    def sent(*options: str) -> int:
        return int(answer(scenario, "resend", "--yes", *options)["sent"])

    assert sent("--reason", "oversize") == 3
    assert sent("--reason", "oversize") == 0
    assert sent("--only", "0:0", "--only", "0:1") == 1, "0:1 is oversize"
    assert sent("--max", "2") == 2
    assert inputs(scenario) == sorted([b"v1", b"v4", b"v7", b"v0", b"v2", b"v3"])
    assert sent() == 3
    assert sent() == 0
    assert sent("--only", "0:4", "--again") == 1
    assert sent() == 0
    assert len(input_of(scenario)) == 10
    group_id = f"{scenario.group_id}.dlq-resend"
    assert support_log.committed(scenario.bootstrap_servers, group_id, scenario.dead, 1) == {0: 9}


def test_what_is_left_out_is_counted(scenario: Scenario) -> None:
    foreign = letter(scenario, 1)
    foreign[2] = (PREFIX + "topic", b"elsewhere")
    bury(scenario, [letter(scenario, 0, attempts=2), foreign, letter(scenario, 2, attempts=3), [], letter(scenario, 4)])
    row = answer(scenario, "resend", "--yes", "--since", "2020-01-01")
    assert row["sent"] == 2
    assert row["left_out"] == {"sent_before": 0, "tried_too_often": 1, "no_input": 2, "not_selected": 0}
    assert [headers[-1] for headers in input_of(scenario).headers] == [(ATTEMPTS, b"2"), (ATTEMPTS, b"1")]
    row = answer(scenario, "resend", "--yes", "--max-attempts", "4")
    assert (row["sent"], row["left_out"]["sent_before"]) == (1, 2)


def test_nobody_is_asked_where_nobody_can_answer(scenario: Scenario) -> None:
    bury(scenario, [letter(scenario, 0)])
    fails(2, dlq(scenario, "resend"), "--yes")
    assert len(input_of(scenario)) == 0


def test_a_sender_that_died_is_taken_over_from(scenario: Scenario) -> None:
    """Its open transaction is aborted: what it had sent is not seen, and is sent now."""
    bury(scenario, [letter(scenario, number) for number in range(3)])
    group_id = f"{scenario.group_id}.dlq-resend"
    dead = Producer({"bootstrap.servers": scenario.bootstrap_servers, "transactional.id": group_id})
    dead.init_transactions(30)
    dead.begin_transaction()
    dead.produce(scenario.source, b"of the dead", partition=1)
    consumer = Consumer({"bootstrap.servers": scenario.bootstrap_servers, "group.id": group_id})
    noted = [TopicPartition(scenario.dead, 0, 3)]
    dead.send_offsets_to_transaction(noted, consumer.consumer_group_metadata(), 30)
    dead.flush(30)
    consumer.close()

    assert answer(scenario, "resend", "--yes")["sent"] == 3
    assert input_of(scenario).values == [b"v0", b"v1", b"v2"]


def test_of_two_senders_the_later_one_goes_on(scenario: Scenario) -> None:
    group_id = f"{scenario.group_id}.dlq-resend"
    producing = producer_properties(
        scenario.bootstrap_servers,
        {},
        client_id="tests",
        publish_timeout_s=30,
        transaction=Transaction(group_id, TRANSACTION_TIMEOUT_MS),
    )
    consumer = Consumer({"bootstrap.servers": scenario.bootstrap_servers, "group.id": group_id})

    def sender() -> DeadLetterSender:
        return DeadLetterSender(producing, scenario.dead, consumer, SystemClock())

    with sender() as earlier:
        earlier.send(scenario.source, 1, b"k", b"earlier", [], TIMESTAMP_MS)
        with sender() as later:
            later.send(scenario.source, 1, b"k", b"later", [], TIMESTAMP_MS)
            later.commit({0: SentBack(1)})
        with pytest.raises(Fenced, match="another dlq resend has taken over"):
            earlier.commit({0: SentBack(1)})
    consumer.close()
    assert inputs(scenario) == [b"later"]


def test_many_in_several_transactions(scenario: Scenario) -> None:
    count = 2500
    bury(scenario, [letter(scenario, number, ("malformed", "oversize")[number % 2]) for number in range(count)])
    began = time.monotonic()
    assert answer(scenario, "resend", "--yes", "--reason", "oversize")["sent"] == count // 2
    assert time.monotonic() - began < 30
    assert answer(scenario, "resend", "--yes")["sent"] == count // 2
    assert inputs(scenario) == sorted(b"v%d" % number for number in range(count))


def test_a_repaired_event_is_scored_and_a_bad_one_comes_back_counted(scenario: Scenario) -> None:
    """The whole way round: rejected, looked at, sent back, tried again."""
    scenario.produce_payments(PaymentStream(seed=5).columns(50))
    support_log.produce(scenario.bootstrap_servers, scenario.source, [b"{not json"], [b"bad"], headers=[[("a", b"b")]])
    scenario.run_to_end()
    [row] = answer(scenario, "list")
    assert (row["reason"], row["count"]) == ("malformed", 1)

    assert answer(scenario, "resend", "--yes")["sent"] == 1
    scenario.run_to_end()
    first, second = scenario.dead_letters().headers
    assert dict(first)[PREFIX + "attempts"] == b"1"
    assert dict(second)[PREFIX + "attempts"] == b"2"
    assert [header for header in second if not header[0].startswith(PREFIX)] == [("a", b"b")]

    assert answer(scenario, "resend", "--yes")["sent"] == 1
    scenario.run_to_end()
    assert answer(scenario, "resend", "--yes")["left_out"] == {
        "sent_before": 2,
        "tried_too_often": 1,
        "no_input": 0,
        "not_selected": 0,
    }
    assert len(scenario.scored()) == 50

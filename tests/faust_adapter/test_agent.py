"""An event is acknowledged when what became of it is, and never where a batch failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stream_infer
from stream_infer.clock import SystemClock
from stream_infer.codecs import JsonDecoder, JsonEncoder, output_schema
from stream_infer.errors import FatalError, UsageError
from stream_infer.faust import Format, WindowHistory, score
from stream_infer.faust.batches import MAX_EVENT_BYTES, BatchScoring, to_records
from stream_infer.faust.intake import Taken
from stream_infer.kafka.dead_letters import read_verdict
from stream_infer.scoring import Scorer
from stream_infer.types import Records, ScoredBatch, Status
from stream_infer.work import Work
from tests.faust_adapter.fakes import FakeEvent, FakeMessage, FakeStream, FakeTable, FakeTopic, Journal

BUNDLE = Path(stream_infer.__file__).parent / "demo_bundle/payments-1.bundle.jar"
CARRY = ("transaction_id", "card_id", "payments_last_hour")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    loaded = Scorer.load(BUNDLE)
    # The kernels of this codec are compiled here, where nobody waits for an agent.
    BatchScoring(loaded, Format(carry=CARRY))([Taken(payment(0))])
    return loaded


def payment(offset: int, **fields: Any) -> FakeEvent:
    event = {"transaction_id": f"tx-{offset}", "card_id": "card-1", "amount": 9.5 + offset, "payments_last_hour": 0}
    message = FakeMessage(offset, json.dumps(event | fields).encode(), headers=[("trace", b"1")])
    return FakeEvent(message)


class Run:
    """One run of an agent over a script; ends with the stream or with the app."""

    def __init__(self, scorer: Scorer, script: Sequence[Any], **options: Any) -> None:
        self.journal: Journal = []
        self.scored = FakeTopic("scored", self.journal)
        self.dead = FakeTopic("dead", self.journal)
        self.stream = FakeStream(script, self.journal)
        self.options: dict[str, Any] = {
            "dead_letters": self.dead,
            "form": Format(carry=CARRY),
            "linger_ms": 20.0,
        } | options
        asyncio.run(self._run(scorer))

    async def _run(self, scorer: Scorer) -> None:
        agent = asyncio.create_task(score(self.stream, scorer, publish=self.scored, **self.options))
        crashed = asyncio.create_task(self.stream.app.crashed.wait())
        done, _ = await asyncio.wait([agent, crashed], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert done, "neither the stream nor the app has ended"
        await asyncio.sleep(0.02)
        if agent.done():
            agent.result()
        crashed.cancel()
        agent.cancel()
        await asyncio.wait([agent, crashed])

    @property
    def acked(self) -> list[int]:
        return [entry[2] for entry in self.journal if entry[0] == "ack"]

    def values(self) -> list[dict[str, Any]]:
        return [json.loads(sent["value"]) for sent in self.scored.sent]


def test_events_are_acknowledged_in_order_after_all_deliveries_of_their_batch(scorer: Scorer) -> None:
    run = Run(scorer, [payment(offset) for offset in range(5)], max_batch_size=2)
    delivered, acked = ("delivered", "scored"), [("ack", 0, offset) for offset in range(5)]
    assert run.journal == [delivered, delivered, *acked[:2], delivered, delivered, *acked[2:4], delivered, acked[4]]


def test_scored_events_are_those_of_the_service_but_for_the_time(scorer: Scorer) -> None:
    events = [payment(0), payment(1, amount="nine"), payment(2, merchant_category="grocery", geo=None)]
    run = Run(scorer, events)
    records = to_records([event.message for event in events], 0)
    decoder = JsonDecoder(scorer.bundle.projection(CARRY), max_event_bytes=MAX_EVENT_BYTES)
    service = Scorer(scorer.bundle, decoder, scorer._runtime)
    encoder = JsonEncoder(output_schema(scorer.bundle.input_schema, CARRY))
    batch = Work(service, encoder, SystemClock()).score(records).batch
    expected = [value for value in batch.payload.to_list() if value is not None]
    assert len(expected) == 2
    assert [without_time(sent["value"]) for sent in run.scored.sent] == [without_time(value) for value in expected]
    assert [sent["key"] for sent in run.scored.sent] == [b"k", b"k"]
    assert [int(sent["timestamp"] * 1000.0) for sent in run.scored.sent] == [1_767_571_200_001] * 2
    assert all(sent["headers"] is None for sent in run.scored.sent)


def without_time(value: bytes) -> bytes:
    before, _, rest = value.partition(b'"scored_at":')
    assert rest
    return before + rest.partition(b",")[2]


def test_a_bad_event_becomes_a_dead_letter_as_it_came(scorer: Scorer) -> None:
    bad = FakeEvent(FakeMessage(1, b'{"amount": ', headers=[("trace", b"1")]))
    run = Run(scorer, [payment(0), bad, payment(2)])
    (letter,) = run.dead.sent
    verdict = read_verdict(letter["headers"])
    assert (letter["key"], letter["value"]) == (b"k", b'{"amount": ')
    assert (verdict.reason, verdict.topic, verdict.partition, verdict.offset) == ("truncated", "payments", 0, 1)
    assert (verdict.group, letter["headers"][0]) == ("app", ("trace", b"1"))
    assert len(run.scored.sent) == 2
    assert run.acked == [0, 1, 2]


def test_without_dead_letters_a_bad_event_stops_the_app_in_one_sentence(scorer: Scorer) -> None:
    run = Run(scorer, [payment(0), FakeEvent(FakeMessage(1, b"{"))], dead_letters=None)
    assert isinstance(run.stream.app.reason, FatalError)
    assert "offset 1: the event cannot be scored (truncated)" in str(run.stream.app.reason)
    assert run.acked == []


def test_a_tombstone_is_passed_over_and_acknowledged(scorer: Scorer) -> None:
    run = Run(scorer, [FakeEvent(FakeMessage(0, None)), payment(1)])
    assert len(run.scored.sent) == 1
    assert run.acked == [0, 1]


def test_a_delivery_that_fails_acknowledges_nothing_of_its_batch_nor_after_it(scorer: Scorer) -> None:
    journal: Journal = []
    refused = FakeTopic("scored", journal, fails=lambda sent: b"tx-3" in sent["value"])

    async def main() -> FakeStream:
        stream = FakeStream([payment(offset) for offset in range(8)], journal)
        agent = asyncio.create_task(score(stream, scorer, publish=refused, form=Format(carry=CARRY), max_batch_size=2))
        await asyncio.wait_for(stream.app.crashed.wait(), 20)
        await asyncio.sleep(0.02)
        assert not agent.done(), "Faust would start the agent again behind the batch"
        agent.cancel()
        await asyncio.wait([agent])
        return stream

    stream = asyncio.run(main())
    assert isinstance(stream.app.reason, ConnectionError)
    assert [entry[2] for entry in journal if entry[0] == "ack"] == [0, 1]


def test_an_error_of_the_stream_comes_after_the_events_before_it(scorer: Scorer) -> None:
    run = Run(scorer, [payment(0), OSError("gone")])
    assert str(run.stream.app.reason) == "gone"
    assert run.acked == [0]


def test_an_error_of_a_feature_stops_the_app(scorer: Scorer) -> None:
    def features(event: Any, _fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"payments_last_hour": 1 // (3 - event.message.offset)}

    run = Run(scorer, [payment(offset) for offset in range(5)], features=features, max_batch_size=1)
    assert isinstance(run.stream.app.reason, ZeroDivisionError)
    assert run.acked == [0, 1, 2]


def test_a_listener_that_fails_stops_the_app_before_anything_is_acknowledged(scorer: Scorer) -> None:
    def told(batch: ScoredBatch) -> None:
        raise RuntimeError(f"{len(batch.records)} events")

    run = Run(scorer, [payment(0), payment(1)], on_scored=told)
    assert str(run.stream.app.reason) == "2 events"
    assert run.acked == []


def test_a_batch_leaves_when_its_first_event_has_waited_long_enough(scorer: Scorer) -> None:
    sizes: list[int] = []
    script = [payment(0), payment(1), 0.3, payment(2)]
    Run(scorer, script, on_scored=lambda batch: sizes.append(len(batch.records)))
    assert sizes == [2, 1]


def test_reading_ahead_is_bounded(scorer: Scorer) -> None:
    seen: list[int] = []
    ahead: list[int] = []

    def features(event: Any, _fields: Mapping[str, Any]) -> Mapping[str, Any]:
        seen.append(event.message.offset)
        return {}

    def told(batch: ScoredBatch) -> None:
        ahead.append(len(seen) - int(batch.records.offset[-1]) - 1)

    run = Run(scorer, [payment(offset) for offset in range(12)], features=features, max_batch_size=2, on_scored=told)
    assert seen == run.acked == list(range(12))
    # A batch in the queue, and the one event that does not fit into it.
    assert max(ahead) <= 2 + 1


def test_features_are_joined_before_scoring_in_the_order_of_the_stream(scorer: Scorer) -> None:
    history = WindowHistory(FakeTable())

    def features(event: Any, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"payments_last_hour": len(history.add(event, fields["card_id"], fields["amount"]))}

    run = Run(scorer, [payment(offset, payments_last_hour=99) for offset in range(4)], features=features)
    assert [value["payments_last_hour"] for value in run.values()] == [1, 2, 3, 4]
    expected = scorer.score_events(
        [json.loads(payment(offset, payments_last_hour=offset + 1).message.value or b"") for offset in range(4)]
    )
    assert np.array_equal(np.array([value["score"] for value in run.values()], np.float32), expected.score)


def test_where_features_are_joined_a_bad_event_has_the_decoders_verdict(scorer: Scorer) -> None:
    events = [payment(0), FakeEvent(FakeMessage(1, b'{"amount": ')), FakeEvent(FakeMessage(2, None)), payment(3)]
    run = Run(scorer, events, features=lambda _event, _fields: {})
    (letter,) = run.dead.sent
    assert read_verdict(letter["headers"]).reason == Status.TRUNCATED.reason
    assert [value["input_offset"] for value in run.values()] == [0, 3]
    assert run.acked == [0, 1, 2, 3]


@pytest.mark.parametrize("options", [{"max_batch_size": 0}, {"linger_ms": -1.0}])
def test_options_out_of_range_are_refused(scorer: Scorer, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be 1 or more"):
        Run(scorer, [], **options)


def test_milliseconds_survive_being_divided_by_a_thousand() -> None:
    stamps = np.arange(1_767_571_200_000, 1_767_571_210_000)
    records: Records = to_records([FakeMessage(0, b"", timestamp=stamp / 1000) for stamp in stamps.tolist()], 0)
    assert np.array_equal(records.timestamp_ms, stamps)
    assert [int((stamp + 0.5) / 1000 * 1000.0) for stamp in stamps.tolist()] == stamps.tolist()

"""`make proof-faust`: a Faust worker is killed (SIGKILL) five times in the middle of its batches.

Every input has its scored event, every event that cannot be scored its dead letter, and the count of a window that was
joined to each event is the one that the raw events give, also where an event was scored again. A delivery that fails
ends the worker, with nothing committed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from integration import support_log
from integration.brokers import Kafka
from integration.environments import ROOT, environment
from integration.processes import GuardedProcess
from integration.scenario import DEMO_BUNDLE
from integration.support_log import Log
from integration.topics import Topics, unique_name
from stream_infer.kafka.dead_letters import read_verdict
from stream_infer.scoring import Scorer
from stream_infer.testing.payments import PaymentStream

PAYMENTS = 24_000
CARDS = 300
CHUNKS = 12
CHUNK_MS = 20 * 60 * 1000
HOUR_MS = 3_600_000
PARTITIONS = 3
KILLS = 5
SEED = 11
BAD_EVERY = 500
JOINED = "payments_last_hour"


@dataclass(frozen=True, slots=True)
class Setting:
    """Topics, group and the worker's command."""

    bootstrap_servers: str
    app_id: str
    payments: str
    scored: str
    dead: str
    command: list[str]
    log: Path

    def worker(self) -> GuardedProcess:
        """A worker that has just been started."""
        return GuardedProcess(self.command, self.log, {"PYTHONPATH": str(ROOT)})

    def scored_count(self) -> int:
        """How much is in the output now."""
        return sum(support_log.ends(self.bootstrap_servers, self.scored).values())

    def behind(self) -> int:
        """How many inputs are not committed yet."""
        committed = support_log.committed(self.bootstrap_servers, self.app_id, self.payments, PARTITIONS)
        return sum(support_log.ends(self.bootstrap_servers, self.payments).values()) - sum(committed.values())


def make_setting(kafka: Kafka, topics: Topics, folder: Path, of_scored: Mapping[str, str] | None = None) -> Setting:
    """Topics with payments in them, twenty minutes between chunks; ``of_scored`` is the output's config."""
    python = environment("faust", ["-e", f"{ROOT}[faust]"])
    scored = topics.create(PARTITIONS, "scored", of_scored)
    names = (topics.create(PARTITIONS, "payments"), scored, topics.create(1, "dead"))
    app_id = unique_name("faust")
    arguments = [app_id, kafka.bootstrap_servers, *names, str(PARTITIONS), str(folder / "data")]
    command = [str(python), "-m", "integration.faust_worker", *arguments]
    setting = Setting(kafka.bootstrap_servers, app_id, *names, command, folder / "worker.log")
    columns = PaymentStream(seed=SEED, cards=CARDS).columns(PAYMENTS)
    values = [json.dumps({**payment, JOINED: -1}).encode() for payment in columns.to_dicts()]
    for row in range(0, PAYMENTS, BAD_EVERY):
        values[row] = values[row][:-10]
    keys = columns.keys()
    hour_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS
    for chunk in range(CHUNKS):
        rows = slice(PAYMENTS * chunk // CHUNKS, PAYMENTS * (chunk + 1) // CHUNKS)
        at_ms = hour_ms - (CHUNKS - chunk) * CHUNK_MS
        support_log.produce(setting.bootstrap_servers, setting.payments, values[rows], keys[rows], timestamp_ms=at_ms)
    return setting


def test_nothing_is_lost_and_windows_count_right_after_five_kills(kafka: Kafka, topics: Topics, tmp_path: Path) -> None:
    """Five workers die, the sixth finishes."""
    setting = make_setting(kafka, topics, tmp_path)
    rng = np.random.default_rng(SEED)
    for number in range(KILLS):
        worker = setting.worker()
        goal = setting.scored_count() + int(rng.integers(300, PAYMENTS // 8))
        worker.wait_until(lambda goal=goal: setting.scored_count() >= goal, timeout_s=120)  # type: ignore[misc]
        worker.kill()
        print(f"kill {number + 1}: {setting.scored_count():,} scored, {setting.behind():,} not committed", flush=True)
        assert setting.behind() > 0, "it was killed too late to prove anything"
    worker = setting.worker()
    worker.wait_until(lambda: setting.behind() == 0, timeout_s=180)
    worker.stop()

    payments = support_log.read(setting.bootstrap_servers, setting.payments)
    events = good_events(payments)
    scored = [json.loads(value or b"") for value in support_log.read(setting.bootstrap_servers, setting.scored).values]
    places = Counter((event["input_partition"], event["input_offset"]) for event in scored)
    assert set(places) == set(events)
    repeats = sum(places.values()) - len(places)
    print(f"{len(events):,} events, {repeats:,} scored again, by {KILLS} kills")
    assert repeats > 0, "it was never killed between publishing and committing"
    check_windows_and_scores(events, scored)
    check_dead_letters(payments, support_log.read(setting.bootstrap_servers, setting.dead))


def test_a_delivery_that_fails_ends_the_worker_and_moves_no_offset(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    """Left to itself Faust would start the agent again behind the batch, and commit past it."""
    setting = make_setting(kafka, topics, tmp_path, {"max.message.bytes": "100"})
    worker = setting.worker()
    deadline = time.monotonic() + 90
    while worker.running:
        assert time.monotonic() < deadline, "the worker goes on"
        time.sleep(0.2)
    worker.stop()
    assert setting.behind() == PAYMENTS
    assert setting.scored_count() == 0
    assert "MessageSizeTooLarge" in setting.log.read_text("utf-8")


def good_events(payments: Log) -> dict[tuple[int, int], dict[str, Any]]:
    """Every event that can be scored by its place, with the count that its window had."""
    events: dict[tuple[int, int], dict[str, Any]] = {}
    counts: Counter[tuple[str, int]] = Counter()
    for place, row in payments.rows().items():
        try:
            event = json.loads(payments.values[row] or b"")
        except ValueError:
            continue
        window = (event["card_id"], int(payments.timestamp_ms[row]) // HOUR_MS)
        events[place] = {**event, JOINED: counts[window]}
        counts[window] += 1
    return events


def check_windows_and_scores(events: dict[tuple[int, int], dict[str, Any]], scored: list[dict[str, Any]]) -> None:
    """Counts and scores are those of a recomputation, in every scored event."""
    expected = [events[event["input_partition"], event["input_offset"]] for event in scored]
    wrong = [event for event, right in zip(scored, expected, strict=True) if event[JOINED] != right[JOINED]]
    assert not wrong, f"{len(wrong)} events with a wrong count, such as {wrong[0]}"
    assert max(right[JOINED] for right in expected) > 5, "windows so empty prove nothing"
    scores = Scorer.load(DEMO_BUNDLE).score_events(expected).score
    assert np.array_equal(np.array([event["score"] for event in scored], np.float32), scores)


def check_dead_letters(payments: Log, dead: Log) -> None:
    """Each bad event is there as it came, with its place."""
    verdicts = [read_verdict([(name, bytes(value or b"")) for name, value in headers]) for headers in dead.headers]  # type: ignore[arg-type]
    bad = {place for place, row in payments.rows().items() if not (payments.values[row] or b"").endswith(b"}")}
    assert len(bad) == PAYMENTS // BAD_EVERY
    assert {(verdict.partition, verdict.offset) for verdict in verdicts} == bad
    by_place = payments.rows()
    for verdict, value in zip(verdicts, dead.values, strict=True):
        assert verdict.partition is not None
        assert verdict.offset is not None
        assert value == payments.values[by_place[verdict.partition, verdict.offset]]

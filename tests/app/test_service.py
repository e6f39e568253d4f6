"""Signals, the watch over the main loop, and how numbers get from the config to the line."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys

import pytest

from stream_infer.app.assembly import all_topics, delivery_settings, settings
from stream_infer.app.service import LoopWatch, Signals, keep_for_good
from stream_infer.config.load import config_from_mapping
from stream_infer.config.options import RunOptions
from stream_infer.config.timing import DEFAULT_PRODUCER_LINGER_MS
from stream_infer.kafka.properties import producer_properties
from stream_infer.observe.watchdog import Watchdog
from stream_infer.testing import FakeClock, RecordingInstrument

CONFIG = {
    "name": "t",
    "kafka": {"bootstrap_servers": "127.0.0.1:9092"},
    "source": {"topics": ["in"], "group_id": "g", "codec": {"type": "json"}},
    "model": {"bundle": "stream_infer/demo_bundle/payments-1.bundle.jar"},
    "sink": {"topic": "out", "codec": {"type": "json"}, "routes": [{"when": "flagged", "topic": "out.flagged"}]},
    "dead_letter": {"topic": "dlq"},
    "batching": {"linger_ms": 7},
    "delivery": {"commit_interval_ms": 250},
    "timeouts": {"drain_seconds": 12},
}


def test_milliseconds_of_the_config_are_seconds_in_the_line() -> None:
    config = config_from_mapping(CONFIG)
    assert settings(config, RunOptions()).linger_s == pytest.approx(0.007)
    assert settings(config, RunOptions()).drain_timeout_s == 12
    assert delivery_settings(config, RunOptions()).commit_interval_s == pytest.approx(0.25)


def test_a_goal_for_latency_takes_the_place_of_the_linger() -> None:
    config = config_from_mapping({**CONFIG, "batching": {"slo_ms": 25}, "scoring": {"workers": 3}})
    numbers = settings(config, RunOptions())
    assert (numbers.slo_s, numbers.publish_s, numbers.parallel) == (0.025, 0.008, 3)
    assert settings(config_from_mapping(CONFIG), RunOptions()).slo_s is None


def test_the_producers_linger_is_counted_as_the_client_sets_it() -> None:
    properties = producer_properties("127.0.0.1:9092", {}, client_id="t", publish_timeout_s=30)
    assert properties["linger.ms"] == DEFAULT_PRODUCER_LINGER_MS


def test_options_of_the_command_line_outrank_the_config() -> None:
    options = RunOptions(dry_run=True, max_events=5, until_caught_up=True, drain_timeout_seconds=3)
    numbers = settings(config_from_mapping(CONFIG), options)
    assert (numbers.drain_timeout_s, numbers.max_records, numbers.until_caught_up) == (3, 5, True)
    assert not delivery_settings(config_from_mapping(CONFIG), options).commits


def test_what_a_dead_process_can_have_had_open_is_bounded_by_what_may_be_uncommitted_and_buffered() -> None:
    config = config_from_mapping({**CONFIG, "flow": {"max_unacknowledged": 5000, "max_buffered_records": 2000}})
    numbers = delivery_settings(config, RunOptions())
    assert (numbers.max_uncommitted, numbers.watch_records) == (5000, 7000)


def test_every_topic_of_a_config_is_known_inputs_first() -> None:
    assert all_topics(config_from_mapping(CONFIG)) == ["in", "out", "out.flagged", "dlq"]


def test_a_signal_is_a_question_and_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        signals.drain_from_now()
        assert not signals()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = (
        "import os, signal, sys\n"
        "from stream_infer.app.service import Signals\n"
        "with Signals() as signals:\n"
        "    signals.drain_from_now()\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('first', signals(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('never', flush=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.stdout == "first True\n"
    assert ended.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_before_there_is_anything_to_drain_a_signal_ends_the_process(number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as ended, Signals():
        os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number


def test_a_turn_of_the_main_loop_that_does_not_end_is_seen() -> None:
    clock, facts, stuck = FakeClock(), RecordingInstrument(), list[str]()
    watchdog = Watchdog(clock, facts, list[str]().append, stuck.append, grace_s=1.0)
    loop = LoopWatch(60.0)
    loop.ticked(clock.monotonic())
    loop.begin(watchdog)
    for _ in range(3):
        clock.advance(50.0)
        loop.ticked(clock.monotonic())
        watchdog.check()
    assert stuck == []
    clock.advance(61.5)
    watchdog.check()
    watchdog.check()
    assert stuck == ["poll"]
    assert [stage for stage, _ in facts.named("stage_timed_out")] == ["poll"]


def test_after_the_loop_nothing_is_watched() -> None:
    clock, facts, stuck = FakeClock(), RecordingInstrument(), list[str]()
    watchdog = Watchdog(clock, facts, list[str]().append, stuck.append, grace_s=1.0)
    loop = LoopWatch(60.0)
    loop.begin(watchdog)
    loop.ticked(clock.monotonic())
    loop.end()
    clock.advance(500.0)
    watchdog.check()
    assert facts.facts == []


def test_what_is_loaded_is_not_gone_through_again() -> None:
    """A full collection takes a tenth of a second with everything in sight, which every event would wait for."""
    try:
        keep_for_good()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 10_000
    finally:
        gc.unfreeze()

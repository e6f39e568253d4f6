"""`make proof-at-rest`: what the service costs while nothing happens, and how long it takes from its start to a score.

Four partitions without traffic for a minute: under one hundredth of a core. From the start of the process to the first
scored event in the output topic: under three seconds when the kernels are compiled; the first start on a machine, which
compiles them, is told beside it.
"""

from __future__ import annotations

import datetime
import os
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from integration import support_log
from integration.scenario import Scenario
from integration.support_program import Program
from stream_infer.testing.payments import PaymentStream

IDLE_S = 60.0
SETTLING_S = 5.0
MOST_CPU = 0.01
STARTS = 5
MOST_START_S = 3.0
_POLL_S = 0.02
_DEADLINE_S = 120.0


def test_a_minute_without_traffic(make_scenario: Callable[..., Scenario]) -> None:
    """Processor time of the whole process over a minute, after everything of the start has ended."""
    scenario = make_scenario(events="files")
    scenario.produce_payments(PaymentStream(seed=1).columns(1000))
    program = scenario.run()
    program.wait_settled(1000, timeout_s=60)
    time.sleep(SETTLING_S)

    began, used = time.monotonic(), program.cpu_seconds()
    time.sleep(IDLE_S)
    share = (program.cpu_seconds() - used) / (time.monotonic() - began)
    end(program)

    print(
        f"\n{datetime.date.today().isoformat()}, {os.cpu_count()} cores: idle for {IDLE_S:.0f} s at {share:.2%} of one"
    )
    assert share < MOST_CPU


def test_from_the_start_to_the_first_score(make_scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """The events wait already; the clock runs from the start of the process until a reader sees the first score."""
    make_scenario(events="files").run_to_end()  # the broker has made its own topics, the kernels are compiled
    warm = [seconds_to_first_score(make_scenario(events="files")) for _ in range(STARTS)]
    empty = {"NUMBA_CACHE_DIR": str(tmp_path / "no-kernels-yet")}
    cold = seconds_to_first_score(make_scenario(events="files"), empty)

    print(f"\nkernels compiled: {statistics.median(warm):.2f} s (of {STARTS}: {min(warm):.2f} to {max(warm):.2f})")
    print(f"first start on a machine, kernels not compiled: {cold:.1f} s")
    assert statistics.median(warm) < MOST_START_S


def seconds_to_first_score(scenario: Scenario, environment: dict[str, str] | None = None) -> float:
    """Start the service over a thousand waiting payments and wait for the first score."""
    scenario.produce_payments(PaymentStream(seed=2).columns(1000))
    began = time.monotonic()
    program = scenario.run(environment=environment)
    while not any(support_log.ends(scenario.bootstrap_servers, scenario.sink).values()):
        assert program.running, program.last_words()
        assert time.monotonic() - began < _DEADLINE_S, program.last_words()
        time.sleep(_POLL_S)
    seconds = time.monotonic() - began
    end(program)
    return seconds


def end(program: Program) -> None:
    """Stop it as an orchestrator would."""
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=30)

"""`make proof-flat-memory`: resident memory does not grow over twenty million events.

The same two million payments again and again, produced while the service scores them; what was produced runs ahead by
a round at most, so that the service works from a backlog all the while.
"""

from __future__ import annotations

import datetime
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from integration import support_log
from integration.scenario import Scenario
from integration.support_program import Program
from stream_infer.testing.payments import PaymentStream

ROUND = 2_000_000
ROUNDS = 10
GROWTH_BYTES = 10 << 20
_ROUND_TIMEOUT_S = 600.0


def test_memory_is_flat_over_twenty_million_events(make_scenario: Callable[..., Scenario]) -> None:
    """The most memory in each round after the first is no more than in the first, but for ten MiB."""
    scenario = make_scenario(events="bare", overrides={"sink.fields": ["transaction_id"]})
    payments = PaymentStream(seed=20).columns(ROUND)
    values, keys = payments.to_avro(), payments.keys()

    def send() -> None:
        support_log.produce(scenario.bootstrap_servers, scenario.source, values, keys)

    send()
    program = scenario.run()
    with ThreadPoolExecutor(1) as sender:
        peaks = []
        for number in range(ROUNDS):
            sending = sender.submit(send) if number + 1 < ROUNDS else None
            peaks.append(peak_until(program, (number + 1) * ROUND))
            if sending is not None:
                sending.result()
    seconds = program.cpu_seconds()
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=60)

    print(f"\n{datetime.date.today().isoformat()}, {os.cpu_count()} cores")
    print(f"{ROUND * ROUNDS:,} events, {seconds / (ROUND * ROUNDS) * 1e6:.2f} us of processor time an event")
    print("most memory in each round, MiB: " + ", ".join(f"{peak / (1 << 20):.1f}" for peak in peaks))
    assert max(peaks[1:]) - peaks[0] <= GROWTH_BYTES
    assert sum(support_log.ends(scenario.bootstrap_servers, scenario.sink).values()) == ROUND * ROUNDS


def peak_until(program: Program, settled: int) -> int:
    """Most resident memory seen until so many events are settled, in bytes."""
    peak = 0

    def done() -> bool:
        nonlocal peak
        peak = max(peak, program.resident_bytes())
        return program.metrics().settled >= settled

    program.wait_for(done, _ROUND_TIMEOUT_S, f"{settled:,} settled events")
    return peak

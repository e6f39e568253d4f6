"""`make proof-clients`: what `make test` shows over librdkafka's C API holds over confluent-kafka's classes, too.

Rule: these are the same tests, in a session of their own in which the environment asks for the other client, as a user
would. Fault trials take a flag instead: ``make faults ARGS="--client confluent"``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stream_infer.kafka.choice import CLIENT_VARIABLE

HERE = Path(__file__).resolve().parent
MODULES = (
    "test_kafka_source",
    "test_kafka_sink",
    "test_kafka_transactions",
    "test_kafka_transactions_network",
    "test_kafka_security",
    "test_line_bad_events",
    "test_line_crash",
    "test_exactly_once",
    "test_fault_broker",
    "test_fault_delivery",
    "test_service_security",
)
"""Source and sinks alone, then the whole program, which inherits the environment."""


def test_the_same_tests_pass_over_the_other_client() -> None:  # noqa: D103
    modules = [HERE / f"{module}.py" for module in MODULES]
    assert all(module.exists() for module in modules)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", *map(str, modules)],
        cwd=HERE.parent,
        env={**os.environ, CLIENT_VARIABLE: "confluent"},
        check=False,
    )
    assert done.returncode == 0

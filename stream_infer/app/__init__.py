"""The composition root: from a config to a running service. Nothing else constructs the parts of the line.

Rule: every thread, signal handler and client of a running service is made here. `assembly` builds, `service` runs,
`checks`, `topics` and `dead_letters` ask the outside without running anything, `bench` runs without the outside.
"""

from stream_infer.app.assembly import assemble
from stream_infer.app.bench import BenchResult, run_bench
from stream_infer.app.checks import check_offline, connect_checks
from stream_infer.app.dead_letters import (
    dead_letters_at,
    dead_letters_list,
    dead_letters_of,
    dead_letters_resend,
)
from stream_infer.app.kernels import warm
from stream_infer.app.service import Service, run
from stream_infer.app.topics import topics_create, topics_describe, topics_list

__all__ = [
    "BenchResult",
    "Service",
    "assemble",
    "check_offline",
    "connect_checks",
    "dead_letters_at",
    "dead_letters_list",
    "dead_letters_of",
    "dead_letters_resend",
    "run",
    "run_bench",
    "topics_create",
    "topics_describe",
    "topics_list",
    "warm",
]

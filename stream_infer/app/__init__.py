"""The composition root: from a config to a running service. Nothing else constructs the parts of the line.

Rule: every thread, signal handler and client of a running service is made here. `assembly` builds, `service` runs,
`checks` and `topics` ask the outside without running anything.
"""

from stream_infer.app.assembly import assemble
from stream_infer.app.checks import check_offline, connect_checks
from stream_infer.app.service import Service, run
from stream_infer.app.topics import topics_create, topics_describe, topics_list

__all__ = [
    "Service",
    "assemble",
    "check_offline",
    "connect_checks",
    "run",
    "topics_create",
    "topics_describe",
    "topics_list",
]

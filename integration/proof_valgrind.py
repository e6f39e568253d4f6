"""`make proof-valgrind`: the client on librdkafka's C API neither touches memory that is not its own nor leaks any.

Rule: valgrind watches the real client in a process of its own (`integration.client_workout`), kernels included. Python
and its libraries have findings of their own; what counts is every invalid access in whose stack librdkafka or compiled
code is, and every block that librdkafka was made to allocate and that nobody can reach any more.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from integration.client_workout import EVENTS
from stream_infer.kafka.mock import MockCluster

_TIMEOUT_S = 1800.0
_HEADER = re.compile(r"^==\d+== (?P<what>\S.*)$")
_FRAME = re.compile(r"^==\d+==    (?:at|by) 0x[0-9A-F]+: (?P<where>.*)$")
_CLIENT = re.compile(r"rd_kafka|librdkafka")
_COMPILED = re.compile(r"^\?\?\?$")
"""A frame of no file, which is what a kernel looks like."""


def findings(log: str) -> Iterator[tuple[str, list[str]]]:
    """What valgrind says, and the frames below it."""
    what, frames = "", list[str]()
    for line in log.splitlines():
        if frame := _FRAME.match(line):
            frames.append(frame["where"])
            continue
        if what and frames:
            yield what, frames
        header = _HEADER.match(line)
        what, frames = header["what"] if header else "", []


def counts(what: str, frames: list[str]) -> bool:
    """Whether a finding is one of the client's."""
    client = any(_CLIENT.search(frame) for frame in frames)
    if "definitely lost" in what:
        return client
    invalid = what.startswith(("Invalid", "Mismatched", "Source and destination"))
    return invalid and (client or any(_COMPILED.match(frame) for frame in frames))


LOG = """\
==7== Invalid read of size 8
==7==    at 0x1: rd_kafka_message_destroy (rdkafka_msg.c:1)
==7==    by 0x2: ???
==7== 
==7== Invalid read of size 4
==7==    at 0x1: something_of_python (obmalloc.c:1)
==7== 
==7== Conditional jump or move depends on uninitialised value(s)
==7==    at 0x1: ???
==7== 
==7== 100 bytes in 1 blocks are definitely lost in loss record 3 of 9
==7==    at 0x1: malloc (vg_replace_malloc.c:1)
==7==    by 0x2: rd_kafka_topic_partition_list_new (rdkafka_partition.c:1)
==7== 
"""  # noqa: W291  # as valgrind writes it


def test_the_judge_knows_what_counts() -> None:
    """An invalid access under librdkafka and a lost list count, Python's own and uninitialised values do not."""
    assert [counts(*finding) for finding in findings(LOG)] == [True, False, False, True]


def test_no_invalid_access_and_no_leak(tmp_path: Path) -> None:
    """Two rounds of everything under valgrind, and nothing of the client's in its log."""
    valgrind = shutil.which("valgrind")
    assert valgrind, "this proof needs valgrind: install Debian's package of that name"
    log = tmp_path / "valgrind.log"
    with MockCluster({}) as cluster:
        done = subprocess.run(
            [
                *(valgrind, "--leak-check=full", "--show-leak-kinds=definite", "--num-callers=30", "--fair-sched=yes"),
                f"--log-file={log}",
                *(sys.executable, "-m", "integration.client_workout", cluster.bootstrap_servers),
            ],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env={**os.environ, "PYTHONMALLOC": "malloc"},
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == f"{2 * EVENTS} events went there and back"
    found = list(findings(log.read_text()))
    ours = [finding for finding in found if counts(*finding)]
    print(f"\n{len(found)} findings in all, {len(ours)} of the client's")
    assert not ours, "\n".join([ours[0][0], *ours[0][1]])

"""CPU time of a process and all its descendants, from ``/proc`` (Linux).

Rule: what children that have ended used counts as soon as their parent has waited for them.
"""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree_cpu_s(pid: int) -> float:
    """CPU seconds, user and system, that the process tree under ``pid`` has used; 0.0 when it is gone."""
    ticks, waiting = 0, [pid]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        try:
            ticks += cpu_ticks((process / "stat").read_text())
            waiting += _children(process)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended between two looks; its parent's figures hold its time
    return ticks / _TICKS_PER_S


def cpu_ticks(stat: str) -> int:
    """Clock ticks in the text of a ``/proc/PID/stat``: utime, stime, and both of children waited for."""
    # The name in parentheses may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def _children(process: Path) -> list[int]:
    # Each thread lists the children that it started itself.
    lists = [(thread / "children").read_text() for thread in (process / "task").iterdir()]
    return [int(child) for children in lists for child in children.split()]

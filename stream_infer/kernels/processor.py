"""Which processors kernels are compiled for.

Rule: for a kind of processor, never for the one at hand: compiled kernels are kept, and an image that is built on one
machine has to start quickly on another. There are two kinds: x86-64 with vectors of 256 bits, which servers have had
since 2013 (they make trees a third cheaper), and any processor of the architecture.

numba is told by environment variables, which it reads when it is first imported; so this imports nothing of it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

ANY = "generic"
WITH_WIDE_VECTORS = "x86-64-v3"

_NEEDED = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"})
"""What Linux calls the features of the third level of x86-64 that the second does not have."""
_CPU_INFO = Path("/proc/cpuinfo")


def choose(environment: MutableMapping[str, str], cpu_info: Path = _CPU_INFO) -> None:
    """Set ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES``, unless the first is set already.

    Args:
        environment: of this process.
        cpu_info: Linux' description of the processors; where there is none, kernels are for any.
    """
    if "NUMBA_CPU_NAME" in environment:
        return
    environment["NUMBA_CPU_NAME"] = WITH_WIDE_VECTORS if _flags(cpu_info) >= _NEEDED else ANY
    # Otherwise numba adds what the processor at hand has beyond its kind.
    environment.setdefault("NUMBA_CPU_FEATURES", "")


def _flags(cpu_info: Path) -> frozenset[str]:
    """What the first processor can do; nothing where that is not known."""
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        return frozenset()
    told = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(told.partition(":")[2].split())


__all__ = ["ANY", "WITH_WIDE_VECTORS", "choose"]

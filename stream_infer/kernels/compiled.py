"""How a kernel is compiled.

Rule: at its first call, for the types of that call, and once per machine: the machine code is kept beside the source,
or in the user's cache directory (numba's ``NUMBA_CACHE_DIR`` says where). `stream_infer.kernels.kept` finds it there
even where nothing can be written; where nothing was kept either, it is compiled anew in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numba

from stream_infer.kernels.kept import KernelCache

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "boundscheck": False,
    "error_model": "numpy",
    "fastmath": False,
    # Without these every helper that is handed arrays, and every slice, counts references with atomic instructions:
    # a payment took 8.5 us to decode instead of 0.2. Kernels allocate nothing, so there is nothing to count.
    "_nrt": False,
    "forceinline": True,
}


_all: list[Any] = []
"""Kernels that are called from outside of their file."""


class Usage(NamedTuple):
    """How this process came by its kernels: how many it compiled, how many it loaded, and where they are kept."""

    compiled: int
    loaded: int
    kept_in: Path | None
    """None where they are in this process only."""
    forgotten: int
    """Compiled ones that could not be kept, so that the next process compiles them again."""


def kernel(function: F) -> F:
    """Compile a function of arrays and numbers that makes no array. ``kernel(f).py_func`` is the function itself."""
    try:
        made = numba.njit(function, cache=True, **_OPTIONS)
    except RuntimeError:
        # No directory to keep it in, on a read-only file system for instance.
        made = numba.njit(function, **_OPTIONS)
    made._cache = KernelCache(function, made._cache)
    if not function.__name__.startswith("_"):
        _all.append(made)
    return cast("F", made)


def usage() -> Usage:
    """Of the kernels that were called so far in this process."""
    stats = [each for each in (made.stats for made in _all) if each.cache_hits or each.cache_misses]
    folders = {each.cache_path for each in stats if each.cache_path}
    return Usage(
        sum(each.cache_misses.total() for each in stats),
        sum(each.cache_hits.total() for each in stats),
        Path(min(folders)) if folders else None,
        sum(each.cache_misses.total() for each in stats if not each.cache_path),
    )


def as_python(compiled: F) -> F:
    """A kernel's function as plain Python, in which numpy checks every index (for tests)."""
    return cast("F", compiled.py_func)  # type: ignore[attr-defined]  # numba's dispatcher


__all__ = ["Usage", "as_python", "kernel", "usage"]

"""Where machine code is kept between processes, and found again.

Rule: loaded from wherever it lies, saved where that is possible, and never a reason to fail.

numba keeps the code of a function in the first folder that it can write: ``NUMBA_CACHE_DIR``, ``__pycache__`` beside
the source, the user's cache. It also loads from that one alone. So in an image that nobody may write to it would pass
over the kernels that `stream-infer warm` left beside the source, and compile them at every start. Here the folders that
cannot be written are looked through as well, and what cannot be saved stays in this process.
"""

from __future__ import annotations

import itertools
import os
import pickle
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache

_UNUSABLE = (OSError, EOFError, pickle.UnpicklingError)
"""A file that may not be read or written, or that a full disk cut short."""


class KernelCache:
    """What a dispatcher of numba asks of its cache.

    Args:
        function: the kernel in Python.
        written: numba's own cache, in a folder that can be written; one that keeps nothing where there is none.

    Attributes:
        cache_path: the folder that the code came from or went to; None where it is in this process only.
    """

    def __init__(self, function: Callable[..., Any], written: Any) -> None:
        self._function = function
        self._written = written
        self.cache_path: str | None = written.cache_path

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The machine code for a signature; None where no folder has it."""
        # Only where the first has it not, the others are looked for.
        for cache in itertools.chain([self._written], self._read_only):
            try:
                found = cache.load_overload(signature, target)
            except _UNUSABLE:
                continue
            if found is not None:
                self.cache_path = cache.cache_path
                return found
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep what was just compiled, where that is possible."""
        self.cache_path = self._written.cache_path
        try:
            self._written.save_overload(signature, compiled)
        except _UNUSABLE:
            self.cache_path = None

    def flush(self) -> None:
        """Forget what is kept where it can be written."""
        self._written.flush()

    @cached_property
    def _read_only(self) -> tuple[Any, ...]:
        return tuple(_folders(self._function))


def _folders(function: Callable[..., Any]) -> Iterator[Any]:
    """A cache for each folder that is there, in the order in which numba would choose them."""
    for locator in CompileResultCacheImpl._locator_classes:
        reading = type(locator.__name__, (locator,), {"ensure_cache_path": _require_folder})
        finder = type("Finder", (CompileResultCacheImpl,), {"_locator_classes": [reading]})
        try:
            yield type("Found", (FunctionCache,), {"_impl_class": finder})(function)
        except RuntimeError:  # no such folder here
            continue


def _require_folder(locator: Any) -> None:
    """Takes the place of numba's check that a folder can be written."""
    if not os.path.isdir(locator.get_cache_path()):
        raise NotADirectoryError(locator.get_cache_path())


__all__ = ["KernelCache"]

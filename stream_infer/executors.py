"""Where batches are scored: in the main thread, or on workers that take whole batches.

Rule: results are asked for in dispatch order by the pipeline; an executor only runs things and never decides.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from typing import Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Runs work; ``concurrent.futures.Executor`` without what nobody needs."""

    def submit(self, work: Callable[..., T], /, *args: object) -> Future[T]:
        """Run ``work(*args)``, now or soon."""
        ...

    def wait(self, future: Future[T], seconds: float) -> None:
        """Wait until ``future`` is done, ``seconds`` at most."""
        ...

    def shutdown(self) -> None:
        """Take no more work. What runs is left to end by itself."""
        ...


class InlineExecutor:
    """``workers = 0``: runs the work at once in the calling thread. Lowest latency, and fastest on one core."""

    def submit(self, work: Callable[..., T], /, *args: object) -> Future[T]:
        """Run ``work`` and return a future that is already done."""
        future: Future[T] = Future()
        try:
            future.set_result(work(*args))
        except Exception as error:  # not swallowed: whoever asks for the result meets it, as with a pool
            future.set_exception(error)
        return future

    def wait(self, future: Future[T], seconds: float) -> None:
        """Every future is done."""

    def shutdown(self) -> None:
        """Nothing runs between calls."""


class ThreadExecutor:
    """``workers`` threads named ``score_N``, each of which takes a whole batch."""

    def __init__(self, workers: int) -> None:
        self._pool = futures.ThreadPoolExecutor(workers, thread_name_prefix="score")

    def submit(self, work: Callable[..., T], /, *args: object) -> Future[T]:
        """Queue ``work`` for the next free thread."""
        return self._pool.submit(work, *args)

    def wait(self, future: Future[T], seconds: float) -> None:
        """Wait until ``future`` is done, ``seconds`` at most."""
        futures.wait([future], seconds)

    def shutdown(self) -> None:
        """Take no more work; threads end after what they run."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def executor(workers: int) -> Executor:
    """An executor with ``workers`` threads, or the calling thread for 0."""
    return ThreadExecutor(workers) if workers else InlineExecutor()

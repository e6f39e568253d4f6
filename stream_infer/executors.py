"""Where batches are scored: in the main thread, or on workers that take whole batches.

Rule: results are asked for in dispatch order by the pipeline; an executor only runs things and never decides.
"""

from __future__ import annotations

import queue
import threading
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


class InlineExecutor:
    """``workers = 0``: runs the work at once in the calling thread. Lowest latency, and fastest on one core."""

    def submit(self, work: Callable[..., T], /, *args: object) -> Future[T]:
        """Run ``work`` and return a future that is already done."""
        future: Future[T] = Future()
        _fulfil(future, work, args)
        return future

    def wait(self, future: Future[T], seconds: float) -> None:
        """Every future is done."""


class ThreadExecutor:
    """``workers`` threads named ``score-N``, each of which takes a whole batch.

    The threads are daemons, unlike those of ``concurrent.futures``: a model call that never ends must not keep
    the process from ending.
    """

    def __init__(self, workers: int) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(workers):
            threading.Thread(target=self._run, name=f"score-{number}", daemon=True).start()

    def submit(self, work: Callable[..., T], /, *args: object) -> Future[T]:
        """Queue ``work`` for the next free thread."""
        future: Future[T] = Future()
        self._queue.put(lambda: _fulfil(future, work, args))
        return future

    def wait(self, future: Future[T], seconds: float) -> None:
        """Wait until ``future`` is done, ``seconds`` at most."""
        futures.wait([future], seconds)

    def _run(self) -> None:
        while True:
            self._queue.get()()


def executor(workers: int) -> Executor:
    """An executor with ``workers`` threads, or the calling thread for 0."""
    return ThreadExecutor(workers) if workers else InlineExecutor()


def _fulfil(future: Future[T], work: Callable[..., T], args: tuple[object, ...]) -> None:
    try:
        future.set_result(work(*args))
    except Exception as error:  # not swallowed: whoever asks for the result meets it
        future.set_exception(error)

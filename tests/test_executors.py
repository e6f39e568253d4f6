"""Executors run work and hand over its result or its error."""

import threading

import pytest

from stream_infer.executors import InlineExecutor, executor


def fail() -> None:
    raise ValueError("scripted")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_result_and_an_error_reach_whoever_asks(workers: int) -> None:
    runs = executor(workers)
    good, bad = runs.submit(lambda: 42), runs.submit(fail)
    runs.wait(good, 5.0)
    runs.wait(bad, 5.0)
    assert good.result(0) == 42
    with pytest.raises(ValueError, match="scripted"):
        bad.result(0)


def test_without_workers_everything_runs_in_the_calling_thread() -> None:
    assert isinstance(executor(0), InlineExecutor)
    assert executor(0).submit(threading.current_thread).result(0) is threading.current_thread()


def test_workers_are_named_daemons() -> None:
    future = executor(1).submit(threading.current_thread)
    thread = future.result(5.0)
    assert thread.name == "score-0"
    assert thread.daemon, "a call that never ends must not keep the process alive"


def test_waiting_is_bounded() -> None:
    runs = executor(1)
    release = threading.Event()
    future = runs.submit(release.wait, 10.0)
    runs.wait(future, 0.01)
    assert not future.done()
    release.set()
    assert future.result(5.0)

"""Stages for the tests of the fault harness: brokers of their own, which may be killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.faults.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One broker and the links to it. `run_trial` leaves it healthy."""
    with Stage(tmp_path_factory.mktemp("stage"), nodes=1) as running:
        yield running

"""A broker that breaks its own promise is recognised by its log, so that the service is not blamed for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.faults.stage import BrokersAtFault, Stage

SKIPPED = (
    "2026-01-01T00:00:00,000 INFO TransactionMarkerChannelManager: [Transaction Marker Channel Manager 1]: Couldn't "
    "find leader endpoint for partitions Set({topic}-3) while trying to send transaction markers for x, these "
    "partitions are likely deleted already and hence can be skipped\n"
)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Never started; its broker has logged something of a topic."""
    stage = Stage(tmp_path, nodes=1)
    (tmp_path / "node-1").mkdir()
    (tmp_path / "node-1" / "server.log").write_text("started\n" + SKIPPED.format(topic="mine"))
    return stage


def test_a_transaction_that_a_broker_left_open_is_noticed(stage: Stage) -> None:
    with pytest.raises(BrokersAtFault, match="broker 1 left out the end of a transaction"):
        stage.check_markers("mine")


def test_one_on_another_topic_is_not_ours(stage: Stage) -> None:
    stage.check_markers("yours")

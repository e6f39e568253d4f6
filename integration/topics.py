"""Topics for tests: fresh, uniquely named, and gone afterwards.

Rule: no two tests share a topic or a group, so that tests may run in any order and on a broker that others use.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

TIMEOUT_S = 30.0


class Topics:
    """Creates topics on one broker.

    Args:
        bootstrap_servers: ``host:port,...`` without security.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        # One client for all calls: librdkafka fails the futures of a client that is collected before they are done.
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._created: list[str] = []

    def create(
        self, partitions: int = 1, prefix: str = "test", config: Mapping[str, str] | None = None, *, exact: bool = False
    ) -> str:
        """A new topic's name. It has ``partitions`` partitions, is empty, and has a leader for each.

        ``exact``: ``prefix`` is the whole name already.
        """
        name = prefix if exact else unique_name(prefix)
        topic = NewTopic(name, partitions, config=dict(config or {}))
        self._admin.create_topics([topic], operation_timeout=TIMEOUT_S)[name].result(TIMEOUT_S)
        self._created.append(name)
        return name

    def delete_all(self) -> None:
        """Delete every topic created here."""
        if self._created:
            for done in self._admin.delete_topics(self._created, operation_timeout=TIMEOUT_S).values():
                done.result(TIMEOUT_S)
            self._created.clear()


def unique_name(prefix: str) -> str:
    """A name for a topic or group that nobody else has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"

"""What the tests of transactions share: a group with one member, and sinks that commit for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from integration.kafka_rig import CLOCK, QUICK, Member, admin_of, messages_in
from integration.topics import Topics, unique_name
from stream_infer.clock import Deadline
from stream_infer.errors import SinkUnavailable
from stream_infer.kafka.properties import Transaction, producer_properties
from stream_infer.kafka.publisher import Outputs, Route
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.types import Commit, Split


def soon(seconds: float = 20) -> Deadline:
    """A deadline for what takes moments."""
    return Deadline.after(seconds, CLOCK.monotonic())


@dataclass
class Rig:
    """A member of a group that owns the one partition of its input, and sinks that commit for it."""

    address: str
    topics: Topics
    input: str = field(init=False)
    output: str = field(init=False)
    flagged: str = field(init=False)
    dead: str = field(init=False)
    group: str = field(default_factory=lambda: unique_name("group"))
    opened: list[TransactionalKafkaSink] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.input, self.output, self.flagged, self.dead = (self.topics.create(1) for _ in range(4))

    def join(self, client: Mapping[str, Any] = QUICK) -> Member:
        """One more member of the group. It is assigned when somebody polls it."""
        self.members.append(Member(self.address, self.input, self.group, client=client))
        return self.members[-1]

    def owner(self) -> tuple[Member, Split]:
        """A member, and the split that it owns."""
        member = self.join()
        while not member.listener.owned:
            member.poll()
        return member, member.listener.owned[0]

    def sink(
        self,
        *,
        name: str | None = None,
        stable: bool = False,
        through: str | None = None,
        client: Mapping[str, Any] | None = None,
        transaction_timeout_ms: int = 30_000,
        commit_timeout_s: float = 20,
    ) -> TransactionalKafkaSink:
        """A started sink; ``through`` is an address other than the broker's own."""
        transaction = Transaction(name or unique_name("instance"), transaction_timeout_ms)
        address = through or self.address
        properties = producer_properties(
            address, client or {}, client_id="tests", publish_timeout_s=20, transaction=transaction
        )
        sink = TransactionalKafkaSink(
            properties,
            admin_of(address),
            outputs=Outputs(self.output, self.dead, self.group, (Route("flagged", self.flagged),)),
            stable_name=stable,
            commit_timeout_s=commit_timeout_s,
            clock=CLOCK,
        )
        sink.start()
        self.opened.append(sink)
        return sink

    def seen(self, topic: str | None = None) -> list[bytes | None]:
        """Values that a reader of committed events sees."""
        return [message.value() for message in messages_in(self.address, topic or self.output)]

    def committed(self) -> tuple[int, str | None]:
        """Offset and note, as another process sees them; it waits for open transactions."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": self.group})
        [found] = consumer.committed([TopicPartition(self.input, 0)], timeout=10)
        consumer.close()
        return found.offset, found.metadata

    def close(self) -> None:
        """Close what is still open."""
        for sink in self.opened:
            sink.close()
        for member in self.members:
            member.source.close()


def commit(sink: TransactionalKafkaSink, commits: Mapping[Split, Commit], membership: bytes) -> None:
    """Commit, and wait for it."""
    deadline = soon(30)
    sink.begin_commit(commits, membership)
    while not sink.commit_done(0.1):
        assert not deadline.passed(CLOCK.monotonic()), "not answered in time"


def abort_at_last(sink: TransactionalKafkaSink) -> None:
    """Try until it works, as the pipeline does."""
    deadline = soon(40)
    while True:
        try:
            sink.abort(soon(5))
        except SinkUnavailable:
            assert not deadline.passed(CLOCK.monotonic()), "the network is back and nothing was aborted"
        else:
            return


def take_the_name(rig: Rig, name: str) -> Producer:
    """Another producer of the same name, which shuts the first one out."""
    rival = Producer({"bootstrap.servers": rig.address, "transactional.id": name})
    rival.init_transactions(20)
    return rival

"""The input of a trial: numbered events, produced steadily, with every acknowledgement kept.

Rule: what an event is follows from its number and from what was asked for (poison, a slow event); its key is its
number, so that it can be found in any log. An event that was not acknowledged is one that may be there or not.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from integration.faults.history import Attempted, Kind, Produced
from integration.faults.stage import QUIET, BrokersAtFault
from integration.support_log import Log

_POISON_EVERY, _POISON_AT = 97, 13
_TOMBSTONE_EVERY, _TOMBSTONE_AT = 61, 7
_TICK_S = 0.01
_MAX_QUEUED = 20_000
_FLUSH_S = 40.0


class _Special(NamedTuple):
    kind: Kind
    turns: int = 0


class Feeder(threading.Thread):
    """Produces ``events_per_s`` to the partitions of a topic in turn, from `start` to `finish`.

    Args:
        bootstrap_servers: the brokers themselves.
        topic: the input.
        partitions: how many it has.
        events_per_s: what it catches up with after an outage, too.
        with_poison: False until `allow_poison`.
        max_events: no more than these; None: until `finish`.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        partitions: int,
        events_per_s: int,
        with_poison: bool = True,
        max_events: int | None = None,
    ) -> None:
        super().__init__(name="feeder", daemon=True)
        self._topic = topic
        self._partitions = partitions
        self._events_per_s = events_per_s
        self._with_poison = with_poison
        self._max_events = sys.maxsize if max_events is None else max_events
        self._kinds: list[Kind] = []
        self._places: dict[int, tuple[int, int]] = {}
        self._specials: deque[_Special] = deque()
        self._over = threading.Event()
        self._producer = Producer(
            {
                **QUIET,
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                "socket.timeout.ms": 5000,
                "delivery.timeout.ms": 60_000,
                "on_delivery": self._delivered,
            }
        )

    def run(self) -> None:
        """Produce until `finish`; whatever could not be sent in time follows later."""
        began = time.monotonic()
        while not self._over.is_set():
            due = min(self._max_events, int((time.monotonic() - began) * self._events_per_s))
            while len(self._kinds) < due and len(self._producer) < _MAX_QUEUED:
                self._send()
            self._producer.poll(_TICK_S)
            self._over.wait(_TICK_S)

    def allow_poison(self) -> None:
        """From now on some events cannot be decoded."""
        self._with_poison = True

    def add_poison(self, count: int) -> None:
        """Make the next ``count`` events such that cannot be decoded."""
        self._specials.extend([_Special("poison")] * count)

    def add_slow(self, turns: int) -> None:
        """Make the next event one whose model call takes ``turns`` turns (`integration.slow_models`)."""
        self._specials.append(_Special("good", turns))

    def finish(self) -> None:
        """Stop producing and wait until all is acknowledged, or given up."""
        self._over.set()
        self.join()
        self._producer.flush(_FLUSH_S)

    def close(self) -> None:
        """Stop at once; does nothing after `finish`."""
        self._over.set()
        if self.is_alive():
            self.join()
        self._producer.purge()

    @property
    def acknowledged(self) -> int:
        """Events acknowledged so far."""
        return len(self._places)

    # ------------------------------------------------------------------ one event

    def _send(self) -> None:
        number = len(self._kinds)
        kind, turns = self._specials.popleft() if self._specials else _Special(self._kind(number))
        self._kinds.append(kind)
        value = event(number, kind, turns)
        self._producer.produce(self._topic, value, str(number).encode(), number % self._partitions)

    def _kind(self, number: int) -> Kind:
        if number % _TOMBSTONE_EVERY == _TOMBSTONE_AT:
            return "tombstone"
        return "poison" if self._with_poison and number % _POISON_EVERY == _POISON_AT else "good"

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            return
        key, partition, offset = message.key(), message.partition(), message.offset()
        assert key is not None
        assert partition is not None
        self._places[int(key)] = (partition, -1 if offset is None else offset)

    # ------------------------------------------------------------------ what was produced

    def facts(self, log: Log) -> tuple[tuple[Produced, ...], tuple[Attempted, ...]]:
        """What was acknowledged and where it is, and what was only attempted.

        Args:
            log: the input topic as it was read back. A client that sends again what was written already is told no
                offset, so that the place of such an event is known from the log alone.

        Raises:
            BrokersAtFault: the log and the acknowledgements contradict each other.
        """
        found = {int(key): place for place, key in _places(log) if key is not None}
        if len(found) != len(log):
            raise BrokersAtFault(f"{len(log) - len(found)} input events are in the log twice")
        produced = []
        for number, (partition, offset) in sorted(self._places.items()):
            place = found.get(number)
            if place is None or (offset >= 0 and place != (partition, offset)):
                where = f"{partition}:{offset}"
                raise BrokersAtFault(f"input event {number} was acknowledged at {where}, and is at {place}")
            produced.append(Produced(*place, number, self._kinds[number]))
        attempted = (Attempted(number) for number in range(len(self._kinds)) if number not in self._places)
        return tuple(produced), tuple(attempted)


def _places(log: Log) -> list[tuple[tuple[int, int], bytes | None]]:
    places = zip(log.partition.tolist(), log.offset.tolist(), strict=True)
    return list(zip(places, log.keys, strict=True))


def event(number: int, kind: Kind, turns: int = 0) -> bytes | None:
    """The value of an input event: JSON, or what cannot be decoded, or none at all."""
    if kind == "tombstone":
        return None
    if kind == "poison":
        return b"\xff\xfe poison"
    return f'{{"id": {number}, "amount": {number % 100 / 100}, "turns": {turns}}}'.encode()


__all__ = ["Feeder", "event"]

"""Faust's objects as far as they are used: a stream of prepared events, topics that keep what is sent, an app.

Rule: acknowledgements, deliveries and crashes are written to one journal, in the order in which they happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Journal = list[tuple[Any, ...]]


@dataclass
class FakeMessage:
    offset: int
    value: bytes | None
    key: bytes | None = b"k"
    partition: int = 0
    topic: str = "payments"
    timestamp: float | None = 1_767_571_200.001
    headers: Any = None


@dataclass
class FakeEvent:
    message: FakeMessage


@dataclass
class FakeConf:
    id: str = "app"


class FakeApp:
    def __init__(self, journal: Journal) -> None:
        self.conf = FakeConf()
        self.journal = journal
        self.crashed = asyncio.Event()
        self.reason: BaseException | None = None

    async def crash(self, reason: BaseException) -> None:
        self.journal.append(("crash", str(reason)))
        self.reason = reason
        self.crashed.set()


class FakeStream:
    """Gives events in order; a number in the list is a rest of so many seconds, an exception is raised."""

    def __init__(self, script: Sequence[FakeEvent | float | Exception], journal: Journal, acks: bool = True) -> None:
        self.app = FakeApp(journal)
        self.journal = journal
        self.script = script
        self.acks = acks
        self.given = 0

    def noack(self) -> FakeStream:
        self.acks = False
        return self

    async def events(self) -> AsyncIterator[FakeEvent]:
        assert not self.acks, "Faust would acknowledge by itself"
        for item in self.script:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, float):
                await asyncio.sleep(item)
            else:
                self.given += 1
                yield item

    async def ack(self, event: Any) -> bool:
        self.journal.append(("ack", event.message.partition, event.message.offset))
        return True


@dataclass
class FakeTopic:
    """Keeps what is sent. ``fails``: whether the broker refuses a record; every delivery takes a turn of the loop."""

    name: str
    journal: Journal
    fails: Callable[[dict[str, Any]], bool] = lambda _sent: False
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, **sent: Any) -> Awaitable[None]:
        self.sent.append(sent)
        return asyncio.ensure_future(self._delivered(sent))

    async def _delivered(self, sent: dict[str, Any]) -> None:
        await asyncio.sleep(0.001)
        if self.fails(sent):
            raise ConnectionError("not delivered")
        self.journal.append(("delivered", self.name))


class FakeWindows:
    """Tumbling windows of ten seconds for one key."""

    def __init__(self, windows: dict[float, Any]) -> None:
        self.windows = windows

    def apply(self, op: Callable[[Any, Any], Any], value: Any, event: Any = None) -> None:
        place = self._place(event)
        self.windows[place] = op(self.windows.get(place, []), value)

    def value(self, event: Any = None) -> Any:
        return self.windows.get(self._place(event), [])

    def _place(self, event: Any) -> float:
        return float(event.message.timestamp // 10)


class FakeTable:
    def __init__(self) -> None:
        self.keys: dict[Any, FakeWindows] = {}

    def __getitem__(self, key: Any) -> FakeWindows:
        return self.keys.setdefault(key, FakeWindows({}))

"""What is used of Faust's objects, as Protocols: the whole surface that a new release of it could break.

Rule: only what faust-streaming documents. Times are seconds since the epoch, keys and values the record's own bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, bytes | None]] | Mapping[str, bytes] | None


class Message(Protocol):
    """A record as it was consumed."""

    @property
    def topic(self) -> str:
        """Its topic."""
        ...

    @property
    def partition(self) -> int:
        """Its partition."""
        ...

    @property
    def offset(self) -> int:
        """Its offset."""
        ...

    @property
    def timestamp(self) -> float | None:
        """Its timestamp."""
        ...

    @property
    def headers(self) -> Headers:
        """Its headers."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its key, as it came."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its value, as it came."""
        ...


class Event(Protocol):
    """A record on its way through a stream."""

    @property
    def message(self) -> Message:
        """The record."""
        ...


class Conf(Protocol):
    """Settings of an app."""

    @property
    def id(self) -> str:
        """The app's name, which is its consumer group's."""
        ...


class App(Protocol):
    """A Faust app."""

    @property
    def conf(self) -> Conf:
        """Its settings."""
        ...

    async def crash(self, reason: BaseException) -> None:
        """Stop the app with an error."""
        ...


class Stream(Protocol):
    """What an agent iterates over."""

    @property
    def app(self) -> App:
        """The app that it belongs to."""
        ...

    def noack(self) -> Stream:
        """The same stream, whose events are acknowledged by hand only."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """Its events."""
        ...

    async def ack(self, event: Event) -> bool:
        """Let the offset of an event be committed."""
        ...


class Topic(Protocol):
    """Where something is published."""

    async def send(
        self,
        *,
        key: bytes | None,
        value: bytes | None,
        timestamp: float | None,
        headers: list[tuple[str, Any]] | None,
        key_serializer: str,
        value_serializer: str,
        force: bool,
    ) -> Awaitable[Any]:
        """Hand a record to the producer; the result is done when the broker has acknowledged it."""
        ...


class WindowSet(Protocol):
    """The windows of one key."""

    def apply(self, op: Callable[[Any, Any], Any], value: Any, event: Any = None) -> Any:
        """Put ``op(old, value)`` into every window that the event is in."""
        ...

    def value(self, event: Any = None) -> Any:
        """The value in the window of the event."""
        ...


class WindowedTable(Protocol):
    """A table with windows, by key."""

    def __getitem__(self, key: Any) -> WindowSet: ...

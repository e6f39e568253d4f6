"""A stream's events in micro-batches, each with its features.

Rule: features are worked out one event after the other, in the order of the stream, while Faust holds that event to be
the current one: only then may a table be changed. So one task reads the stream, and the batches are cut behind it; it
reads ahead by one batch at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from stream_infer.faust.parts import Event, Stream

Fields: TypeAlias = Mapping[str, Any]
Features: TypeAlias = Callable[[Event, Fields], Fields]
"""From an event and its fields to further fields."""
Parse: TypeAlias = Callable[[bytes | None], Fields | None]
"""From an event's bytes to its fields; None where they cannot be read."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An event, and its fields with its features; no fields where there are none to join or it cannot be read."""

    event: Event
    fields: Fields | None = None


@dataclass(frozen=True, slots=True)
class _End:
    """Stands in the queue behind the last event, and says what ended the stream if it was an error."""

    error: Exception | None = None


class Intake:
    """Reads a stream and cuts it into batches. Start it with `start`, end it with `close`.

    Args:
        stream: acknowledges nothing by itself.
        features: asked for each event that can be read; None where events are complete.
        parse: the events' bytes to fields, for ``features``.
        max_batch_size: most events of a batch.
        linger_s: longest wait for further events, from the first of a batch on, in seconds.
    """

    def __init__(
        self, stream: Stream, features: Features | None, parse: Parse, max_batch_size: int, linger_s: float
    ) -> None:
        self._stream = stream
        self._features = features
        self._parse = parse
        self._max_batch_size = max_batch_size
        self._linger_s = linger_s
        self._queue: asyncio.Queue[Taken | _End] = asyncio.Queue(max_batch_size)
        self._reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read."""
        self._reader = asyncio.create_task(self._read())

    async def batch(self) -> list[Taken]:
        """The next batch, of one event at least; empty when the stream has ended.

        Raises:
            Exception: what the stream or ``features`` raised, after the events before it.
        """
        first = await self._queue.get()
        if isinstance(first, _End):
            if first.error is not None:
                raise first.error
            return []
        batch = [first]
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._linger_s
        while len(batch) < self._max_batch_size:
            found = await self._next(deadline - clock())
            if found is None:
                break
            if isinstance(found, _End):
                self._queue.put_nowait(found)  # for the next call; nobody else puts any more
                break
            batch.append(found)
        return batch

    async def _next(self, wait_s: float) -> Taken | _End | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        if wait_s <= 0:
            return None
        try:
            return await asyncio.wait_for(self._queue.get(), wait_s)
        except TimeoutError:
            return None

    async def _read(self) -> None:
        end = _End()
        try:
            async for event in self._stream.events():
                await self._queue.put(Taken(event, self._joined(event)))
        except Exception as error:
            end = _End(error)
        await self._queue.put(end)

    def _joined(self, event: Event) -> Fields | None:
        if self._features is None:
            return None
        fields = self._parse(event.message.value)
        return None if fields is None else {**fields, **self._features(event, fields)}

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

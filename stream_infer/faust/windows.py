"""Windowed tables whose values are the same when an event is seen again.

Rule: what a feature says of an event depends on the events before it and on nothing else. A plain counter does not keep
it: Faust writes a table's changes at once and commits offsets later, so that after a crash the events between the two
are counted twice, and the first of them is told of those that come after it. Here a window holds the offset of every
entry: an event that is there already is not added again, and sees only what stands at or before its own offset.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from stream_infer.faust.parts import Event, WindowedTable


class WindowHistory:
    """What each key has done in the window of an event, up to and including the event.

    Args:
        table: ``app.Table(NAME, default=list, partitions=...)`` with a tumbling or hopping window. Its ``expires`` must
            be longer than the window and the longest time after which an event may be scored again (the longest
            outage). A value of it is a list of ``[offset, entry]``, written anew with every event of the key: meant
            for some hundreds of events in a window.

    The key must be the one that the topic is partitioned by, else a key's offsets come from several partitions.

    Example::

        history = WindowHistory(app.Table("payments", default=list).tumbling(3600, expires=86400))

        def features(event, fields):
            amounts = history.add(event, fields["card_id"], fields["amount"])
            return {"count_1h": len(amounts), "sum_1h": sum(amounts)}
    """

    def __init__(self, table: WindowedTable) -> None:
        self._table = table

    def add(self, event: Event, key: str, entry: Any) -> list[Any]:
        """Put an entry (anything that the table can store) into the windows of the event.

        Returns:
            The key's entries in the window of the event, oldest first; the event's own is the last.
        """
        offset = event.message.offset
        windows = self._table[key]
        windows.apply(_with_entry, [offset, entry], event)
        return [entry for at, entry in windows.value(event) if at <= offset]


def _with_entry(entries: list[list[Any]], new: list[Any]) -> list[list[Any]]:
    """A new list with ``new`` in the order of offsets; the same entries where its offset is there already."""
    place = bisect_left(entries, new[0], key=_offset_of)
    if place < len(entries) and entries[place][0] == new[0]:
        return entries
    return [*entries[:place], new, *entries[place:]]


def _offset_of(entry: list[Any]) -> int:
    offset: int = entry[0]
    return offset

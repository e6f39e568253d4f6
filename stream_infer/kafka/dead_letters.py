"""What a dead letter says: the event as it came, and why it was not scored.

Rule: key, value and headers are the original bytes. What is added are headers named ``__stream_infer.errors.*``,
every value UTF-8 text, after Kafka Connect's names where it has one; none of them holds any part of the payload.
"""

from __future__ import annotations

from typing import TypeAlias

from stream_infer.types import NO_TIMESTAMP, Reject, ScoredBatch

ClientHeaders: TypeAlias = list[tuple[str, str | bytes | None]]
"""Headers as the client takes them."""

PREFIX = "__stream_infer.errors."
"""What the name of every added header begins with."""

ATTEMPTS = 1
"""How often the event was tried. A tool that sends dead letters back counts on from here."""


def dead_letter_headers(batch: ScoredBatch, reject: Reject, *, group_id: str, failed_at_ms: int) -> ClientHeaders:
    """The original headers of the rejected row, followed by ours.

    ``topic``, ``partition``, ``offset`` and ``timestamp`` (milliseconds, absent where the record had none) say
    where it came from; ``stage``, ``reason`` and ``message`` what happened; ``group``, ``model.name``,
    ``model.version``, ``model.digest``, ``failed_at`` (milliseconds) and ``attempts`` who tried, and when.
    """
    records, row = batch.records, reject.row
    split = records.split(row)
    model = batch.scored.models[int(batch.scored.model_index[row])]
    said = {
        "topic": split.source,
        "partition": split.partition,
        "offset": int(records.offset[row]),
        "timestamp": int(records.timestamp_ms[row]),
        "stage": reject.status.stage,
        "reason": reject.status.reason,
        "message": reject.message,
        "group": group_id,
        "model.name": model.name,
        "model.version": model.version,
        "model.digest": model.digest,
        "failed_at": failed_at_ms,
        "attempts": ATTEMPTS,
    }
    if said["timestamp"] == NO_TIMESTAMP:
        del said["timestamp"]
    headers: ClientHeaders = [] if records.headers is None else list(records.headers[row])
    headers += [(PREFIX + name, str(value).encode()) for name, value in said.items()]
    return headers


__all__ = ["ATTEMPTS", "PREFIX", "ClientHeaders", "dead_letter_headers"]

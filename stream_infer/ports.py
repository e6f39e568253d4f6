"""The edges of the line, as Protocols: what the pipeline asks of a source, a sink, a codec, a model, a watcher.

Rule: the pipeline knows these and nothing behind them. Every implementation passes the conformance check of
the same name in `stream_infer.testing`. Bad data comes back as a status; `stream_infer.errors` says which
exceptions may be raised, and any other exception is a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stream_infer.clock import Deadline
from stream_infer.types import (
    Binary,
    Commit,
    Decoded,
    Records,
    ScoredBatch,
    ScoredColumns,
    Split,
    Start,
    Status,
)


class SourceListener(Protocol):
    """Told of changes in what this process owns. Called from inside `Source.poll`, on the same thread."""

    def splits_assigned(self, starts: Mapping[Split, Start]) -> None:
        """These splits (with new generations) are owned from now on."""
        ...

    def splits_revoked(self, splits: Sequence[Split]) -> None:
        """These splits go to somebody else when this call returns: the last chance to commit for them."""
        ...

    def splits_lost(self, splits: Sequence[Split]) -> None:
        """These splits are already somebody else's: drop, never commit."""
        ...

    def records_lost(self, split: Split, count: int) -> None:
        """``count`` records of this split were deleted before they were read; reading goes on behind them."""
        ...


class Source(Protocol):
    """Where records come from. One thread owns it."""

    def start(self, listener: SourceListener) -> None:
        """Join the group or open the files."""
        ...

    def poll(self, max_records: int, timeout_s: float) -> Records | None:
        """At most ``max_records`` records: wait up to ``timeout_s`` for the first, then take what is there.

        ``max_records = 0`` only keeps the membership alive (rebalances are served); anything that arrives is
        carried over to a later poll. None when nothing came.

        Raises:
            SourceUnavailable: reading fails for now.
            FatalError: DataLoss, NotAuthorized, TopicMissing, Fenced.
        """
        ...

    def pause(self) -> None:
        """Stop fetching; membership stays."""
        ...

    def resume(self) -> None:
        """Fetch again."""
        ...

    def rewind(self, offsets: Mapping[Split, int]) -> Mapping[Split, Split]:
        """Go back to ``offsets`` (the next record to read), under new generations: old split -> new split.

        Records polled earlier and not yet handed out are dropped.
        """
        ...

    def begin_commit(self, commits: Mapping[Split, Commit]) -> None:
        """Start committing next offsets. One that is still under way is no longer waited for."""
        ...

    def commit_done(self) -> bool:
        """True when the commit under way has been acknowledged. Serves callbacks; does not wait.

        Raises:
            CommitFailed: it was refused for now.
            FatalError: it was refused for good.
        """
        ...

    def commit_now(self, commits: Mapping[Split, Commit], deadline: Deadline) -> None:
        """Commit and wait (revoke, shutdown, marks). Not while a commit is under way.

        Raises:
            CommitFailed: not acknowledged by ``deadline``.
        """
        ...

    def committed(self, splits: Collection[Split]) -> Mapping[Split, int]:
        """What the group has for these splits, asked afresh; waits for transactions that are still open.

        Splits without a commit, and those no longer owned, are left out.

        Raises:
            SourceUnavailable: no answer in time.
        """
        ...

    def membership(self) -> bytes:
        """Who this process is in the group at this moment: what a transaction's offsets are fenced by.

        Raises:
            CommitFailed: it is no member at this moment, so nothing may be committed.
        """
        ...

    def caught_up(self) -> bool:
        """True when every owned split has been read to the end that stood there when `start` was called."""
        ...

    def positions(self) -> Mapping[Split, SplitPosition]:
        """What is cheaply known of each owned split, without asking the broker."""
        ...

    def close(self) -> None:
        """Leave the group, without committing anything."""
        ...


class SplitPosition(Protocol):
    """Where reading stands on one split. -1 where unknown."""

    @property
    def next_offset(self) -> int:
        """Next offset that a poll may give; behind control records and aborted ones."""
        ...

    @property
    def end_offset(self) -> int:
        """End of the split as of the last fetch (the last stable offset)."""
        ...


class Publisher(Protocol):
    """Where scored events and dead letters go. One thread owns it."""

    def start(self) -> None:
        """Connect. Raises SinkUnavailable or FatalError."""
        ...

    def room(self) -> int:
        """How many more events it takes now. Asked before every publish; serves delivery reports."""
        ...

    def publish(self, batch: ScoredBatch) -> Sequence[tuple[int, Status]]:
        """Send every payload to the output and its routes, every reject to the dead letters.

        Returns rows the sink cannot take as they are (`Status.OUTPUT_TOO_LARGE`), which it has already sent
        to the dead letters instead. Never blocks.

        Raises:
            FatalError: there is nowhere for a reject to go, or the sink refuses for good.
        """
        ...

    def close(self) -> None:
        """Release the connection. Nothing is flushed; an open transaction is aborted if that is quickly done."""
        ...


class Sink(Publisher, Protocol):
    """A publisher that acknowledges: at-least-once delivery."""

    def begin_flush(self) -> None:
        """Send what is queued now."""
        ...

    def flushed(self, wait_s: float) -> bool:
        """Wait up to ``wait_s`` for everything published to be acknowledged; True when it is.

        Raises:
            SinkUnavailable: something was not delivered. All of it counts as not delivered; the failure is
                reported once, and the sink is empty afterwards.
            FatalError: delivery is refused for good.
        """
        ...

    def abandon(self) -> None:
        """Forget everything not yet acknowledged (after a timeout)."""
        ...


class TransactionalSink(Publisher, Protocol):
    """A publisher whose events are seen together with the committed offsets, or never: exactly-once delivery.

    A transaction begins by itself with the first `publish` or `begin_commit` after the last one ended.
    """

    def begin_commit(self, commits: Mapping[Split, Commit], membership: bytes) -> None:
        """Start committing what was published since the last transaction, and ``commits`` with it. Never blocks.

        Nothing may be published until `commit_done` has said how it ended.
        """
        ...

    def commit_done(self, wait_s: float = 0.0) -> bool:
        """Wait up to ``wait_s``; True when the transaction is committed, False while it is under way.

        Raises:
            SinkUnavailable: it was not, or nobody knows. Call `abort`, then ask the source what is committed.
            FatalError: as SinkUnavailable, and it will not get better.
        """
        ...

    def abort(self, deadline: Deadline) -> None:
        """End the open transaction, if there is one, so that nothing of it is ever seen. Waits to ``deadline``.

        Raises:
            SinkUnavailable: not possible now; call it again before publishing.
            FatalError: Fenced: another instance has taken over this one's name.
        """
        ...


class Decoder(Protocol):
    """Bytes to columns, for one projection."""

    def decode(self, records: Records) -> Decoded:
        """Decode every record; bad ones get a status, in the row they have.

        Raises:
            RegistryUnavailable: a writer's schema cannot be fetched now.
            NotAuthorized: the registry refuses.
        """
        ...


class Encoder(Protocol):
    """Scored columns to bytes."""

    def encode(self, records: Records, scored: ScoredColumns, scored_at_ms: int) -> tuple[Binary, Mapping[int, str]]:
        """One payload for every row that is OK or SHED, null for the others.

        The second value names rows that cannot be encoded, each with a sentence.
        """
        ...


class Runtime(Protocol):
    """A loaded model. Called from several threads at once."""

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Score n rows: the score output, ``[n]`` or ``[n, k]``. Row i answers row i of every input.

        Raises:
            ModelFailure: the call failed as a whole.
            ScoreTimeout: the call was stopped by `stop`.
        """
        ...

    def stop(self) -> None:
        """Ask running calls to end (from another thread). May have no effect on a graph of one node."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class Instrument:
    """Told what happened, in the past tense, once per batch or less. The base does nothing.

    Methods must be quick and must not raise. All times in seconds, all sizes in bytes, wall-clock in
    milliseconds. `Instruments` passes facts on to several.
    """

    def started(self, name: str) -> None:
        """The pipeline ``name`` runs."""

    def records_polled(self, count: int, nbytes: int) -> None:
        """Records arrived from the source."""

    def batch_dispatched(self, count: int, trigger: str, wait_seconds: float) -> None:
        """A batch left the batcher: ``trigger`` is size, bytes, linger, slo or drain."""

    def batching_learned(self, fixed_seconds: float, event_seconds: float, wait_seconds: float) -> None:
        """What the batcher counts on: the cost of a batch and of each event in it, and how long a fresh event waits."""

    def batch_scored(self, count: int, decode_seconds: float, score_seconds: float, encode_seconds: float) -> None:
        """A batch went through scorer and encoder."""

    def batch_bisected(self, calls: int) -> None:
        """The model failed on a batch; it took ``calls`` more calls to isolate the culprits."""

    def batch_settled(self, batch: ScoredBatch, latency_seconds: npt.NDArray[np.float64]) -> None:
        """A batch was handed to the sink. ``latency_seconds`` is now minus event time, of the scored rows."""

    def checkpoint_committed(self, offsets: Mapping[Split, int], seconds: float) -> None:
        """Everything below ``offsets`` is delivered and committed; flush and commit took ``seconds``."""

    def checkpoint_failed(self, stage: str, reason: str) -> None:
        """A checkpoint failed at ``stage`` (publish, commit); after a failed publish the owned splits are rewound."""

    def stage_timed_out(self, stage: str, seconds: float) -> None:
        """``stage`` (poll, registry, score, publish, commit, drain) did not end within its timeout."""

    def retry_scheduled(self, stage: str, attempt: int, delay_seconds: float, reason: str) -> None:
        """Something failed for now and is tried again in ``delay_seconds``."""

    def retry_succeeded(self, stage: str) -> None:
        """What failed before works again."""

    def gate_changed(self, state: str) -> None:
        """The flow gate is ``open``, ``hold`` or ``paused`` now."""

    def buffered_changed(self, records: int, nbytes: int, batches_in_flight: int) -> None:
        """How much lies between poll and settle."""

    def splits_changed(self, kind: str, splits: Sequence[Split]) -> None:
        """A rebalance: ``kind`` is assigned, revoked, lost or rewound."""

    def records_lost(self, split: Split, count: int) -> None:
        """Retention deleted ``count`` committed-to but unread records (``on_data_loss = "continue"``)."""

    def lag_observed(self, lag: Mapping[Split, tuple[int, float | None]]) -> None:
        """Per split: records behind the end, and seconds behind (None when unknown)."""

    def ticked(self, now: float) -> None:
        """The main loop made a turn at ``now`` (monotonic seconds): what liveness is judged by."""

    def stopped(self, reason: str) -> None:
        """The pipeline ended."""

    def transaction_aborted(self, reason: str) -> None:
        """What was published since the last commit will never be seen; the owned splits are rewound."""

    def crash_suspected(self, split: Split, offset: int, level: str) -> None:
        """Whoever owned ``split`` before did not end in order.

        ``level`` says how its events are tried from ``offset`` on: ``watch`` (a batch at a time), ``alone`` (one
        at a time), or ``condemned`` (the event there is rejected untried).
        """


class Instruments(Instrument):
    """Passes every fact on to those of several instruments that listen to it, in order."""

    def __init__(self, *members: Instrument) -> None:
        self.members = members
        for name in _FACTS:
            listeners = [getattr(member, name) for member in members if _listens(member, name)]
            # On the instance, where it is found before the method that does nothing.
            setattr(self, name, listeners[0] if len(listeners) == 1 else partial(_tell, listeners))


_FACTS = [name for name in vars(Instrument) if not name.startswith("_")]


def _listens(member: Instrument, name: str) -> bool:
    return isinstance(member, Instruments) or getattr(type(member), name) is not getattr(Instrument, name)


def _tell(listeners: Sequence[Callable[..., None]], *args: Any, **kwargs: Any) -> None:
    for listener in listeners:
        listener(*args, **kwargs)


class SchemaSource(Protocol):
    """Where writers' schemas come from."""

    def by_id(self, schema_id: int) -> str | None:
        """The Avro schema (JSON text) of a 4-byte id; None when the registry does not know it.

        Raises:
            RegistryUnavailable, NotAuthorized
        """
        ...

    def by_guid(self, guid: str) -> str | None:
        """The same for a GUID (``8-4-4-4-12`` hexadecimal digits)."""
        ...

    def register(self, subject: str, schema: str) -> int:
        """The id of the output schema under ``subject``, registering it where that is allowed.

        Raises:
            FatalError: it is not registered and must not be, or is incompatible.
        """
        ...


__all__ = [
    "Decoder",
    "Encoder",
    "Instrument",
    "Instruments",
    "Publisher",
    "Runtime",
    "SchemaSource",
    "Sink",
    "Source",
    "SourceListener",
    "SplitPosition",
    "TransactionalSink",
]

"""Kernels are ready before an event needs them.

Rule: nobody lists what has to be compiled. The real line works on events that say nothing, and what it uses is
compiled, or loaded from where an earlier process kept it. A first start takes some ten seconds for this, before the
group is joined; `warm` takes them when an image is built.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stream_infer.bundle import ModelBundle
from stream_infer.clock import SystemClock
from stream_infer.codecs import (
    AvroDecoder,
    AvroEncoder,
    FixedSchema,
    FramedSchemas,
    JsonDecoder,
    JsonEncoder,
    output_schema,
)
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kernels.compiled import usage
from stream_infer.ports import Decoder, Encoder
from stream_infer.scoring import Scorer, open_model
from stream_infer.types import NO_TIMESTAMP, Binary, Records, Split
from stream_infer.work import Work

_BUNDLE = Path(__file__).parents[1] / "demo_bundle" / "payments-1.bundle.jar"
_VALUES = (b"{}", b"{}")
"""No event of any service, and nothing that a registry would be asked about."""


@dataclass(frozen=True, slots=True)
class Warmed:
    """What `warm` did.

    Attributes:
        compiled: kernels that were compiled now.
        loaded: kernels that an earlier process had kept.
        seconds: what that took.
        kept_in: the folder where they are kept; None where there is none, so that every start compiles.
    """

    compiled: int
    loaded: int
    seconds: float
    kept_in: Path | None


def rehearse(work: Work) -> None:
    """Let a line's work reject two events, so that no real one waits for a kernel."""
    work.score(_nothing())


def not_kept() -> str:
    """What an operator should know of kernels that the next start will compile again; empty where there are none."""
    forgotten = usage().forgotten
    if not forgotten:
        return ""
    return (
        f"{forgotten} kernels were compiled and cannot be kept, so that every start takes longer: "
        "run stream-infer warm when the image is built, or let NUMBA_CACHE_DIR name a folder that can be written"
    )


def warm() -> Warmed:
    """Compile, or load, every kernel that a service may use: both formats, trees, the Kafka client.

    Raises:
        FatalError: the bundle of the demo is damaged, or librdkafka cannot be used.
    """
    began = time.monotonic()
    bundle = ModelBundle.load(_BUNDLE)
    runtime = open_model(bundle)
    for decoder, encoder in _codecs(bundle):
        rehearse(Work(Scorer(bundle, decoder, runtime), encoder, SystemClock()))
    _open_clients()
    used = usage()
    return Warmed(used.compiled, used.loaded, time.monotonic() - began, used.kept_in)


def _open_clients() -> None:
    """Both have their kernels when they are made. They connect to nobody."""
    NativeProducer({}, on_error=_ignore, on_failed=_ignore)
    NativeConsumer({"group.id": "none"}, on_error=_ignore, on_commit=_ignore).close()


def _ignore(*_told: object) -> None:
    """There is nothing to hear."""


def _codecs(bundle: ModelBundle) -> Iterator[tuple[Decoder, Encoder]]:
    carried = [str(field["name"]) for field in bundle.input_schema["fields"][:1]]
    projection, output = bundle.projection(carried), output_schema(bundle.input_schema, carried)
    limit = 1 << 20
    yield JsonDecoder(projection, max_event_bytes=limit), JsonEncoder(output)
    yield AvroDecoder(projection, FixedSchema(bundle.input_schema), max_event_bytes=limit), AvroEncoder(output)
    yield AvroDecoder(projection, FramedSchemas(_NoSchemas()), max_event_bytes=limit), AvroEncoder(output)


class _NoSchemas:
    """A `stream_infer.ports.SchemaSource` that nobody asks: no event here is framed."""

    def by_id(self, schema_id: int) -> None:
        """None."""

    def by_guid(self, guid: str) -> None:
        """None."""

    def register(self, subject: str, schema: str) -> int:
        """Nobody registers here."""
        raise NotImplementedError


def _nothing() -> Records:
    count = len(_VALUES)
    return Records(
        values=Binary.from_values(_VALUES),
        keys=Binary.from_values([None] * count),
        splits=(Split("", 0),),
        split_index=np.zeros(count, np.int32),
        offset=np.arange(count),
        timestamp_ms=np.full(count, NO_TIMESTAMP),
        received_ms=0,
    )

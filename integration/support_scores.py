"""What a run must have answered, worked out without the program: features, scores, exactly once, order.

Rule: nothing of the program's decoder, scorer or encoder is used here. The matrix comes from the generator's
columns and the bundle's feature list, the scores from one plain call of ONNX Runtime, and scored events are read
with fastavro and msgspec.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from integration.support_log import Log
from stream_infer.testing.payments import PaymentColumns
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.testing.payments_world import CATEGORY_NAMES

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_CHANNEL_NAMES: tuple[str, ...] = next(
    tuple(field["type"]["symbols"]) for field in PAYMENT_SCHEMA["fields"] if field["name"] == "channel"
)
_TRANSACTION_PREFIX = len("tx-")
_FRAME = struct.Struct(">bI")
_SYNC = b"integration-test"


# ---------------------------------------------------------------------- expected


@dataclass(frozen=True, slots=True)
class Oracle:
    """A bundle read by hand: the parts of `bundle.json` that a score depends on, and the graph."""

    manifest: Mapping[str, Any]
    session: ort.InferenceSession

    @classmethod
    def open(cls, bundle: Path) -> Oracle:
        """Read a ``.bundle.jar``."""
        with zipfile.ZipFile(bundle) as jar:
            name = next(name for name in jar.namelist() if name.endswith("/bundle.json"))
            manifest = json.loads(jar.read(name))
            model = jar.read(name.replace("bundle.json", manifest["onnx"]["file"]))
        options = ort.SessionOptions()
        # With more threads the last bits of a tree model's score depend on the size of the batch.
        options.intra_op_num_threads = 1
        return cls(manifest, ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))

    def scores(self, matrix: Float32Array) -> Float32Array:
        """The score of each row, float32 ``[n]``."""
        score = self.manifest["score"]
        (output,) = self.session.run([score["output"]], {self.manifest["inputs"][0]["name"]: matrix})
        return np.ascontiguousarray(output[:, score["column"]])

    def flags(self, scores: Float32Array) -> BoolArray:
        """Which scores reach the bundle's threshold, by the rule of the bundle format, bool ``[n]``."""
        decision = self.manifest["decision"]
        power = 10.0 ** decision["round_decimals"]
        flagged: BoolArray = np.rint(scores.astype(np.float64) * power) >= np.rint(decision["threshold"] * power)
        return flagged

    def matrix(self, payments: PaymentColumns) -> Float32Array:
        """The model's input for generated payments, float32 ``[n, F]``, as the bundle's feature list says."""
        features = self.manifest["inputs"][0]["features"]
        columns = [(_values(payments, f["path"], f.get("categories")) + f["offset"]) * f["scale"] for f in features]
        return np.column_stack(columns).astype(np.float32)


def _values(payments: PaymentColumns, path: str, categories: Sequence[str] | None) -> npt.NDArray[np.float64]:
    """A field of every payment as double: NaN for null, the place in ``categories`` (-1: none) for text."""
    if path in ("merchant_category", "channel"):
        symbols = CATEGORY_NAMES if path == "merchant_category" else _CHANNEL_NAMES
        assert categories is not None, f"{path} is text"
        codes = [categories.index(symbol) if symbol in categories else -1 for symbol in symbols]
        coded: npt.NDArray[np.float64] = np.array(codes, np.float64)[getattr(payments, path)]
        return coded
    values: npt.NDArray[np.float64] = getattr(payments, path.removeprefix("geo.")).astype(np.float64)
    # The generator's mark of a null.
    return np.where(values < 0, np.nan, values) if path == "seconds_since_last" else values


# ---------------------------------------------------------------------- answered


@dataclass(frozen=True, slots=True)
class Scored:
    """Scored events as read back. n rows, in the order of the output's partitions and offsets.

    ``partition`` and ``offset`` are the output's. ``events`` holds every decoded event.
    """

    partition: npt.NDArray[np.int32]
    offset: Int64Array
    keys: list[bytes | None]
    events: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.events)

    def column(self, name: str) -> list[Any]:
        """A field of every event."""
        return [event[name] for event in self.events]

    @property
    def score(self) -> Float32Array:
        """Scores, float32 ``[n]``; NaN where there is none."""
        return np.array([np.nan if s is None else s for s in self.column("score")], np.float64).astype(np.float32)

    @property
    def flagged(self) -> BoolArray:
        """Decisions, bool ``[n]``."""
        return np.array(self.column("flagged"), np.bool_)

    @property
    def input_places(self) -> Int64Array:
        """Partition and offset of the input of each, int64 ``[n, 2]``."""
        return np.column_stack([self.column("input_partition"), self.column("input_offset")]).astype(np.int64)

    @property
    def numbers(self) -> Int64Array:
        """The number of each payment in its stream, from the carried ``transaction_id``, int64 ``[n]``."""
        return np.array([int(tx[_TRANSACTION_PREFIX:]) for tx in self.column("transaction_id")], np.int64)


def decode_avro(log: Log, schema_of: Callable[[int], str], framed: bool = True) -> Scored:
    """Decode scored events in Avro.

    Args:
        log: of the output topic.
        schema_of: the schema's text by id; asked for id 0 where events are not framed.
        framed: events begin with a zero byte and a 4-byte id.
    """
    values = [value or b"" for value in log.values]
    ids = [_FRAME.unpack_from(value)[1] for value in values] if framed else [0] * len(values)
    if framed:
        assert all(value[0] == 0 for value in values), "a scored event without the framing's zero byte"
    events: list[dict[str, Any]] = [{}] * len(values)
    for schema_id in set(ids):
        rows = [row for row, found in enumerate(ids) if found == schema_id]
        bodies = [values[row][_FRAME.size if framed else 0 :] for row in rows]
        for row, event in zip(rows, _decode_block(schema_of(schema_id), bodies), strict=True):
            events[row] = event
    return Scored(log.partition, log.offset, log.keys, events)


def decode_json(log: Log) -> Scored:
    """Decode scored events in JSON."""
    decode = msgspec.json.Decoder().decode
    return Scored(log.partition, log.offset, log.keys, [decode(value or b"") for value in log.values])


def _decode_block(schema: str, bodies: Sequence[bytes]) -> list[dict[str, Any]]:
    """Decode by way of a container file with one block: fastavro then loops in C, and checks the block's end."""
    plain = _without_logical_types(json.loads(schema))
    file = io.BytesIO()
    fastavro.writer(file, plain, [], sync_marker=_SYNC)
    data = b"".join(bodies)
    for number in (len(bodies), len(data)):
        fastavro.schemaless_writer(file, "long", number)
    file.write(data + _SYNC)
    file.seek(0)
    decoded = list(fastavro.reader(file))
    assert len(decoded) == len(bodies)
    return decoded  # type: ignore[return-value]  # the schema is a record


def _without_logical_types(schema: Any) -> Any:
    """The same encoding, read as plain numbers."""
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    if isinstance(schema, dict):
        return {key: _without_logical_types(part) for key, part in schema.items() if key != "logicalType"}
    return schema


# ---------------------------------------------------------------------- checks


def check_every_input(scored: Scored, input_ends: Mapping[int, int], exactly_once: bool = True) -> int:
    """Every record of the input was answered; returns how many answers are repeats.

    Args:
        scored: all of the output.
        input_ends: end offset of each input partition, whose records begin at 0.
        exactly_once: no repeat is allowed.
    """
    expected = {(partition, offset) for partition, end in input_ends.items() for offset in range(end)}
    check_places(scored.input_places, expected)
    repeats = len(scored) - len(expected)
    assert not (exactly_once and repeats), f"{repeats} answers are repeats"
    return repeats


def check_places(places: Int64Array, expected: set[tuple[int, int]]) -> None:
    """The (partition, offset) pairs are those expected, each at least once."""
    found = set(map(tuple, places.tolist()))
    lost, invented = expected - found, found - expected
    assert not lost, f"{len(lost)} of {len(expected)} inputs have no answer, such as {sorted(lost)[:3]}"
    assert not invented, f"{len(invented)} answers have no input, such as {sorted(invented)[:3]}"


def check_order(scored: Scored, with_repeats: bool = False) -> None:
    """Within an output partition, the answers to one input partition stand in the order of their offsets.

    Args:
        scored: all of the output.
        with_repeats: a run may have gone back to its last commit: then only the first answer of each counts.
    """
    places = scored.input_places
    for output in np.unique(scored.partition).tolist():
        for source in np.unique(places[:, 0]).tolist():
            offsets = places[(scored.partition == output) & (places[:, 0] == source), 1]
            if with_repeats:
                offsets = offsets[np.sort(np.unique(offsets, return_index=True)[1])]
            assert (np.diff(offsets) > 0).all(), f"output partition {output} has input partition {source} out of order"


def check_keys_stay_together(scored: Scored) -> None:
    """All answers of one key are in one output partition, so that `check_order` holds for each key."""
    home: dict[bytes | None, int] = {}
    for key, partition in zip(scored.keys, scored.partition.tolist(), strict=True):
        assert home.setdefault(key, partition) == partition, f"key {key!r} is in several output partitions"


def check_scores(
    scored: Scored, expected: Float32Array, flags: BoolArray | None = None, rows: Int64Array | None = None
) -> None:
    """Every score equals the expected one bit for bit; so does every flag.

    Args:
        scored: all of the output.
        expected: scores, float32 ``[m]``.
        flags: decisions, bool ``[m]``; not compared by default.
        rows: row of ``expected`` for each event, int64 ``[n]``; the number of its payment by default.
    """
    rows = scored.numbers if rows is None else rows
    different = scored.score.view(np.uint32) != expected[rows].view(np.uint32)
    assert not different.any(), f"{different.sum()} of {len(scored)} scores differ from ONNX Runtime's own"
    if flags is not None:
        assert np.array_equal(scored.flagged, flags[rows]), "a decision differs from the bundle's rule"

"""Real events to export a model with: an Avro container, JSON lines, or Parquet.

Rule: the suffix names the kind, a limit bounds what is read, and a line that is no event is named by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from stream_infer.bundle.container import ContainerError, encode_rows, read_container
from stream_infer.bundle.golden import Envelope
from stream_infer.errors import ExportRefused
from stream_infer.export.fields import HEADER_PREFIX
from stream_infer.export.infer_schema import fit_event, infer_schema
from stream_infer.types import NO_TIMESTAMP

MAX_SAMPLE_EVENTS = 20_000
"""Events that are read: enough for a profile with stable tails, and seconds of work."""

Events: TypeAlias = Any
"""A path, a sequence of mappings, a ``pandas.DataFrame`` or a ``pyarrow.Table``; neither library is imported."""

_S = TypeVar("_S", bound=Sized)
_KEY, _TIMESTAMP, _HEADERS = "$key", "$timestamp", HEADER_PREFIX.rstrip(".")


@dataclass(frozen=True, slots=True)
class Sample:
    """n events: ``schema`` (Avro record), ``rows`` (stored values), ``values`` (bare Avro), ``envelopes``.

    ``source`` is the file's path, or says what the events are, for messages.
    """

    source: str
    schema: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    values: tuple[bytes, ...]
    envelopes: tuple[Envelope, ...]

    def __len__(self) -> int:
        return len(self.rows)


def read_sample(path: Path) -> Sample:
    """The first `MAX_SAMPLE_EVENTS` events of a file.

    JSON lines may say what the record carries beside its value: ``$key`` (text), ``$timestamp`` (milliseconds since the
    epoch) and ``$headers`` (an object of texts). Parquet needs pyarrow (extra ``files``).

    Raises:
        ExportRefused: the file is absent, empty, damaged, or of no known kind.
    """
    readers = {".avro": _read_avro, ".jsonl": _read_json_lines, ".parquet": _read_parquet}
    reader = readers.get(path.suffix)
    if reader is None:
        raise ExportRefused(f"{path} is of no known kind; events come as {', '.join(readers)}")
    return _not_empty(reader, path)


def as_sample(events: Events) -> Sample:
    """Events as a notebook has them: a path, a list of dicts, a ``pandas.DataFrame`` or a ``pyarrow.Table``.

    At most `MAX_SAMPLE_EVENTS` are taken. Missing values of a data frame (NaN, NaT, None) are null.

    Raises:
        ExportRefused: as `read_sample`, or ``events`` is none of these.
    """
    if isinstance(events, str | Path):
        return read_sample(Path(events))
    if hasattr(events, "to_pylist"):
        rows = events.slice(0, MAX_SAMPLE_EVENTS).to_pylist()
    elif hasattr(events, "to_dict") and hasattr(events, "notna"):
        head = events.head(MAX_SAMPLE_EVENTS)
        rows = head.astype(object).where(head.notna(), None).to_dict("records")
    elif isinstance(events, Sequence):
        rows = [dict(event) for event in events[:MAX_SAMPLE_EVENTS]]
    else:
        raise ExportRefused(
            f"events are a path, a list of dicts, a pandas.DataFrame or a pyarrow.Table, not a {type(events).__name__}"
        )
    if not rows:
        raise ExportRefused("the sample holds no event; a few hundred real ones make a good sample")
    return _from_events(rows, "the sample")


def read_json_lines(path: Path) -> list[tuple[bytes, Envelope]]:
    """The first `MAX_SAMPLE_EVENTS` lines of a file, as they are, be they JSON or not; blank ones are left out.

    A line that says what the record carries beside its value gives an envelope, and is written again without it.

    Raises:
        ExportRefused: the file is absent or empty.
    """
    return _not_empty(_read_raw_lines, path)


def _not_empty(reader: Callable[[Path], _S], path: Path) -> _S:
    try:
        sample = reader(path)
    except OSError as error:
        raise ExportRefused(f"{path} cannot be read: {error.strerror or error}") from error
    if not len(sample):
        raise ExportRefused(f"{path} holds no event; a few hundred real ones make a good sample")
    return sample


def _read_raw_lines(path: Path) -> list[tuple[bytes, Envelope]]:
    with path.open("rb") as file:
        lines = (line.strip(b"\r\n") for line in file if line.strip())
        return [_split_line(line, path) for line in islice(lines, MAX_SAMPLE_EVENTS)]


def _split_line(line: bytes, path: Path) -> tuple[bytes, Envelope]:
    try:
        event = msgspec.json.decode(line) if b'"$' in line else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        event = None
    if not isinstance(event, dict) or not {_KEY, _TIMESTAMP, _HEADERS} & event.keys():
        return line, Envelope()
    value = {name: event[name] for name in event if name not in (_KEY, _TIMESTAMP, _HEADERS)}
    return msgspec.json.encode(value), _envelope(event, str(path))


def _read_avro(path: Path) -> Sample:
    try:
        container = read_container(path.read_bytes(), MAX_SAMPLE_EVENTS)
    except ContainerError as error:
        raise ExportRefused(f"{path}: {error}") from error
    return Sample(str(path), container.schema, container.rows, container.encoded, (Envelope(),) * len(container.rows))


def _read_json_lines(path: Path) -> Sample:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    events = []
    with path.open("rb") as file:
        for number, line in islice(enumerate(file, 1), MAX_SAMPLE_EVENTS):
            if not line.strip():
                continue
            try:
                events.append(decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ExportRefused(f"{path}, line {number}: not a JSON object; one event a line") from error
    return _from_events(events, str(path))


def _read_parquet(path: Path) -> Sample:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ExportRefused(f"{path} needs pyarrow: pip install 'stream-infer[files]'") from error
    try:
        batches = ParquetFile(path).iter_batches(MAX_SAMPLE_EVENTS)
        rows = next(batches).to_pylist() if batches else []
    except (ArrowInvalid, StopIteration) as error:
        raise ExportRefused(f"{path} is not a readable Parquet file with rows") from error
    return _from_events(rows, str(path))


def _from_events(events: list[dict[str, Any]], source: str) -> Sample:
    schema = infer_schema(events)
    rows = tuple(fit_event(event, schema) for event in events)
    envelopes = tuple(_envelope(event, source) for event in events)
    return Sample(source, schema, rows, tuple(encode_rows(schema, rows)), envelopes)


def _envelope(event: dict[str, Any], source: str) -> Envelope:
    key, timestamp_ms, headers = event.get(_KEY), event.get(_TIMESTAMP), event.get(_HEADERS)
    if key is None and timestamp_ms is None and headers is None:
        return Envelope()
    if (
        not isinstance(key, str | None)
        or not isinstance(timestamp_ms, int | None)
        or not isinstance(headers, dict | None)
    ):
        raise ExportRefused(
            f"{source}: $key is text, $timestamp an integer (milliseconds), $headers an object of texts"
        )
    pairs = [(name, str(value).encode()) for name, value in (headers or {}).items()]
    return Envelope(
        key.encode() if key is not None else None, NO_TIMESTAMP if timestamp_ms is None else timestamp_ms, pairs
    )

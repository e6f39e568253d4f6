"""The scoring that most people write first: fastavro or json, dicts, onnxruntime.

Rule: nothing clever, nothing foolish; it imports no Kafka client and only what every rival's environment has, so that
every Python rival and the reference scores share it, and the rivals differ in what they do around it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import fastavro
import numpy as np
import onnxruntime as ort

from bench.rivals.contract import ID_FIELDS, INPUT_FRAME, OUTPUT_FRAME, Task

Float32Rows = np.ndarray[tuple[int, int], np.dtype[np.float32]]
THRESHOLD = 0.5
IMAGE_ID, IMAGE_PIXELS = ID_FIELDS["crayfish"], "dataPoint"


class Format(Protocol):
    """How events of one kind are read, and scored events written."""

    def decode(self, value: bytes) -> Any:
        """What `rows` and `encode` need of an event."""

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The model's input for decoded events, ``[n, width]``."""

    def encode(self, event: Any, score: float) -> bytes:
        """The scored event."""


class Scorer:
    """Values to scored values, in the same order.

    Args:
        format: reads and writes them.
        model: an ONNX file whose score is column 1 of its output ``probabilities``.
    """

    def __init__(self, format: Format, model: Path) -> None:
        self._format = format
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, values: Sequence[bytes]) -> list[bytes]:
        """Scored events of ``values``."""
        events = [self._format.decode(value) for value in values]
        return [self._format.encode(event, score) for event, score in zip(events, self._scores(events), strict=True)]

    def scores(self, values: Sequence[bytes]) -> list[float]:
        """The scores alone."""
        return self._scores([self._format.decode(value) for value in values])

    def _scores(self, events: Sequence[Any]) -> list[float]:
        answers = self._session.run(["probabilities"], {self._input: self._format.rows(events)})
        scores: list[float] = answers[0][:, 1].tolist()
        return scores


class Features:
    """The cells of a row: paths, and codes of those that are text, as ``features.json`` and ``categories.json`` say."""

    def __init__(self, assets: Path) -> None:
        listed = json.loads((assets / "features.json").read_text())
        texts = json.loads((assets / "categories.json").read_text())
        codes = {name: {text: code for code, text in enumerate(known)} for name, known in texts.items()}
        self.list = [(feature["path"], codes.get(feature["name"])) for feature in listed]

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The model's input for events as dicts, ``[n, width]``."""
        return np.array([[cell(event, path, codes) for path, codes in self.list] for event in events], np.float32)


class AvroFormat:
    """Framed Avro by fastavro."""

    def __init__(self, task: Task) -> None:
        self._id = ID_FIELDS[task.workload]
        self._reader = fastavro.parse_schema(json.loads(task.schema.read_text()))
        self._writer = fastavro.parse_schema(json.loads(task.output_schema.read_text()))
        self._features = Features(task.assets)

    def decode(self, value: bytes) -> Any:
        """The event as a dict.

        Raises:
            ValueError: it has another frame.
        """
        body = io.BytesIO(value)
        if body.read(len(INPUT_FRAME)) != INPUT_FRAME:
            raise ValueError("an event does not begin with the frame of schema 1")
        return fastavro.schemaless_reader(body, self._reader, None)

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The model's input, ``[n, width]``."""
        return self._features.rows(events)

    def encode(self, event: Any, score: float) -> bytes:
        """Id, score and flag."""
        body = io.BytesIO()
        body.write(OUTPUT_FRAME)
        scored = {"id": str(event[self._id]), "score": score, "flagged": score >= THRESHOLD}
        fastavro.schemaless_writer(body, self._writer, scored)
        return body.getvalue()


class JsonFormat:
    """JSON by the standard library."""

    def __init__(self, task: Task) -> None:
        self._id = ID_FIELDS[task.workload]
        self._features = Features(task.assets)

    def decode(self, value: bytes) -> Any:
        """The event as a dict."""
        return json.loads(value)

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The model's input, ``[n, width]``."""
        return self._features.rows(events)

    def encode(self, event: Any, score: float) -> bytes:
        """Id and score."""
        return json.dumps({"id": event[self._id], "score": score}).encode()


class ImageFormat:
    """The event of the Crayfish study: JSON whose pixels are comma-joined text."""

    def decode(self, value: bytes) -> Any:
        """The event as a dict."""
        return json.loads(value)

    def rows(self, events: Sequence[Any]) -> Float32Rows:
        """The pixels, ``[n, 784]``."""
        return np.array([[float(pixel) for pixel in event[IMAGE_PIXELS].split(",")] for event in events], np.float32)

    def encode(self, event: Any, score: float) -> bytes:
        """Id, which is a number, and score."""
        return json.dumps({"id": event[IMAGE_ID], "score": score}).encode()


def plain_format(task: Task) -> Format:
    """The usual libraries for a task's workload."""
    if task.workload == "crayfish":
        return ImageFormat()
    if task.workload == "payment_json":
        return JsonFormat(task)
    return AvroFormat(task)


def scorer(task: Task) -> Scorer:
    """From values to scored values, as a task asks for."""
    return Scorer(plain_format(task), task.model)


def cell(event: Any, path: str, codes: Mapping[str, int] | None) -> float:
    """A feature of an event: NaN where there is no value, -1 for text that has no code."""
    value = event
    for part in path.split("."):
        value = None if value is None else value[part]
    if value is None:
        return float("nan")
    return float(value if codes is None else codes.get(value, -1))

"""The scoring that most people write first: fastavro, dicts, onnxruntime.

Rule: nothing clever, nothing foolish; it imports no Kafka client, so that every Python rival and the reference scores
share it, and the rivals differ in what they do around it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
import numpy as np
import onnxruntime as ort

from bench.rivals.contract import INPUT_FRAME, OUTPUT_FRAME, Task

Float32Rows = np.ndarray[tuple[int, int], np.dtype[np.float32]]
ID_FIELDS = {"payment": "transaction_id", "floats": "id"}
THRESHOLD = 0.5


class AvroScorer:
    """Avro values to scored Avro values, in the same order.

    Raises:
        KeyError: the workload is not one of Avro events with a single score.
    """

    def __init__(self, task: Task) -> None:
        self._id = ID_FIELDS[task.workload]
        self._reader = fastavro.parse_schema(json.loads(task.schema.read_text()))
        self._writer = fastavro.parse_schema(json.loads(task.output_schema.read_text()))
        self._features = json.loads((task.assets / "features.json").read_text())
        texts = json.loads((task.assets / "categories.json").read_text())
        self._codes = {name: {text: code for code, text in enumerate(listed)} for name, listed in texts.items()}
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(task.model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, values: Sequence[bytes]) -> list[bytes]:
        """Scored events of ``values``, which are framed."""
        events = [self._decode(value) for value in values]
        return [self._encode(event, score) for event, score in zip(events, self._scores(events), strict=True)]

    def scores(self, values: Sequence[bytes]) -> list[float]:
        """The scores alone."""
        return self._scores([self._decode(value) for value in values])

    def _decode(self, value: bytes) -> Any:
        body = io.BytesIO(value)
        if body.read(len(INPUT_FRAME)) != INPUT_FRAME:
            raise ValueError("an event does not begin with the frame of schema 1")
        return fastavro.schemaless_reader(body, self._reader, None)

    def _row(self, event: Any) -> list[float]:
        return [cell(event, feature["path"], self._codes.get(feature["name"])) for feature in self._features]

    def _scores(self, events: Sequence[Any]) -> list[float]:
        rows = np.array([self._row(event) for event in events], dtype=np.float32)
        return self._run(rows)

    def _run(self, rows: Float32Rows) -> list[float]:
        scores: list[float] = self._session.run(["probabilities"], {self._input: rows})[0][:, 1].tolist()
        return scores

    def _encode(self, event: Any, score: float) -> bytes:
        body = io.BytesIO()
        body.write(OUTPUT_FRAME)
        scored = {"id": str(event[self._id]), "score": score, "flagged": score >= THRESHOLD}
        fastavro.schemaless_writer(body, self._writer, scored)
        return body.getvalue()


def cell(event: Any, path: str, codes: Mapping[str, int] | None) -> float:
    """A feature of an event: NaN where there is no value, -1 for text that has no code."""
    value = event
    for part in path.split("."):
        value = None if value is None else value[part]
    if value is None:
        return float("nan")
    return float(value if codes is None else codes.get(value, -1))

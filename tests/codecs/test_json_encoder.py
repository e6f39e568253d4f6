"""JSON output is, byte for byte, what msgspec writes of the same event as a dict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.codecs import JsonEncoder, output_schema
from stream_infer.projection import Projection
from stream_infer.testing import records
from stream_infer.types import Binary, Column, ModelIdentity, Records, ScoredColumns, Split, Status

Project = Callable[..., Projection]
MODELS = (ModelIdentity('fraud-"ü', "7", "ab" * 32, 0.92), ModelIdentity("canary", "8", "cd" * 32, 1e-7))
CLASSES = ("a", 'b"', "ü")
SPLITS = (Split("payments", 0), Split("ä", 2**31 - 1))
SCORED_AT = 1_760_000_000_999

scores = st.floats(width=32)
ROWS = st.fixed_dictionaries(
    {
        "status": st.sampled_from([Status.OK, Status.SHED, Status.MALFORMED]),
        "score": scores,
        "flagged": st.booleans(),
        "model": st.integers(0, len(MODELS) - 1),
        "split": st.integers(0, len(SPLITS) - 1),
        "offset": st.integers(0, 2**63 - 1),
        "timestamp": st.just(-1) | st.integers(0, 2**63 - 1),
        "probabilities": st.lists(scores, min_size=len(CLASSES), max_size=len(CLASSES)),
        "id": st.sampled_from([b"1", b"null", b"-7.50e1", b'"\\u00fc\xc3\xa4"']),
    }
)


def expected_event(row: dict[str, Any], multi_class: bool) -> bytes | None:
    if row["status"] == Status.MALFORMED:
        return None
    shed, model, split = row["status"] == Status.SHED, MODELS[row["model"]], SPLITS[row["split"]]
    event = {
        "score": None if shed else row["score"],
        "flagged": row["flagged"],
        "status": "shed" if shed else "scored",
        "threshold": model.threshold,
        "model_name": model.name,
        "model_version": model.version,
        "model_digest": model.digest,
        "input_topic": split.source,
        "input_partition": split.partition,
        "input_offset": row["offset"],
        "event_timestamp": None if row["timestamp"] == -1 else row["timestamp"],
        "scored_at": SCORED_AT,
    }
    if multi_class:
        best = CLASSES[int(np.argmax(row["probabilities"]))]
        event["predicted_class"] = None if shed else best
        event["probabilities"] = None if shed else row["probabilities"]
    return msgspec.json.encode(event | {"id ü": msgspec.Raw(row["id"])})


def column(rows: list[dict[str, Any]], name: str, dtype: Any) -> Any:
    return np.array([row[name] for row in rows], dtype)


def records_of(rows: list[dict[str, Any]]) -> Records:
    timestamps, offsets = column(rows, "timestamp", np.int64), column(rows, "offset", np.int64)
    split_index = column(rows, "split", np.int32)
    return replace(
        records([b""] * len(rows)), splits=SPLITS, split_index=split_index, offset=offsets, timestamp_ms=timestamps
    )


def scored_of(rows: list[dict[str, Any]], multi_class: bool) -> ScoredColumns:
    status = column(rows, "status", np.uint8)
    score = np.where(status == Status.OK, column(rows, "score", np.float32), np.float32(np.nan))
    carried = (Column("id ü", "string", "json", Binary.from_values([row["id"] for row in rows])),)
    classes: dict[str, Any] = {"probabilities": column(rows, "probabilities", np.float32), "classes": CLASSES}
    return ScoredColumns(
        score,
        column(rows, "flagged", np.bool_),
        status,
        column(rows, "model", np.uint8),
        MODELS,
        carried,
        **(classes if multi_class else {}),
    )


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=5), multi_class=st.booleans())
def test_every_byte(project: Project, rows: list[dict[str, Any]], multi_class: bool) -> None:
    projection = project({"id ü": "string"}, (), ["id ü"])
    output = output_schema(projection.reader_schema, projection.carried, multi_class=multi_class)
    payload, failures = JsonEncoder(output).encode(records_of(rows), scored_of(rows, multi_class), SCORED_AT)
    assert failures == {}
    assert payload.to_list() == [expected_event(row, multi_class) for row in rows]

"""Score a table of past events with PySpark and the same bundle as the service.

    python examples/spark_backfill/backfill.py BUNDLE EVENTS.parquet SCORED --carry transaction_id

Rule: a bundle goes to the executors once, as bytes; each task opens and proves it once. Spark hands over batches of
Arrow, and every one of them is one call of `Scorer.score_table`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from stream_infer import Scorer
from stream_infer.types import Status

ROWS_OF_A_BATCH = 8192
SCORES = "score float, flagged boolean, status string, model_digest string"


def score_frame(events: DataFrame, bundle: Path, carry: Sequence[str] = ()) -> DataFrame:
    """The scores of a data frame, beside the columns that are carried.

    Args:
        events: columns named as the fields of the events are.
        bundle: a ``.bundle.jar``.
        carry: columns of ``events`` to keep.

    Returns:
        ``carry``, then ``score`` (null where there is none), ``flagged``, ``status`` (``ok``, or the reason why there
        is no score) and ``model_digest``.
    """
    kept = [f"`{name}` {events.schema[name].dataType.simpleString()}" for name in carry]
    shared = events.sparkSession.sparkContext.broadcast(bundle.read_bytes())
    return events.mapInArrow(_scoring(shared, tuple(carry)), ", ".join([*kept, SCORES]))


def _scoring(shared: Any, carry: tuple[str, ...]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        scorer = _scorer(shared.value)
        for batch in batches:
            if batch.num_rows:
                yield _scored(scorer, batch, carry)

    return score


def _scorer(bundle: bytes) -> Scorer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bundle.jar"
        path.write_bytes(bundle)
        return Scorer.load(path)


def _scored(scorer: Scorer, batch: pa.RecordBatch, carry: tuple[str, ...]) -> pa.RecordBatch:
    scored = scorer.score_table(pa.Table.from_batches([batch]))
    reasons = [Status(status).reason for status in scored.status.tolist()]
    columns = {
        **{name: batch.column(name) for name in carry},
        "score": pa.array(scored.score, mask=scored.status != Status.OK),
        "flagged": pa.array(scored.flagged),
        "status": pa.array(reasons),
        "model_digest": pa.array([scorer.identity.digest] * len(reasons)),
    }
    return pa.RecordBatch.from_pydict(columns)


def main() -> None:
    """Score a Parquet file or folder."""
    parser = argparse.ArgumentParser(description="Score past events with the service's model.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("events")
    parser.add_argument("scored")
    parser.add_argument("--carry", action="append", default=[])
    options = parser.parse_args()
    builder = SparkSession.builder.appName("backfill")
    session = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", ROWS_OF_A_BATCH).getOrCreate()
    events = session.read.parquet(options.events)
    score_frame(events, options.bundle, options.carry).write.mode("overwrite").parquet(options.scored)
    session.stop()


if __name__ == "__main__":
    main()

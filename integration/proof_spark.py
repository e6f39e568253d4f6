"""`make proof-spark`: a back-fill with PySpark answers as the service's scorer does, bit for bit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from integration.environments import ROOT, environment
from integration.scenario import DEMO_BUNDLE
from stream_infer.scoring import Scorer
from stream_infer.testing.payments import PaymentStream
from stream_infer.types import Status

PAYMENTS = 20_000
FILES = 4
EXAMPLE = ROOT / "examples/spark_backfill"


def test_a_back_fill_scores_as_the_service_does(tmp_path: Path) -> None:
    """Every payment is there once, with its score; those without an amount have a reason."""
    python = environment("spark", ["-r", str(EXAMPLE / "requirements.txt"), "-e", str(ROOT)])
    payments = PaymentStream(seed=21).columns(PAYMENTS).to_dicts()
    for row in range(0, PAYMENTS, 100):
        payments[row]["amount"] = None
    (tmp_path / "payments").mkdir()
    table = pa.Table.from_pylist(payments)
    for part in range(FILES):
        rows = PAYMENTS // FILES
        pq.write_table(table.slice(part * rows, rows), tmp_path / "payments" / f"{part}.parquet")
    command = [str(python), str(EXAMPLE / "backfill.py"), str(DEMO_BUNDLE), str(tmp_path / "payments")]
    done = subprocess.run(
        [*command, str(tmp_path / "scored"), "--carry", "transaction_id"],
        env={"PATH": "/usr/bin:/bin", "PYSPARK_PYTHON": str(python), "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    scored = {row["transaction_id"]: row for row in pq.read_table(tmp_path / "scored").to_pylist()}
    expected = Scorer.load(DEMO_BUNDLE).score_table(table)
    found = [scored[payment["transaction_id"]] for payment in payments]
    assert len(scored) == PAYMENTS
    assert [row["status"] for row in found] == [Status(status).reason for status in expected.status.tolist()]
    assert sum(row["score"] is None for row in found) == PAYMENTS // 100
    scores = np.array([np.nan if row["score"] is None else row["score"] for row in found], np.float32)
    assert np.array_equal(scores, expected.score, equal_nan=True)
    assert [row["flagged"] for row in found] == expected.flagged.tolist()
    print(f"\n{PAYMENTS:,} payments in {FILES} partitions, {int(expected.flagged.sum())} flagged")

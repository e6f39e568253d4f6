"""Make the bundle of the example: points for payments.

python examples/function_runtime/make_bundle.py examples/payments/payments.jsonl examples/points-1.bundle.jar
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stream_infer.export import export_runtime

POINTS = {
    "amount": {"above": 400.0, "points": 0.25},
    "amount_ratio": {"above": 4.0, "points": 0.25},
    "payments_last_hour": {"above": 3.0, "points": 0.25},
    "cross_border": {"above": 0.0, "points": 0.125},
}


def make_bundle(events: Path, to: Path) -> str:
    """Write the bundle and return its digest."""
    features = Path(__file__).parent / "features.toml"
    files = {"points.json": json.dumps(POINTS).encode()}
    return export_runtime("points", files, features, events, to, name="points", version="1")


if __name__ == "__main__":
    print(make_bundle(Path(sys.argv[1]), Path(sys.argv[2])))

"""What ONNX Runtime tells its maker: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

OPEN_A_MODEL = "import sys; from stream_infer import Scorer; print(Scorer.load(sys.argv[1]).identity.name)"


def test_opening_a_model_reports_to_nobody(bundle_path: Path, tmp_path: Path) -> None:
    known = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    environment = {**known, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", OPEN_A_MODEL, bundle_path], env=environment, check=True)
    # What it would send it keeps in a folder of its maker's name, with a number for the machine.
    assert not [path for path in tmp_path.rglob("*") if "microsoft" in path.name.lower()]

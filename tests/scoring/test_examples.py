"""The examples in the documentation of the public API do what they say."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import stream_infer
from stream_infer.bundle import reader
from stream_infer.scoring import scorer


@pytest.mark.parametrize("module", [stream_infer, reader, scorer], ids=lambda module: module.__name__)
def test_examples(module: ModuleType, bundle_path: Path) -> None:
    names = {"bundle_path": bundle_path, "Scorer": scorer.Scorer, "ModelBundle": reader.ModelBundle}
    result = doctest.testmod(module, globs=names)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_package_is_light_and_names_its_api() -> None:
    assert stream_infer.Scorer is scorer.Scorer
    assert stream_infer.ModelBundle is reader.ModelBundle
    with pytest.raises(AttributeError, match="no attribute 'Scorrer'"):
        _ = stream_infer.Scorrer  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("imported", "absent"),
    [("stream_infer", ["numpy", "onnxruntime"]), ("stream_infer.scoring", ["onnx", "pandas", "pyarrow"])],
)
def test_serving_imports_no_more_than_it_needs(imported: str, absent: list[str]) -> None:
    code = f"import sys, {imported}; print([name for name in {absent} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

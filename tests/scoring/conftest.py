"""Bundles on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_infer.bundle import write_bundle
from tests.scoring.bundles import example_bundle


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation's bundle, as a jar."""
    example = example_bundle()
    path = tmp_path_factory.mktemp("bundles") / "fraud-7.bundle.jar"
    write_bundle(path, example.manifest, example.files)
    return path

"""A config that is valid, in a folder of its own, for every test that needs one or wants to spoil it."""

from pathlib import Path

import pytest

MINIMAL = """\
name = "fraud"
[kafka]
bootstrap_servers = "localhost:9092"
[source]
topics = ["payments"]
group_id = "fraud"
codec = { type = "json" }
[model]
bundle = "fraud-7.bundle.jar"
[sink]
topic = "payments.scored"
codec = { type = "json" }
[dead_letter]
topic = "payments.dlq"
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A minimal valid config file, its (empty) bundle beside it."""
    (tmp_path / "fraud-7.bundle.jar").touch()
    path = tmp_path / "fraud.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path

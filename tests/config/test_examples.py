"""The files in config/ and the one on the reference page are valid as they stand."""

import re
from pathlib import Path

import pytest

from stream_infer.config.load import read_config

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "config").glob("*.toml"))
SECRETS = {
    "secure.toml": (
        "kafka.client.sasl.password=test",
        "schema_registry.client={}",
    )
}


def test_the_examples_are_there() -> None:
    assert [path.name for path in EXAMPLES] == ["fraud-files.toml", "fraud-json.toml", "fraud.toml", "secure.toml"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_example_is_valid_without_a_warning(path: Path) -> None:
    loaded = read_config(
        path, SECRETS.get(path.name, ()), {"KAFKA_BOOTSTRAP": "broker:9093", "HOSTNAME": "fraud-scorer-0"}
    )
    assert loaded.warnings == ()


def test_the_examples_on_the_reference_page_are_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    whole, *parts = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/fraud-7.bundle.jar").touch()
    path = tmp_path / "fraud.toml"
    for example in (whole, *(whole + part for part in parts)):
        path.write_text(example, encoding="utf-8")
        assert read_config(path, environ={}).warnings == ()

import json
from pathlib import Path

import pytest

from stream_infer.config import describe
from stream_infer.config.load import load_config
from stream_infer.config.outline import Key, children, outline
from stream_infer.redact import MASK

ROOT = Path(__file__).parents[2]


def test_the_schema_and_the_reference_page_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert describe.main(["--check"]) == 0, capsys.readouterr().err


def test_write_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "docs").mkdir()
    page = tmp_path / describe.PAGE_FILE
    page.write_text(f"mine\n{describe.BEGIN}\nOUTDATED\n{describe.END}\nmine too\n", encoding="utf-8")
    arguments = ["--root", str(tmp_path)]
    assert describe.main(["--check", *arguments]) == 1
    assert str(describe.PAGE_FILE) in capsys.readouterr().err
    assert describe.main(["--write", *arguments]) == 0
    assert describe.main(["--check", *arguments]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("mine\n")
    assert text.endswith("\nmine too\n")
    assert "OUTDATED" not in text


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lost the marks"):
        describe.page_text("no marks")


@pytest.mark.parametrize("key", outline().values(), ids=lambda key: key.path)
def test_every_key_is_explained_and_on_the_page(key: Key) -> None:
    assert key.description.endswith((".", "..."))
    assert key.name in describe.reference_text()


def test_the_outline_knows_types_ranges_choices_and_variants() -> None:
    keys = outline()
    assert keys["batching.linger_ms"].range == "at least 0 and at most 60000"
    assert keys["flow.low_watermark_ratio"].range == "above 0 and below 1"
    assert keys["source.codec.type"].choices == ("avro", "json")
    assert keys["source.codec.schema"].condition == 'type = "avro"'
    assert keys["sink.routes[].when"].choices == ("flagged", "not_flagged")
    assert keys["flow.max_age_ms"].default is None
    assert not keys["flow.max_age_ms"].required
    assert keys["source.topics"].kind == "list of text"
    assert children("decision") == ["threshold"]
    assert "kafka" in children("")


def test_the_schema_file_speaks_of_every_key() -> None:
    schema = json.loads((ROOT / describe.SCHEMA_FILE).read_text(encoding="utf-8"))
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(children(""))
    assert "schema" in schema["$defs"]["AvroSourceCodec"]["properties"]


def test_a_config_is_shown_without_its_secrets(config_file: Path) -> None:
    overrides = ["kafka.client.sasl.password=hunter2", "kafka.client.consumer.ssl.key.password=hunter2"]
    shown = describe.effective(load_config(config_file, overrides, {}))
    assert shown["kafka"]["client"] == {"sasl.password": MASK, "consumer": {"ssl.key.password": MASK}}
    assert shown["batching"]["linger_ms"] == 5.0
    assert "hunter2" not in json.dumps(shown)

"""The page for operators says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stream_infer.observe import describe
from stream_infer.observe.catalogue import METRICS, REJECTS

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
TEXT = PAGE.read_text(encoding="utf-8")
NAMES = {spec.name for spec in METRICS}


def test_the_table_is_that_of_the_code() -> None:
    assert describe.main(["--check"], PAGE) == 0
    table = TEXT.partition(describe.BEGIN)[2].partition(describe.END)[0]
    assert set(re.findall(r"^\| `(stream_infer_\w+)`", table, re.MULTILINE)) == NAMES


def test_the_prose_names_no_metric_that_does_not_exist() -> None:
    assert set(re.findall(r"\bstream_infer_[a-z_]+", TEXT)) - NAMES == set()


def test_every_reject_reason_is_explained() -> None:
    rows = TEXT.partition("### Dead letters")[2].partition("###")[0]
    assert set(re.findall(r"`([a-z_0-9]+)`", "\n".join(re.findall(r"^\| (.*?) \|", rows, re.MULTILINE)))) == {
        status.reason for status in REJECTS
    }


def test_links_inside_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) - headings == set()


def test_every_log_event_is_listed() -> None:
    source = "".join(
        (PAGE.parents[1] / "stream_infer" / "observe" / name).read_text() for name in ("narrator.py", "http.py")
    )
    told = [*re.findall(r'logger\.(?:info|warning|error)\(\s*"([^"]+)"', source), "flow gate changed"]
    assert len(told) >= 10
    assert [event for event in told if f"`{event}`" not in TEXT] == []


def test_a_stale_page_fails_the_check_and_is_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "operations.md"
    page.write_text(f"before\n{describe.BEGIN}\nold\n{describe.END}\nafter\n")
    assert describe.main(["--check"], page) == 1
    assert "is out of date" in capsys.readouterr().err
    assert describe.main(["--write"], page) == 0
    assert describe.main(["--check"], page) == 0
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert describe.main([]) == 2
    assert "--write | --check" in capsys.readouterr().err

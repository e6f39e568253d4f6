"""Files to export from: a model, a feature list and events, each easy to replace by a wrong one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stream_infer.bundle import ModelBundle
from stream_infer.export import ExportReport, export_onnx
from tests.scoring import zoo

FEATURES = """
features = [
  "amount",
  "geo.lat",
  {name = "category", path = "category", categories = ["grocery", "travel"]},
]
"""


def events(count: int = 60) -> list[dict[str, Any]]:
    """Payments; every seventh without a place, every third with a category the model does not know."""
    categories = ("grocery", "travel", "other")
    return [
        {
            "id": f"event-{number}",
            "amount": number * 3.5,
            "geo": None if number % 7 == 0 else {"lat": number / 3 - 10},
            "category": categories[number % 3],
        }
        for number in range(count)
    ]


class Workspace:
    """A directory with the three files of an export."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.to = root / "out" / "fraud-7.bundle.jar"
        self.to.parent.mkdir()
        self.model(zoo.trees())
        self.features(FEATURES)
        self.events(events())

    def model(self, data: bytes) -> None:
        (self.root / "model.onnx").write_bytes(data)

    def features(self, text: str) -> None:
        (self.root / "features.toml").write_text(text)

    def events(self, rows: Sequence[Any]) -> None:
        (self.root / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def export(self, events: str = "events.jsonl", **options: Any) -> ExportReport:
        return export_onnx(
            self.root / "model.onnx", self.root / "features.toml", self.root / events, self.to, **options
        )

    def bundle(self, **options: Any) -> ModelBundle:
        self.export(**options)
        return ModelBundle.load(self.to)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


Make = Callable[[Workspace], Any]

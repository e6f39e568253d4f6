"""`bundle.json`: what is read, what is refused, and its schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_infer.bundle.manifest import encode_manifest, is_safe_path, parse_manifest
from stream_infer.bundle.schema import bundle_schema_text
from stream_infer.errors import ModelLoadError
from stream_infer.projection import Feature
from tests.scoring.bundles import example_bundle

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "bundle.schema.json"


def document() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(encode_manifest(example_bundle().manifest))
    return content


def parse(content: dict[str, Any]) -> Any:
    return parse_manifest(json.dumps(content).encode(), "fraud-7.bundle.jar")


def test_what_is_written_is_read_again() -> None:
    manifest = example_bundle().manifest
    assert parse_manifest(encode_manifest(manifest), "test") == manifest


def test_unknown_keys_are_ignored() -> None:
    content = document()
    content["later"] = {"anything": 1}
    content["model"]["later"] = True
    content["inputs"][0]["features"][0]["later"] = []
    assert parse(content) == parse(document())


def test_a_later_minor_version_is_read_and_a_later_major_refused() -> None:
    assert parse({**document(), "format_version": "1.9"}).format_version == "1.9"
    with pytest.raises(ModelLoadError, match=r"format version '2.0'; this release reads 1.x"):
        parse({"format_version": "2.0", "nothing": "we know"})


def test_features_become_the_decoders_values() -> None:
    content = document()
    content["inputs"][0]["features"][0] |= {"missing": {"value": 0}, "offset": -5, "scale": 2}
    amount, _, category = parse(content).inputs[0].to_input().features
    assert amount == Feature("amount", "amount", missing="value", missing_value=0, offset=-5.0, scale=2.0)
    assert category == Feature("category", "category", categories=("grocery", "travel"))


Change = Callable[[dict[str, Any]], Any]


def feature(**changes: Any) -> Change:
    return lambda content: content["inputs"][0]["features"][0].update(changes)


def as_int64(content: dict[str, Any]) -> None:
    content["inputs"][0]["dtype"] = "int64"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["model"].update(name="../x"), "name"),
        (lambda c: c.pop("score"), "score"),
        (lambda c: c["inputs"][0].update(dtype="float16"), "float16"),
        (lambda c: c["inputs"][0].update(shape=[-1, 4]), "4 cells but its features fill 3"),
        (lambda c: c["inputs"][0].update(shape=[3]), "first dimension is -1"),
        (lambda c: c["inputs"].append(c["inputs"][0]), "input 'X' is listed more than once"),
        (as_int64, "which int64 cannot hold"),
        (feature(name="lat"), "feature 'lat' is listed more than once"),
        (feature(missing="zero"), "missing"),
        (feature(missing={"value": "text"}), "missing value of another type"),
        (feature(format="array"), "both a length above 1 and a format"),
        (feature(categories=[]), "empty list of categories"),
        (feature(categories=["a", "a"]), "category 'a' is listed more than once"),
        (lambda c: c["score"].update(output="label"), "which is not listed"),
        (lambda c: c["score"].update(column=2), "score column 2 does not exist"),
        (lambda c: c["score"].pop("column"), "score column None"),
        (lambda c: c["outputs"][0].update(shape=[-1, 2, 2]), r"supported are \[-1\] and \[-1, k\]"),
        (lambda c: c.update(classes=[0, 1, 2]), "3 classes are listed"),
        (lambda c: c["decision"].update(round_decimals=16), "round_decimals"),
        (lambda c: c["golden"].update(rows=0), "rows"),
        (lambda c: c["files"].pop("golden/input.avro"), "'golden/input.avro' is not listed"),
        (lambda c: c["files"].update({"../etc": c["files"]["model.onnx"]}), "'../etc' leaves the bundle"),
        (lambda c: c["files"]["model.onnx"].update(sha256="0"), "sha256"),
    ],
)
def test_each_inconsistency_is_named(change: Change, message: str) -> None:
    content = document()
    change(content)
    with pytest.raises(ModelLoadError, match=rf"^fraud-7.bundle.jar: bundle.json is not .*{message}"):
        parse(content)


def test_bytes_that_are_no_json_are_refused() -> None:
    for data in (b"", b"{", b"[]", b'"1.0"', b"\xff"):
        with pytest.raises(ModelLoadError, match="is not valid"):
            parse_manifest(data, "test")


def test_every_inconsistency_is_told_at_once() -> None:
    content = document()
    content["score"]["column"] = 5
    content["inputs"][0]["shape"] = [-1, 9]
    with pytest.raises(ModelLoadError, match=r"9 cells .*; score column 5"):
        parse(content)


@pytest.mark.parametrize("path", ["model.onnx", "golden/input.avro", "a/b/c.bin", "with space"])
def test_safe_paths(path: str) -> None:
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "C:/x", "a\\b", "a\x00b", "a\n"]
)
def test_unsafe_paths(path: str) -> None:
    assert not is_safe_path(path)


def test_the_stored_json_schema_is_the_generated_one() -> None:
    remedy = "run: python -m stream_infer.bundle.schema > schemas/bundle.schema.json"
    assert SCHEMA_FILE.read_text() == bundle_schema_text(), remedy


def test_the_json_schema_names_every_key_that_is_written() -> None:
    definitions = json.loads(SCHEMA_FILE.read_text())["$defs"]
    for key in document():
        assert key in definitions["Manifest"]["properties"]
    assert set(definitions["FeatureSpec"]["properties"]) >= set(
        msgspec.to_builtins(example_bundle().manifest.inputs[0].features[0])
    )

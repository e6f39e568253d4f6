"""From three files to a proven bundle, or to a reason why not."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet
import pytest

from stream_infer import Scorer
from stream_infer.bundle.container import encode_rows, write_container
from stream_infer.errors import ExportRefused, UsageError
from stream_infer.export import export_onnx
from stream_infer.types import Status
from tests.export.conftest import FEATURES, Make, Workspace, events
from tests.scoring import zoo

MATRIX = 'features = ["a", "b", "c"]'
MATRIX_EVENTS = [{"a": number / 10, "b": 1.0 - number, "c": number % 4} for number in range(50)]


def matrix(workspace: Workspace, model: bytes) -> None:
    workspace.model(model)
    workspace.features(MATRIX)
    workspace.events(MATRIX_EVENTS)


def test_every_score_is_a_plain_sessions(workspace: Workspace) -> None:
    report = workspace.export()
    scorer = Scorer.load(workspace.to)
    scored = scorer.score_events(events())
    codes = {"grocery": 0, "travel": 1}
    cells = np.array(
        [
            [e["amount"], np.nan if e["geo"] is None else e["geo"]["lat"], codes.get(e["category"], -1)]
            for e in events()
        ],
        np.float32,
    )
    np.testing.assert_array_equal(scored.score, zoo.direct(zoo.trees(), "probabilities", {"X": cells})[:, 1])
    assert (report.sample_events, report.scored_events, report.rejected) == (60, 60, {})
    assert report.flagged_events == scored.flagged.sum()
    assert report.digest == scorer.identity.digest
    assert report.size_bytes == workspace.to.stat().st_size


def test_the_manifest_says_what_the_files_hold(workspace: Workspace) -> None:
    bundle = workspace.bundle(threshold=0.7, description="Card fraud")
    manifest = bundle.manifest
    assert (manifest.model.name, manifest.model.version, manifest.model.description) == ("fraud", "7", "Card fraud")
    assert manifest.graph.opset == {"": 17, "ai.onnx.ml": 3}
    assert manifest.graph.ops == ("TreeEnsembleClassifier",)
    assert manifest.graph.min_onnxruntime == "1.15"
    assert (manifest.score.output, manifest.score.column, manifest.classes) == ("probabilities", 1, (0, 1))
    assert manifest.decision.threshold == 0.7
    assert manifest.provenance.created is None
    assert manifest.inputs[0].features[1].path == "geo.lat"


def test_the_same_arguments_give_the_same_bytes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.export()
    first = workspace.to.read_bytes()
    workspace.export()
    assert workspace.to.read_bytes() == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert workspace.bundle().manifest.provenance.created == "2023-11-14T22:13:20+00:00"


def test_a_stray_model_can_be_traced(workspace: Workspace) -> None:
    proto = onnx.load_from_string(workspace.bundle().files["model.onnx"])
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    assert properties["stream_infer.name"] == "fraud"
    assert properties["stream_infer.version"] == "7"
    assert len(properties["stream_infer.features_sha256"]) == 64


def test_golden_events_cover_what_implementations_differ_on(workspace: Workspace) -> None:
    bundle = workspace.bundle()
    scorer = Scorer.load(workspace.to)
    cells = scorer.decode(bundle.golden_events().records()).inputs["X"]
    thresholds = onnx.load_from_string(zoo.trees()).graph.node[0].attribute
    values = next(attribute.floats for attribute in thresholds if attribute.name == "nodes_values")
    assert np.isin(cells[:, :2], np.array(values, np.float32)).sum() > 10, "events on split thresholds"
    missing = np.isnan(cells)
    assert missing[:, :2].all(axis=1).any(), "an event with everything missing"
    assert (missing[:, 0] & ~missing[:, 1]).any(), "an event with one field missing"
    assert (cells[:, 2] == -1).any(), "a category the model does not know"
    assert (np.abs(cells) > 1e38).any(), "extremes"
    assert len(cells) == bundle.manifest.golden.rows
    assert bundle.golden_answers().flagged.any()


def test_the_profile_describes_features_and_score(workspace: Workspace) -> None:
    profile = workspace.bundle().profile
    assert profile is not None
    assert profile["rows"] == 60
    features = profile["inputs"]["X"]
    assert features["amount"]["quantiles"][0] == 0.0
    assert features["amount"]["quantiles"][-1] == 206.5
    assert features["geo.lat"]["missing"] == 0.15
    assert features["category"]["counts"] == {"-1": 20, "0": 20, "1": 20}
    assert sum(profile["score"]["histogram"]["counts"]) == 60


def test_a_directory_is_written_as_well(workspace: Workspace) -> None:
    workspace.to = workspace.root / "out" / "bundle"
    report = workspace.export(name="fraud", version="8")
    assert Scorer.load(workspace.to).identity.version == "8"
    assert report.size_bytes > 1000


def test_avro_and_parquet_samples(workspace: Workspace) -> None:
    schema = {
        "type": "record",
        "name": "Payment",
        "fields": [
            {"name": "amount", "type": "float"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["in", "out"]}},
        ],
    }
    rows = [{"amount": number, "at": 1_700_000_000_500, "kind": ["in", "out"][number % 2]} for number in range(30)]
    (workspace.root / "events.avro").write_bytes(write_container(schema, encode_rows(schema, rows)))
    workspace.features('features = ["amount", {path = "at", offset = -1700000000}, {path="kind", categories=["out"]}]')
    bundle = workspace.bundle(events="events.avro")
    assert bundle.input_schema == schema
    cells = Scorer.load(workspace.to).decode(bundle.golden_events().records()).inputs["X"]
    assert (cells[:, 1] == 0.5).all()
    table = pa.Table.from_pylist(
        [{**row, "at": row["at"]} for row in rows],
        pa.schema([("amount", pa.float32()), ("at", pa.timestamp("ms")), ("kind", pa.string())]),
    )
    pyarrow.parquet.write_table(table, workspace.root / "events.parquet")
    bundle = workspace.bundle(events="events.parquet")
    cells = Scorer.load(workspace.to).decode(bundle.golden_events().records()).inputs["X"]
    assert (cells[:, 1] == 0.5).all()


def test_features_of_the_record_itself_are_proven_too(workspace: Workspace) -> None:
    workspace.features('features = [{path = "$key", categories = ["k1"]}, "$timestamp", "amount"]')
    workspace.events(
        [{"amount": number, "$key": f"k{number % 2}", "$timestamp": 1000 * number} for number in range(1, 30)]
    )
    bundle = workspace.bundle()
    assert "golden/records.avro" in bundle.files
    cells = Scorer.load(workspace.to).decode(bundle.golden_events().records()).inputs["X"]
    assert set(cells[:, 0].tolist()) == {-1.0, 0.0}
    assert 29.0 in cells[:, 1]


def test_several_inputs(workspace: Workspace) -> None:
    workspace.model(zoo.mixed_inputs())
    workspace.features(
        """
        [[inputs]]
        name = "amount"
        dtype = "float32"
        features = [{path = "amount", missing = {value = 0}}]
        [[inputs]]
        name = "count"
        features = ["n"]
        [[inputs]]
        name = "country"
        [[inputs.features]]
        path = "country"
        missing = {value = "??"}
        """
    )
    workspace.events(
        [{"amount": 2.0, "n": 2**53 + number, "country": ["NO", "SE", None][number % 3]} for number in range(9)]
    )
    report = workspace.export()
    assert report.scored_events == 9
    scored = Scorer.load(workspace.to).score_events([{"amount": 1, "n": 2**53 + 1, "country": "NO"}])
    assert scored.score.tolist() == [0.5 + 0.25 * ((2**53 + 1) % 10) + 1]


def test_text_features_have_golden_events_of_their_own(workspace: Workspace) -> None:
    workspace.model(zoo.mixed_inputs())
    workspace.features(
        'inputs = [{name="amount", features=["a"]}, {name="count", features=["n"]}, {name="country", features=["c"]}]'
    )
    workspace.events([{"a": 1.0, "n": 1, "c": "NO"}])
    decoded = Scorer.load(workspace.bundle().source).decode(workspace.bundle().golden_events().records())
    assert "stream_infer unseen category" in decoded.inputs["country"][:, 0].tolist()


def test_a_multi_class_model(workspace: Workspace) -> None:
    matrix(workspace, zoo.multi_class())
    bundle = workspace.bundle(score="probabilities:2", classes=["a", "b", "c", "d"])
    assert bundle.manifest.multi_class
    scored = Scorer.load(workspace.to).score_events(MATRIX_EVENTS)
    assert scored.probabilities is not None
    np.testing.assert_array_equal(scored.score, scored.probabilities[:, 2])


def test_a_fixed_batch_is_exported_when_its_rows_are_right(workspace: Workspace) -> None:
    matrix(workspace, zoo.linear(batch=4))
    workspace.export()
    cells = np.array([list(event.values()) for event in MATRIX_EVENTS], np.float32)
    scored = Scorer.load(workspace.to).score_matrix(cells)
    np.testing.assert_allclose(scored.score, zoo.direct(zoo.linear(), "score", {"X": cells})[:, 0], rtol=1e-6)


def test_rejected_sample_events_are_counted(workspace: Workspace) -> None:
    workspace.features('features = ["amount", {path="geo.lat", missing="error"}, {path="category", categories=["x"]}]')
    report = workspace.export()
    assert report.rejected == {"missing_feature": 9}
    reasons = Scorer.load(workspace.to).bundle.golden_answers().reasons
    assert "missing_feature" in reasons


def test_an_event_on_which_the_model_fails_is_a_golden_event_with_that_reason(workspace: Workspace) -> None:
    matrix(workspace, zoo.fails_on_large())
    workspace.events([{"a": float(number), "b": 0.0, "c": 0.0} for number in range(9)])
    workspace.export()
    scorer = Scorer.load(workspace.to)
    assert "model_failed" in scorer.bundle.golden_answers().reasons
    assert scorer.score_events([{"a": 99.0, "b": 0, "c": 0}]).status.tolist() == [Status.MODEL_FAILED]


# --- refusals ---


def untouched(workspace: Workspace) -> None:
    """The files are right; the options are not."""


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (lambda w: (w.root / "model.onnx").unlink(), {}, r"model.onnx cannot be read: No such file"),
        (lambda w: w.model(b"not a model"), {}, r"model.onnx is not an ONNX model"),
        (lambda w: w.features("features = ["), {}, "features.toml is not valid TOML"),
        (lambda w: w.features("features = [1]"), {}, r"not a feature list: .*features\[0\]"),
        (lambda w: w.features('features = [{path="amount", mising="nan"}]'), {}, "mising"),
        (lambda w: w.features(""), {}, "needs either a list `features`"),
        (lambda w: w.features("features = [{}]"), {}, "has no path"),
        (lambda w: w.features('features = ["amount"]'), {}, r"takes 3 cells a row, but its features fill 1"),
        (
            lambda w: w.features('features = ["amont", "geo.lat", "geo.lat2"]'),
            {},
            r"no field 'amont'; did you mean 'amount'\?.*'geo.lat2'; did you mean 'geo.lat'",
        ),
        (lambda w: w.features('features = ["amount", "lat", "id"]'), {}, r"did you mean 'geo.lat'\?"),
        (lambda w: w.features('features = ["amount", "geo.lat", "category"]'), {}, "list its `categories`"),
        (lambda w: w.features('features = ["amount", "geo.lat", "geo"]'), {}, "name a field inside it"),
        (
            lambda w: w.features('features = ["geo.lat", "amount", {path="amount", scale=2}]'),
            {},
            "feature 'amount' is listed more than once",
        ),
        (
            lambda w: w.features('features = ["geo.lat", {name="n", path="amount", categories=["a"]}, "amount"]'),
            {},
            "take a string or an enum",
        ),
        (
            lambda w: w.features('[[inputs]]\nname="Y"\nfeatures=["amount", "geo.lat", "amount"]'),
            {},
            "the graph's inputs are X, the feature list fills Y",
        ),
        (
            lambda w: w.features('[[inputs]]\nname="X"\ndtype="int64"\nfeatures=["amount"]'),
            {},
            "is float32 in the graph, but int64 in the feature list",
        ),
        (lambda w: w.events([]), {}, "holds no event"),
        (lambda w: w.events([1]), {}, "line 1: not a JSON object"),
        (untouched, {"events": "events.csv"}, "no known kind"),
        (untouched, {"events": "absent.avro"}, "cannot be read"),
        (lambda w: (w.root / "bad.avro").write_bytes(b"x"), {"events": "bad.avro"}, "not a readable Avro container"),
        (lambda w: (w.root / "bad.parquet").write_bytes(b"x"), {"events": "bad.parquet"}, "not a readable Parquet"),
        (untouched, {"score": "nothing"}, "there is no output 'nothing'; the graph's are label, probabilities"),
        (untouched, {"score": "label"}, r"output 'label' is tensor\(int64\): a score is a float"),
        (untouched, {"score": "probabilities:7"}, "has no column 7"),
        (untouched, {"classes": ["a"]}, "1 classes are named"),
        (untouched, {"name": "no/name"}, "does not name a model"),
        (untouched, {"threshold": float("nan")}, "the threshold is not finite"),
        (lambda w: w.model(zoo.trees(zipmap=True)), {}, r"ZipMap.*'zipmap': False"),
        (lambda w: w.model(zoo.trees(zipmap=True)), {"score": "probabilities"}, r"'zipmap': False"),
        (lambda w: matrix(w, zoo.multi_class()), {}, r"has 4 columns; say which is the score: probabilities:COLUMN"),
        (lambda w: matrix(w, zoo.mean_of_batch()), {}, "without a reduction over the batch"),
        (lambda w: matrix(w, zoo.minus_mean_of_batch()), {}, "depends on the events beside it"),
        (lambda w: w.model(zoo.draws_at_random()), {}, "not reproducible"),
    ],
)
def test_each_refusal_says_why_and_leaves_no_file(
    workspace: Workspace, prepare: Make, options: dict[str, Any], message: str
) -> None:
    prepare(workspace)
    with pytest.raises(ExportRefused, match=message):
        workspace.export(**options)
    assert list(workspace.to.parent.iterdir()) == []


def test_a_sample_that_is_rejected_as_a_whole_is_refused(workspace: Workspace) -> None:
    workspace.features(FEATURES.replace('"amount"', '{path = "amount", offset = 1e308, scale = 10}'))
    with pytest.raises(ExportRefused, match="every event of the sample is rejected"):
        workspace.export()


def test_a_model_that_fails_on_the_sample_is_refused(workspace: Workspace) -> None:
    matrix(workspace, zoo.fails_on_large())
    workspace.events([{"a": 99.0, "b": 0.0, "c": 0.0}])
    with pytest.raises(ExportRefused, match="the model fails on events of the sample"):
        workspace.export()


def test_an_existing_directory_is_not_replaced(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="exists already"):
        export_onnx(
            workspace.root / "model.onnx",
            workspace.root / "features.toml",
            workspace.root / "events.jsonl",
            workspace.to.parent,
            name="fraud",
        )


def test_without_the_onnx_package_the_remedy_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportRefused, match=r"pip install 'stream-infer\[export\]'"):
        workspace.export()


def test_tensors_in_other_files_are_taken_in(workspace: Workspace) -> None:
    matrix(workspace, zoo.perceptron())
    proto = onnx.load(workspace.root / "model.onnx")
    onnx.save(proto, workspace.root / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (workspace.root / "w.bin").exists()
    bundle = workspace.bundle()
    assert isinstance(bundle.model, bytes)


def test_the_report_is_plain_data(workspace: Workspace) -> None:
    report = dataclasses.asdict(workspace.export())
    assert json.loads(json.dumps(report, default=str))["name"] == "fraud"
    assert isinstance(report["path"], Path)


def test_contrib_operators_need_a_word(workspace: Workspace) -> None:
    given, answer = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", columns])
        for name, columns in (("X", 3), ("score", 1))
    )
    nodes = [
        onnx.helper.make_node("Gelu", ["X"], ["soft"], domain="com.microsoft"),
        onnx.helper.make_node("ReduceMean", ["soft"], ["score"], axes=[1], keepdims=1),
    ]
    imports = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    graph = onnx.helper.make_graph(nodes, "g", [given], [answer])
    matrix(workspace, onnx.helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())
    with pytest.raises(ExportRefused, match=r"com\.microsoft\.Gelu"):
        workspace.export()
    assert workspace.bundle(contrib_ops=True).manifest.graph.contrib_ops
    assert Scorer.load(workspace.to).score_events(MATRIX_EVENTS).score.shape == (50,)

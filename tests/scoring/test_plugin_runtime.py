"""A plug-in is believed nothing; a bundle of one is proven, served and refused like any other."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stream_infer.bundle import ModelBundle
from stream_infer.bundle.manifest import InputSpec, OutputSpec, encode_manifest, parse_manifest
from stream_infer.cli import main
from stream_infer.errors import ExportRefused, ModelFailure, ModelLoadError, SignatureMismatch
from stream_infer.export import export_runtime
from stream_infer.scoring import Scorer, open_model, plugin_runtime
from stream_infer.scoring.plugin_runtime import ModelArtifact, PluginRuntime, load_entry_point
from stream_infer.testing.conformance import check_runtime, golden_inputs
from stream_infer.testing.payments import PaymentStream
from stream_infer.types import Status

EXAMPLE = Path(__file__).parents[2] / "examples/function_runtime"
Inputs = Mapping[str, npt.NDArray[Any]]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs entry points, as name and module:function; several of a name may be given."""

    def install(*plugins: tuple[str, str]) -> None:
        def found(group: str, name: str | None = None) -> list[EntryPoint]:
            return [EntryPoint(known, value, group) for known, value in plugins if name in (None, known)]

        monkeypatch.setattr(plugin_runtime, "entry_points", found)

    return install


@pytest.fixture
def bundle_of_points(installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The example's bundle, with the example's plug-in installed."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    installed(("points", "function_runtime:load"))
    events = tmp_path / "payments.jsonl"
    events.write_bytes(b"\n".join(PaymentStream(seed=1).columns(300).to_json()))
    importlib.import_module("make_bundle").make_bundle(events, tmp_path / "points-1.bundle.jar")
    return tmp_path / "points-1.bundle.jar"


def test_the_example_passes_the_conformance_check(bundle_of_points: Path) -> None:
    bundle = ModelBundle.load(bundle_of_points)
    runtime = open_model(bundle, warm_up_sizes=(1, 64))
    assert runtime.engine == "runtime points"
    check_runtime(runtime, golden_inputs(bundle))


def test_the_example_scores_events_as_its_function_says(bundle_of_points: Path) -> None:
    scorer = Scorer.load(bundle_of_points)
    events = PaymentStream(seed=9).columns(500).to_dicts()
    rules = json.loads(ModelBundle.load(bundle_of_points).files["points.json"])
    expected = [sum(rule["points"] for name, rule in rules.items() if event[name] > rule["above"]) for event in events]
    assert np.array_equal(scorer.score_events(events).score, np.array(expected, np.float32))
    assert max(expected) > 0


def test_inspect_says_that_it_runs_in_python_only(bundle_of_points: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", str(bundle_of_points)]) == 0
    assert "not exportable: runs in Python only, by runtime points" in capsys.readouterr().out
    assert main(["bundle", "verify", str(bundle_of_points)]) == 0
    assert "golden events agree" in capsys.readouterr().out


def test_a_plug_in_that_is_not_installed_is_named(bundle_of_points: Path, installed: Callable[..., None]) -> None:
    installed(("other", "json:loads"))
    with pytest.raises(ModelLoadError, match=r"the runtime 'points', which is not installed here.*\(here are: other\)"):
        Scorer.load(bundle_of_points)


def test_a_plug_in_that_answers_otherwise_than_at_export_is_refused(
    bundle_of_points: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("function_runtime"), "score", lambda _row, _limits: 0.5)
    with pytest.raises(ModelLoadError, match=r"golden row 0 has score 0\.5"):
        Scorer.load(bundle_of_points)


def test_providers_are_not_for_plug_ins(bundle_of_points: Path) -> None:
    with pytest.raises(ModelLoadError, match="this model runs in 'points'; leave them out"):
        open_model(ModelBundle.load(bundle_of_points), providers=["CUDAExecutionProvider"])


def test_a_manifest_has_either_a_graph_or_a_plug_in(bundle_of_points: Path) -> None:
    manifest = ModelBundle.load(bundle_of_points).manifest
    assert manifest.format_version == "1.1"
    content = json.loads(encode_manifest(manifest))
    del content["runtime"]
    with pytest.raises(ModelLoadError, match="either 'onnx' or 'runtime'"):
        parse_manifest(json.dumps(content).encode(), "test")


def test_a_name_that_two_packages_bring_is_refused(installed: Callable[..., None]) -> None:
    installed(("points", "json:loads"), ("points", "json:dumps"))
    with pytest.raises(ModelLoadError, match="several packages bring a runtime 'points'"):
        load_entry_point("points")


def test_a_plug_in_that_cannot_be_imported_is_refused(installed: Callable[..., None]) -> None:
    installed(("points", "no_such_module_anywhere:load"))
    with pytest.raises(ModelLoadError, match="cannot be imported: ModuleNotFoundError"):
        load_entry_point("points")


ARTIFACT = ModelArtifact({}, (InputSpec("X", "float32", (-1, 2), ()),), OutputSpec("score", "float32", (-1,), "score"))
CELLS = {"X": np.arange(8, dtype=np.float32).reshape(4, 2)}


def serving(predict: Callable[[Inputs], Any]) -> PluginRuntime:
    return PluginRuntime("test", lambda _artifact: predict, ARTIFACT)


def first_column(inputs: Inputs) -> npt.NDArray[Any]:
    return inputs["X"][:, 0].copy()


def fail(_artifact: ModelArtifact) -> Any:
    raise OSError("no such weights\nsecond line")


def test_a_model_that_cannot_be_opened_is_refused_in_one_line() -> None:
    with pytest.raises(ModelLoadError) as caught:
        PluginRuntime("test", fail, ARTIFACT)
    assert str(caught.value) == "runtime test cannot open the model: OSError: no such weights"


def test_a_failure_is_a_model_failure_without_its_words() -> None:
    def refuse(inputs: Inputs) -> npt.NDArray[Any]:
        raise ValueError(f"bad value {inputs['X'][0, 0]}")

    with pytest.raises(ModelFailure, match=r"^runtime test failed with ValueError$"):
        serving(refuse).run(CELLS)
    check_runtime(serving(first_column), CELLS)


def test_a_plug_in_cannot_change_its_inputs() -> None:
    def spoil(inputs: Inputs) -> npt.NDArray[Any]:
        inputs["X"][:] = 0
        return inputs["X"][:, 0]

    with pytest.raises(ModelFailure, match="ValueError"):
        serving(spoil).run(CELLS)
    assert CELLS["X"][3, 1] == 7


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([1.0] * 4, "with a list instead of a numpy array"),
        (np.zeros(3, np.float32), r"float32 of shape \[3\] for 4 rows"),
        (np.zeros((4, 1), np.float32), r"float32 of shape \[4, 1\]"),
        (np.zeros(4), "float64 of shape"),
    ],
)
def test_an_answer_of_another_form_is_refused(answer: Any, said: str) -> None:
    with pytest.raises(SignatureMismatch, match=said):
        serving(lambda _inputs: answer).run(CELLS)


def test_the_check_finds_a_buffer_that_is_used_again() -> None:
    buffer = np.zeros(4, np.float32)

    def reuse(inputs: Inputs) -> npt.NDArray[Any]:
        rows = inputs["X"][:, 0]
        buffer[: len(rows)] = rows
        return buffer[: len(rows)]

    check_runtime(serving(reuse), CELLS)  # answers are copied


def test_the_check_finds_a_score_that_depends_on_its_neighbours() -> None:
    def centred(inputs: Inputs) -> npt.NDArray[Any]:
        column: npt.NDArray[Any] = inputs["X"][:, 0]
        return np.asarray(column - column.mean())

    with pytest.raises(AssertionError, match="neighbours"):
        check_runtime(serving(centred), CELLS)


def test_the_check_wants_a_model_failure_where_inputs_cannot_be_scored() -> None:
    with pytest.raises(AssertionError, match="inputs that cannot be scored are a ModelFailure"):
        check_runtime(serving(first_column), CELLS, failing=CELLS)


def test_export_refuses_a_score_that_depends_on_the_batch(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "leaky.py").write_text(
        "def load(artifact):\n    return lambda inputs: inputs['X'][:, 0] * 0 + len(inputs['X'])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(("leaky", "leaky:load"))
    (tmp_path / "features.toml").write_text('features = ["amount"]')
    (tmp_path / "events.jsonl").write_text("\n".join(json.dumps({"amount": float(n)}) for n in range(40)))
    places = (tmp_path / "features.toml", tmp_path / "events.jsonl", tmp_path / "leaky-1.bundle.jar")
    with pytest.raises(ExportRefused, match="a score depends on the rows beside it"):
        export_runtime("leaky", {"w": b"1"}, *places, name="leaky", version="1")
    assert not places[2].exists()


def test_an_event_that_the_plug_in_fails_on_costs_nobody_else_his_score(bundle_of_points: Path) -> None:
    scorer = Scorer.load(bundle_of_points)
    whole = scorer._runtime

    class Picky:
        def run(self, inputs: Inputs) -> npt.NDArray[Any]:
            if (inputs["X"][:, 0] == 13).any():
                raise ModelFailure("runtime points failed with ValueError")
            return whole.run(inputs)

    picky = Scorer(scorer.bundle, scorer._decoder, Picky())  # type: ignore[arg-type]
    scored = picky.score_events([{"amount": amount} for amount in (1.0, 13.0, 900.0)])
    assert [Status(status).reason for status in scored.status] == ["ok", "model_failed", "ok"]

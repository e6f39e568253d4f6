"""Trees in the kernel: every rule as in ONNX Runtime to the last bit, and all that has no rule stays there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from stream_infer.bundle.manifest import InputSpec, OutputSpec
from stream_infer.errors import ModelFailure, ScoreTimeout
from stream_infer.kernels import trees
from stream_infer.scoring import onnx_runtime, open_model, tree_proof, tree_runtime
from stream_infer.scoring.onnx_runtime import CPU, OnnxRuntime, open_session
from stream_infer.scoring.tree_proof import ModelRuntime, with_tree_kernel
from stream_infer.scoring.tree_runtime import TreeRuntime
from stream_infer.scoring.tree_tables import TreeTables, build_tables
from stream_infer.scoring.wide_tables import WideTables, widen
from tests.scoring import tree_models, zoo
from tests.scoring.bundles import PROBABILITIES, matrix_bundle, matrix_input, rows
from tests.scoring.tree_models import COMPARE, Forest, Leaf, Split, stump

WIDTH = 3
FLOATS = ("X", zoo.FLOAT, ["n", WIDTH])


def serve(model: bytes, columns: int, output: str = "scores") -> tuple[OnnxRuntime, ModelRuntime]:
    """ONNX Runtime, and what serves a model of the input ``X``."""
    spec = OutputSpec(output, "float32", (-1, columns), "score")
    reference, whole = (OnnxRuntime(model, [matrix_input(WIDTH)], spec) for _ in range(2))
    return reference, with_tree_kernel(model, whole, {"X": rows(width=WIDTH)})


def serve_forest(forest: Forest) -> tuple[OnnxRuntime, ModelRuntime]:
    return serve(forest.model(WIDTH), forest.classes or forest.targets)


def in_kernel(forest: Forest) -> TreeRuntime:
    served = serve_forest(forest)[1]
    assert isinstance(served, TreeRuntime), served.remark
    return served


# --- every rule ---

MODES = tuple(COMPARE)
TRANSFORMS = st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX"])
BASE = st.floats(-2, 2, width=32).map(lambda value: value + 0.0)  # zeros of one sign only


def several(targets: st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy[list[tree_models.Tree]]:
    return st.lists(tree_models.trees(WIDTH, targets, MODES), min_size=1, max_size=5)


def bases(count: int) -> st.SearchStrategy[list[float]]:
    return st.just([]) | st.lists(BASE, min_size=count, max_size=count)


ONE = several(st.just((0,)))
BOTH = several(st.just((0, 1)))
ALL = several(st.just((0, 1, 2)))
SOME = several(st.sampled_from([(0,), (1,), (2,), (0, 1, 2), (2, 0)]))
COVERED = st.one_of(
    st.builds(Forest, ONE, base=bases(1), average=st.booleans()),
    st.builds(Forest, SOME, st.just(3), average=st.booleans(), transform=TRANSFORMS),
    st.builds(Forest, ALL, st.just(3), base=bases(3), average=st.booleans(), transform=TRANSFORMS),
    st.builds(Forest, ONE, classes=st.just(2), base=bases(1), transform=TRANSFORMS),
    st.builds(Forest, BOTH, classes=st.just(2), transform=TRANSFORMS),
    st.builds(Forest, SOME, classes=st.just(3), base=bases(3), transform=TRANSFORMS),
)
CELLS = st.lists(st.tuples(*[tree_models.CELLS] * WIDTH), min_size=1, max_size=40).map(
    lambda drawn: np.array(drawn, np.float32)
)


@settings(deadline=None, max_examples=80)
@given(forest=COVERED, cells=CELLS)
def test_what_is_covered_is_equal_to_the_last_bit(forest: Forest, cells: npt.NDArray[np.float32]) -> None:
    reference, served = serve_forest(forest)
    assert isinstance(served, TreeRuntime), served.remark
    np.testing.assert_array_equal(bits(served.run({"X": cells})), bits(reference.run({"X": cells})), strict=True)


def bits(scores: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    return scores.view(np.int32)


def test_weights_that_are_all_positive_are_probabilities_already() -> None:
    served = in_kernel(Forest([stump(0.125, 0.75)], classes=2, transform="SOFTMAX"))
    cells = np.array([[0.5, 0, 0], [0.75, 0, 0]], np.float32)
    assert served.run({"X": cells}).tolist() == [[0.875, 0.125], [0.25, 0.75]]


# --- all else ---


def with_sub_graph() -> bytes:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Identity", ["raw"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, zoo.FLOAT, None)],
        )
        for name in ("then", "else")
    }
    nodes = [
        Forest([stump()]).node(scores="raw"),
        helper.make_node("ReduceSum", ["raw"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["scores"], **branches),
    ]
    return zoo.model(nodes, [FLOATS], [("scores", zoo.FLOAT, ["n", 1])])


def of_two_ensembles() -> bytes:
    forest = Forest([stump()])
    nodes = [forest.node(scores="a"), forest.node(scores="b"), helper.make_node("Add", ["a", "b"], ["scores"])]
    return zoo.model(nodes, [FLOATS], [("scores", zoo.FLOAT, ["n", 1])])


def reading_cells_after_the_trees() -> bytes:
    nodes = [Forest([stump()]).node(scores="raw"), helper.make_node("Add", ["raw", "X"], ["scores"])]
    return zoo.model(nodes, [FLOATS], [("scores", zoo.FLOAT, ["n", WIDTH])])


def of_the_label() -> bytes:
    nodes = [
        Forest([stump()], classes=2).node(scores="raw"),
        helper.make_node("Cast", ["label"], ["float"], to=zoo.FLOAT),
        helper.make_node("Reshape", ["float", "column"], ["scores"]),
    ]
    return zoo.model(nodes, [FLOATS], [("scores", zoo.FLOAT, ["n", 1])], {"column": np.array([-1, 1])})


REFUSED: dict[str, tuple[Forest, str]] = {
    "mode": (Forest([stump(mode="BRANCH_EQ")]), "nodes of mode BRANCH_EQ"),
    "transform": (Forest([stump()], transform="PROBIT"), "post_transform is PROBIT"),
    "one target's transform": (Forest([stump()], transform="SOFTMAX"), "post_transform of one target is SOFTMAX"),
    "aggregate": (Forest([stump()], extra={"aggregate_function": "MAX"}), "put together by MAX"),
    "base values of one class": (Forest([stump()], classes=2, base=[0.5, 0.5]), "2 base values for two classes"),
    "base values of two classes": (
        Forest([Split(0, "BRANCH_LT", 0.0, False, *[Leaf({0: 1.0, 1: -1.0})] * 2)], classes=2, base=[0.5, 0.5]),
        "2 base values for two classes",
    ),
    "second class": (
        Forest([Split(0, "BRANCH_LT", 0.0, False, Leaf({0: 1.0}), Leaf({1: 1.0}))], classes=2),
        "no weight for the second class",
    ),
    "base value of a target": (
        Forest([stump(), Leaf({2: 1.0})], targets=3, base=[1.0, 2.0, 0.0]),
        "no weight for a target with a base value",
    ),
    "threshold": (Forest([Split(0, "BRANCH_LT", float("nan"), False, stump(), stump())]), "threshold is NaN"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_rule_that_the_kernel_does_not_have_stays_in_onnx_runtime(name: str) -> None:
    forest, reason = REFUSED[name]
    served = serve_forest(forest)[1]
    assert isinstance(served, OnnxRuntime)
    assert reason in served.remark
    assert served.remark.startswith("the model runs in ONNX Runtime: ")
    assert served.run({"X": rows(width=WIDTH)}).shape == (20, forest.classes or forest.targets)


@pytest.mark.parametrize(
    ("model", "columns", "reason"),
    [
        (of_two_ensembles, 1, "2 tree ensembles"),
        (reading_cells_after_the_trees, WIDTH, "reads 'X' as well"),
        (of_the_label, 1, "reads 'X' as well"),
        (with_sub_graph, 1, "If holds a graph of its own"),
    ],
)
def test_a_graph_that_cannot_be_taken_apart_stays_in_onnx_runtime(
    model: Callable[[], bytes], columns: int, reason: str
) -> None:
    served = serve(model(), columns)[1]
    assert isinstance(served, OnnxRuntime)
    assert reason in served.remark


def test_other_numbers_than_float32_stay_in_onnx_runtime() -> None:
    model = zoo.model([Forest([stump()]).node()], [("X", zoo.DOUBLE, ["n", WIDTH])], [("scores", zoo.FLOAT, ["n", 1])])
    spec = InputSpec("X", "float64", (-1, WIDTH), matrix_input(WIDTH).features)
    whole = OnnxRuntime(model, [spec], OutputSpec("scores", "float32", (-1, 1), "score"))
    served = with_tree_kernel(model, whole, {"X": rows(width=WIDTH).astype(np.float64)})
    assert "read float64" in served.remark


def test_tensors_in_other_files_stay_in_onnx_runtime(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(Forest([stump()]).model(WIDTH))
    whole = OnnxRuntime(path, [matrix_input(WIDTH)], OutputSpec("scores", "float32", (-1, 1), "score"))
    assert "other files" in with_tree_kernel(path, whole, {"X": rows(width=WIDTH)}).remark


# --- the proof ---


def nudged(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same but for the last bit of the last one."""
    changed = values.copy()
    changed.flat[-1] = np.nextafter(changed.flat[-1], np.float32(np.inf))
    return changed


def one_key(tables: TreeTables, by: int) -> TreeTables:
    keys = tables.keys.copy()
    keys[np.flatnonzero(keys != trees.HIGHEST_KEY)[-1]] += by
    return tables._replace(keys=keys)


WRONG: Mapping[str, Callable[[TreeTables], TreeTables]] = {
    "a threshold is one float too high": lambda tables: one_key(tables, 1),
    "a threshold is one float too low": lambda tables: one_key(tables, -1),
    "missing values go to the other side": lambda tables: tables._replace(
        slots=(tables.slots + np.uint32(WIDTH * trees.LANES)) % np.uint32(2 * WIDTH * trees.LANES)
    ),
    "the last bit of a weight": lambda tables: tables._replace(weights=nudged(tables.weights)),
    "the last bit of the base": lambda tables: tables._replace(base=nudged(tables.base)),
    "a tree is not walked to its end": lambda tables: tables._replace(depths=np.maximum(tables.depths, 1) - 1),
    "no average": lambda tables: tables._replace(divisor=np.float32(1)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_proof_notices(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forest = Forest(
        [Split(2, "BRANCH_LEQ", 0.25, True, stump(), stump(0.1, 0.2)), stump(0.3)], base=[0.5], average=True
    )
    assert in_kernel(forest).remark.startswith("the model's trees (2) run in the tree kernel")
    monkeypatch.setattr(tree_proof, "build_tables", lambda *arguments: WRONG[wrong](build_tables(*arguments)))
    served = serve_forest(forest)[1]
    assert isinstance(served, OnnxRuntime)
    assert "rows differently" in served.remark


def test_a_model_that_fails_on_proof_rows_stays_in_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> None:
        raise ModelFailure("the model failed with Fail")

    monkeypatch.setattr(OnnxRuntime, "run", fail)
    assert "cannot be compared (the model failed with Fail)" in serve_forest(Forest([stump()]))[1].remark


# --- parts around the trees ---


FILL: dict[str, Any] = {"imputed_value_floats": [0.5], "replaced_value_float": float("nan")}


def with_surroundings() -> bytes:
    """Centred and imputed cells before the trees, a column picked and squared after them."""
    nodes = [
        helper.make_node("Sub", ["X", "means"], ["centred"]),
        helper.make_node("Imputer", ["centred"], ["cells"], domain="ai.onnx.ml", **FILL),
        Forest([stump(), stump(-0.5, 0.25)], classes=2, transform="LOGISTIC").node("cells", "raw"),
        helper.make_node("Gather", ["raw", "second"], ["column"], axis=1),
        helper.make_node("Mul", ["column", "column"], ["scores"]),
    ]
    constants: dict[str, npt.NDArray[Any]] = {"means": np.array([0.1, -0.2, 0.3], np.float32), "second": np.array([1])}
    return zoo.model(nodes, [FLOATS], [("scores", zoo.FLOAT, ["n", 1])], constants)


@pytest.mark.parametrize("count", [0, 1, 2, 77])
def test_what_stands_around_the_trees_runs_in_onnx_runtime(count: int) -> None:
    reference, served = serve(with_surroundings(), 1)
    assert served.engine == "tree kernel"
    assert "what stands before and after them runs in ONNX Runtime" in served.remark
    cells = rows(count, WIDTH)
    cells[::3, 0] = np.nan
    np.testing.assert_array_equal(served.run({"X": cells}), reference.run({"X": cells}), strict=True)
    served.close()


def test_what_stands_around_the_trees_is_given_the_models_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = ("AzureExecutionProvider", "CPUExecutionProvider")
    spec = OutputSpec("scores", "float32", (-1, 1), "score")
    whole = OnnxRuntime(with_surroundings(), [matrix_input(WIDTH)], spec, providers=providers)
    asked: list[Sequence[str]] = []

    def opened(model: bytes | Path, providers: Sequence[str] = CPU) -> Any:
        asked.append(providers)
        return open_session(model, providers)

    for module in (onnx_runtime, tree_proof):
        monkeypatch.setattr(module, "open_session", opened)
    assert with_tree_kernel(with_surroundings(), whole, {"X": rows(width=WIDTH)}).engine == "tree kernel"
    assert len(asked) >= 4  # what is before (first for its width), what is after, and all from the trees on
    assert set(asked) == {providers}


def test_a_failure_before_the_trees_is_a_model_failure() -> None:
    served = serve(with_surroundings(), 1)[1]
    with pytest.raises(ModelFailure, match="the model failed with"):
        served.run({"X": rows(4, WIDTH).astype(np.float64)})


DEEP = Split(1, "BRANCH_LEQ", 0.5, False, Split(1, "BRANCH_LEQ", 0.25, True, stump(), Leaf({0: 4.0})), Leaf({0: 5.0}))

WRONG_WIDE: Mapping[str, Callable[[WideTables], WideTables]] = {
    "a leaf too many is left": lambda wide: wide._replace(masks=wide.masks | 1),
    "the last bit of a weight": lambda wide: wide._replace(weights=nudged(wide.weights)),
    "missing values go to the other side": lambda wide: wide._replace(
        slots=(wide.slots + np.uint32(WIDTH * trees.WIDE_LANES)) % np.uint32(2 * WIDTH * trees.WIDE_LANES)
    ),
}


@pytest.mark.parametrize("wrong", WRONG_WIDE)
def test_the_proof_notices_in_wide_tables(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def widen_wrongly(tables: TreeTables) -> WideTables:
        wide = widen(tables)
        assert wide is not None
        return WRONG_WIDE[wrong](wide)

    assert in_kernel(Forest([DEEP])).remark.startswith("the model's trees (1) run in the tree kernel")
    monkeypatch.setattr(tree_proof, "widen", widen_wrongly)
    served = serve_forest(Forest([DEEP]))[1]
    assert isinstance(served, OnnxRuntime)
    assert "rows differently" in served.remark


def test_the_proof_notices_in_lock_step_where_many_rows_are_asked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_proof, "widen", lambda tables: widen(tables._replace(depths=tables.depths + 1)))
    monkeypatch.setattr(
        tree_proof,
        "build_tables",
        lambda *arguments: WRONG["a tree is not walked to its end"](build_tables(*arguments)),
    )
    assert "rows differently" in serve_forest(Forest([DEEP]))[1].remark


@pytest.mark.parametrize("count", [1, 39, 40, 64, 65, 103, 104, 128, 200])
def test_any_number_of_rows_is_scored_as_one_by_one(count: int) -> None:
    served = in_kernel(Forest([DEEP, stump()]))
    cells = rows(count, WIDTH)
    alone = np.concatenate([served.run({"X": cells[at : at + 1]}) for at in range(count)])
    np.testing.assert_array_equal(bits(served.run({"X": cells})), bits(alone))


# --- as a runtime ---


def test_cells_of_another_type_are_a_model_failure() -> None:
    with pytest.raises(ModelFailure, match="read float32, not float64"):
        in_kernel(Forest([stump()])).run({"X": rows(4, WIDTH).astype(np.float64)})


def test_cells_may_be_read_only_strided_or_absent() -> None:
    served = in_kernel(Forest([stump()]))
    compiled = len(trees.score.signatures)  # type: ignore[attr-defined]  # numba's dispatcher
    cells = rows(10, WIDTH)
    expected = served.run({"X": cells})
    cells.flags.writeable = False
    np.testing.assert_array_equal(served.run({"X": cells}), expected)
    np.testing.assert_array_equal(served.run({"X": np.asfortranarray(cells)}), expected)
    assert served.run({"X": cells[:0]}).shape == (0, 1)
    assert len(trees.score.signatures) == compiled  # type: ignore[attr-defined]  # numba's dispatcher


def test_stop_ends_a_running_call_between_two_parts_and_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_runtime, "STEPS_PER_CALL", 2 * trees.LANES)
    served = in_kernel(Forest([stump()]))
    walked: list[int] = []
    score = trees.score

    def interrupted(cells: Any, *arguments: Any) -> None:
        walked.append(len(cells))
        score(cells, *arguments)
        served.stop()

    served.stop()
    with monkeypatch.context() as patched:
        patched.setattr(trees, "score", interrupted)
        with pytest.raises(ScoreTimeout, match="between two parts"):
            served.run({"X": rows(100, WIDTH)})
    assert walked == [trees.LANES]
    assert served.run({"X": rows(100, WIDTH)}).shape == (100, 1)


def test_several_threads_get_their_own_answers() -> None:
    served = in_kernel(Forest([stump(), Split(1, "BRANCH_GTE", 0.0, True, stump(), Leaf({0: 0.5}))]))
    batches = [rows(500, WIDTH, seed=seed) for seed in range(8)]
    expected = [served.run({"X": batch}) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: served.run({"X": batch}), batches * 4))
    for answer, wanted in zip(found, expected * 4, strict=True):
        np.testing.assert_array_equal(answer, wanted)


# --- where models are opened ---


def test_a_bundle_of_trees_is_opened_in_the_kernel() -> None:
    runtime = open_model(matrix_bundle(zoo.trees(), output=PROBABILITIES, column=1, classes=(0, 1)))
    assert runtime.engine == "tree kernel"
    assert "(20)" in runtime.remark


def test_any_other_bundle_is_opened_in_onnx_runtime() -> None:
    runtime = open_model(matrix_bundle(zoo.linear()))
    assert runtime.engine == "ONNX Runtime"
    assert runtime.remark == "the model runs in ONNX Runtime: its score comes from no tree ensemble"


def test_with_other_providers_trees_stay_in_the_kernel_that_answers_as_they_do() -> None:
    bundle = matrix_bundle(zoo.trees(), output=PROBABILITIES, column=1, classes=(0, 1))
    assert open_model(bundle, providers=["AzureExecutionProvider", "CPUExecutionProvider"]).engine == "tree kernel"

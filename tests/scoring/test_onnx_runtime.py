"""The runtime's rules: one row never runs alone, fixed batches are padded, calls can be stopped, errors are named."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from onnx import helper

from stream_infer.bundle.manifest import FeatureSpec, InputSpec, OutputSpec
from stream_infer.errors import ModelFailure, ModelLoadError, ScoreTimeout, SignatureMismatch
from stream_infer.scoring import OnnxRuntime
from stream_infer.scoring import onnx_runtime as module
from tests.scoring import zoo
from tests.scoring.bundles import PROBABILITIES, SCORE, matrix_input, rows

MODELS = [
    (zoo.linear(), SCORE),
    (zoo.linear(squeeze=True), OutputSpec("score", "float32", (-1,), "score")),
    (zoo.trees(), PROBABILITIES),
    (zoo.perceptron(), SCORE),
    (zoo.multi_class(), OutputSpec("probabilities", "float32", (-1, 4), "probabilities")),
]
IDS = ["linear", "squeezed", "trees", "perceptron", "multi_class"]


def runtime(model: bytes, output: OutputSpec = SCORE, width: int = 3) -> OnnxRuntime:
    return OnnxRuntime(model, [matrix_input(width)], output)


@pytest.mark.parametrize(("model", "output"), MODELS, ids=IDS)
@pytest.mark.parametrize("count", [2, 3, 7, 64, 500])
def test_answers_are_a_plain_sessions_bit_for_bit(model: bytes, output: OutputSpec, count: int) -> None:
    cells = rows(count)
    cells[::5, 1] = np.nan
    answer = runtime(model, output).run({"X": cells})
    np.testing.assert_array_equal(answer, zoo.direct(model, output.name, {"X": cells}))


@pytest.mark.parametrize(("model", "output"), MODELS, ids=IDS)
def test_a_single_row_answers_as_it_does_among_others(model: bytes, output: OutputSpec) -> None:
    cells = rows(9)
    session = runtime(model, output)
    together = session.run({"X": cells})
    for row in range(9):
        np.testing.assert_array_equal(session.run({"X": cells[row : row + 1]})[0], together[row])


def test_a_single_row_is_run_as_two() -> None:
    assert runtime(zoo.rows_of_call(), width=1).run({"X": rows(1, 1)}).tolist() == [[2.0]]


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 8, 11])
def test_a_fixed_batch_is_padded_and_cut(batch: int, count: int) -> None:
    cells = rows(count)
    answer = runtime(zoo.linear(batch=batch)).run({"X": cells})
    expected = zoo.direct(zoo.linear(), "score", {"X": np.concatenate([cells, cells])})[:count]
    assert answer.shape == (count, 1)
    np.testing.assert_allclose(answer, expected, rtol=1e-6)


def test_a_long_batch_is_run_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS_PER_CALL", 8)
    cells = rows(17)
    answer = runtime(zoo.trees(), PROBABILITIES).run({"X": cells})
    np.testing.assert_array_equal(answer, zoo.direct(zoo.trees(), "probabilities", {"X": cells}))


def test_no_row_has_no_answer() -> None:
    assert runtime(zoo.linear()).run({"X": rows(0)}).shape == (0, 1)


def test_text_integers_and_floats_are_fed_as_they_are() -> None:
    inputs = mixed()
    feed: dict[str, Any] = {
        "amount": np.array([[1.0], [2.0], [3.0]], np.float32),
        "count": np.array([[3], [2**53 + 1], [7]], np.int64),
        "country": np.array([["NO"], ["SE"], ["Ørland"]], object),
    }
    answer = OnnxRuntime(zoo.mixed_inputs(), inputs, SCORE).run(feed)
    np.testing.assert_array_equal(answer[:, 0], np.array([0.5 + 0.75 + 1, 1 + 0.75, 1.5 + 1.75], np.float32))
    np.testing.assert_array_equal(answer, zoo.direct(zoo.mixed_inputs(), "score", feed))


def mixed() -> list[InputSpec]:
    kinds: list[tuple[str, Any]] = [("amount", "float32"), ("count", "int64"), ("country", "string")]
    return [
        InputSpec(name, dtype, (-1, 1), (FeatureSpec(name=name, path=name, missing="error"),)) for name, dtype in kinds
    ]


def test_cells_take_the_shape_the_graph_wants() -> None:
    squares = zoo.model(
        [helper.make_node("ReduceSum", ["X", "axes"], ["score"], keepdims=0)],
        [("X", zoo.FLOAT, ["n", 1, 2, 2])],
        [("score", zoo.FLOAT, ["n"])],
        {"axes": np.array([1, 2, 3])},
    )
    spec = InputSpec("X", "float32", (-1, 1, 2, 2), matrix_input(4).features)
    session = OnnxRuntime(squares, [spec], OutputSpec("score", "float32", (-1,), "score"))
    np.testing.assert_array_equal(session.run({"X": np.ones((3, 4), np.float32)}), [4, 4, 4])


def test_a_failing_call_is_a_model_failure_without_the_events_values() -> None:
    with pytest.raises(ModelFailure) as caught:
        runtime(zoo.fails_on_large()).run({"X": np.full((4, 3), 987_654, np.float32)})
    assert "987654" not in str(caught.value)


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ModelLoadError, match="refuses the graph"):
        runtime(b"no model")


@pytest.mark.parametrize(
    ("model", "output", "reason"),
    [
        (zoo.linear(width=4), SCORE, r"input 'X' has shape"),
        (zoo.linear(dtype=np.float64), SCORE, r"tensor\(double\) in the graph and float32"),
        (zoo.linear(), PROBABILITIES, r"output 'probabilities' is not among"),
        (zoo.trees(zipmap=True), PROBABILITIES, "zipmap.*False"),
        (zoo.mean_of_batch(), SCORE, "not one per input row"),
        (zoo.mixed_inputs(), SCORE, "'amount' is only in the graph"),
        (zoo.linear(squeeze=True), SCORE, r"output 'score' has shape"),
    ],
    ids=["width", "dtype", "output", "zipmap", "reduced", "inputs", "rank"],
)
def test_a_graph_other_than_the_manifest_is_refused(model: bytes, output: OutputSpec, reason: str) -> None:
    with pytest.raises(SignatureMismatch, match=reason):
        runtime(model, output)


def test_an_answer_with_other_rows_than_the_question_is_refused() -> None:
    reduced = zoo.model(
        [helper.make_node("Compress", ["X", "keep"], ["score"], axis=0)],
        [("X", zoo.FLOAT, ["n", 1])],
        [("score", zoo.FLOAT, ["m", 1])],
        {"keep": np.array([True])},
    )
    with pytest.raises(SignatureMismatch, match="one row per input row"):
        runtime(reduced, width=1).run({"X": rows(4, 1)})


def test_stop_ends_a_running_call_and_no_later_one() -> None:
    session = runtime(zoo.slow(), width=1)
    began = threading.Event()
    seen: list[BaseException] = []

    def call() -> None:
        began.set()
        try:
            session.run({"X": rows(2, 1)})
        except ScoreTimeout as error:
            seen.append(error)

    thread = threading.Thread(target=call, name="test-call")
    thread.start()
    began.wait()
    deadline = time.monotonic() + 10
    while thread.is_alive() and time.monotonic() < deadline:
        session.stop()
        thread.join(0.001)
    assert len(seen) == 1
    quick = runtime(zoo.linear())
    quick.stop()
    assert quick.run({"X": rows(2)}).shape == (2, 1)


def test_the_session_has_the_providers_that_are_asked_for() -> None:
    providers = ["AzureExecutionProvider", "CPUExecutionProvider"]
    assert module.open_session(zoo.linear(), providers).get_providers() == providers
    assert OnnxRuntime(zoo.linear(), [matrix_input(3)], SCORE, providers=providers).providers == tuple(providers)


def test_a_provider_that_this_build_does_not_have_is_named_with_those_it_has() -> None:
    wanted = r"does not have the execution provider NoSuchProvider: .* choose from .*CPUExecutionProvider"
    with pytest.raises(ModelLoadError, match=wanted):
        OnnxRuntime(zoo.linear(), [matrix_input(3)], SCORE, providers=["CPUExecutionProvider", "NoSuchProvider"])


def test_a_provider_that_the_runtime_does_without_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # As with a build for a device that is not there, or whose driver is missing.
    monkeypatch.setattr(module, "available_providers", lambda: ["NoSuchProvider", "CPUExecutionProvider"])
    with (
        pytest.warns(UserWarning, match="NoSuchProvider"),
        pytest.raises(ModelLoadError, match="could not start the execution provider NoSuchProvider"),
    ):
        module.open_session(zoo.linear(), ["NoSuchProvider", "CPUExecutionProvider"])

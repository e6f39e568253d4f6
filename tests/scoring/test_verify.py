"""A model is opened only when it answers its golden events as its bundle says, whatever company they are in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

from stream_infer.bundle import GoldenAnswers, ModelBundle
from stream_infer.bundle.golden import encode_answers
from stream_infer.bundle.manifest import GoldenInfo, OutputSpec
from stream_infer.errors import ModelLoadError, SignatureMismatch
from stream_infer.scoring import open_model
from stream_infer.scoring.onnx_runtime import OnnxRuntime
from tests.scoring import zoo
from tests.scoring.bundles import PROBABILITIES, example_bundle, matrix_bundle, rows


def changed(bundle: ModelBundle, files: Mapping[str, bytes] | None = None, **fields: Any) -> ModelBundle:
    manifest = msgspec.structs.replace(bundle.manifest, **fields)
    return ModelBundle.assemble(manifest, {**bundle.files, **(files or {})}, bundle.source)


def with_answers(bundle: ModelBundle, answers: GoldenAnswers) -> ModelBundle:
    return changed(bundle, {"golden/expected.avro": encode_answers(answers)})


@pytest.mark.parametrize(
    "bundle",
    [
        matrix_bundle(zoo.linear()),
        matrix_bundle(zoo.trees(), output=PROBABILITIES, column=1, classes=(0, 1)),
        matrix_bundle(zoo.perceptron()),
        matrix_bundle(
            zoo.multi_class(),
            output=OutputSpec("probabilities", "float32", (-1, 4), "probabilities"),
            column=0,
            classes=("a", "b", "c", "d"),
        ),
        matrix_bundle(zoo.linear(batch=4), answer=zoo.direct(zoo.linear(), "score", {"X": rows()})),
        example_bundle(),
    ],
    ids=["linear", "trees", "perceptron", "multi_class", "fixed_batch", "example"],
)
def test_a_sound_model_is_opened_and_warmed(bundle: ModelBundle) -> None:
    runtime = open_model(bundle, warm_up_sizes=(1, 2, 64))
    runtime.close()


def test_a_wrong_score_names_the_row_and_both_numbers() -> None:
    answer = zoo.direct(zoo.linear(), "score", {"X": rows()}).copy()
    answer[3] = 0.25
    with pytest.raises(ModelLoadError, match=r"test.bundle.jar: golden row 3 has score .* expected score 0.25"):
        open_model(matrix_bundle(zoo.linear(), answer=answer))


def test_a_difference_within_tolerance_is_accepted() -> None:
    answer = zoo.direct(zoo.linear(), "score", {"X": rows()}) * np.float32(1 + 5e-6)
    open_model(matrix_bundle(zoo.linear(), answer=answer))


def test_a_wrong_flag_is_refused_unless_the_score_is_at_the_threshold() -> None:
    bundle = matrix_bundle(zoo.linear())
    answers = bundle.golden_answers()
    flipped = answers.flagged.copy()
    flipped[0] = not flipped[0]
    wrong = GoldenAnswers(answers.score, flipped, answers.reasons)
    with pytest.raises(ModelLoadError, match=r"golden row 0 .*flagged"):
        open_model(with_answers(bundle, wrong))
    at_threshold = matrix_bundle(zoo.linear(), threshold=float(answers.score[0]))
    answers = at_threshold.golden_answers()
    flipped = answers.flagged.copy()
    flipped[0] = not flipped[0]
    open_model(with_answers(at_threshold, GoldenAnswers(answers.score, flipped, answers.reasons)))


def test_wrong_probabilities_are_refused() -> None:
    output = OutputSpec("probabilities", "float32", (-1, 4), "probabilities")
    bundle = matrix_bundle(zoo.multi_class(), output=output, column=0, classes=("a", "b", "c", "d"))
    answers = bundle.golden_answers()
    assert answers.probabilities is not None
    swapped = answers.probabilities[:, [0, 2, 1, 3]]
    with pytest.raises(ModelLoadError, match="golden row 0"):
        open_model(with_answers(bundle, GoldenAnswers(answers.score, answers.flagged, answers.reasons, swapped)))


def test_a_row_that_should_be_rejected_and_is_not_is_named() -> None:
    bundle = matrix_bundle(zoo.linear())
    answers = bundle.golden_answers()
    reasons = ("missing_feature", *answers.reasons[1:])
    with pytest.raises(ModelLoadError, match="golden row 0 is scored, expected missing_feature"):
        open_model(with_answers(bundle, GoldenAnswers(answers.score, answers.flagged, reasons)))


def test_a_row_on_which_the_model_fails_is_named() -> None:
    bundle = matrix_bundle(zoo.fails_on_large(), np.full((3, 3), 99, np.float32), answer=np.zeros((3, 1), np.float32))
    with pytest.raises(
        ModelLoadError, match=r"golden row 0 is model_failed \(the model failed with .*expected a score"
    ):
        open_model(bundle)


def test_golden_rows_that_are_all_rejected_prove_nothing() -> None:
    cells = np.full((3, 1), np.nan, np.float32)
    bundle = matrix_bundle(zoo.divides(), cells, answer=np.zeros((3, 1), np.float32))
    answers = GoldenAnswers(np.full(3, np.nan, np.float32), np.zeros(3, np.bool_), ("model_output",) * 3)
    with pytest.raises(ModelLoadError, match="no golden event is scored"):
        open_model(with_answers(bundle, answers))


def test_a_score_that_depends_on_the_rows_beside_it_is_refused() -> None:
    with pytest.raises(ModelLoadError, match=r"in a batch of 7 .*depends on the rows beside it"):
        open_model(matrix_bundle(zoo.minus_mean_of_batch()))


def test_a_fixed_batch_whose_padding_changes_scores_is_refused() -> None:
    cells = rows(20)
    fixed = zoo.minus_mean_of_batch(batch=20)
    with pytest.raises(ModelLoadError, match="depends on the rows beside it"):
        open_model(matrix_bundle(fixed, cells))


def test_one_row_whatever_the_batch_is_a_signature_mismatch() -> None:
    bundle = matrix_bundle(zoo.mean_of_batch(), answer=np.zeros((20, 1), np.float32))
    with pytest.raises(SignatureMismatch, match=r"test.bundle.jar: .*not one per input row"):
        open_model(bundle)


def test_an_older_runtime_than_the_bundle_needs_is_refused() -> None:
    bundle = matrix_bundle(zoo.linear())
    onnx = msgspec.structs.replace(bundle.manifest.graph, min_onnxruntime="99.1")
    with pytest.raises(ModelLoadError, match=rf"needs ONNX Runtime 99.1 or newer, this is {ort.__version__}"):
        open_model(changed(bundle, onnx=onnx))


def test_golden_files_of_another_length_are_refused() -> None:
    bundle = matrix_bundle(zoo.linear())
    with pytest.raises(ModelLoadError, match="does not hold the 21 records"):
        open_model(changed(bundle, golden=GoldenInfo(rows=21, onnxruntime="1.32.0")))


def test_a_damaged_golden_file_is_refused() -> None:
    bundle = matrix_bundle(zoo.linear())
    with pytest.raises(ModelLoadError, match=r"golden/input.avro.*not a readable Avro container"):
        open_model(changed(bundle, {"golden/input.avro": b"Obj\x01 nothing"}))


def test_warm_up_runs_each_size_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = OnnxRuntime.run

    def spy(self: OnnxRuntime, inputs: Mapping[str, Any]) -> Any:
        sizes.append(len(inputs["X"]))
        return run(self, inputs)

    monkeypatch.setattr(OnnxRuntime, "run", spy)
    open_model(matrix_bundle(zoo.linear()), warm_up_sizes=(3, 500))
    assert sizes[-2:] == [3, 500]
    assert {20, 7, 2, 1} <= set(sizes)


def test_warm_up_leaves_out_golden_events_that_the_model_fails_on() -> None:
    cells = np.full((4, 3), 5, np.float32)
    bundle = matrix_bundle(zoo.fails_on_large(), cells)
    expected = bundle.golden_answers()
    cells[1] = 99
    failing = matrix_bundle(zoo.fails_on_large(), cells, answer=np.zeros((4, 1), np.float32))
    score = np.where([False, True, False, False], np.nan, expected.score).astype(np.float32)
    reasons = (None, "model_failed", None, None)
    answers = GoldenAnswers(score, expected.flagged & ~np.isnan(score), reasons)
    open_model(with_answers(failing, answers), warm_up_sizes=(1, 64)).close()

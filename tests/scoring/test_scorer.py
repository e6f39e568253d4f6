"""The Scorer: statuses in, scores and statuses out; and the ways in from Python."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from stream_infer import Scorer
from stream_infer.bundle import ModelBundle
from stream_infer.bundle.manifest import OutputSpec, ScoreRef
from stream_infer.errors import UsageError
from stream_infer.scoring import open_model
from stream_infer.scoring.tables import bare_records
from stream_infer.types import Decoded, Records, Status
from tests.scoring import zoo
from tests.scoring.bundles import PROBABILITIES, decoded, make_bundle, matrix_bundle, matrix_input, matrix_schema, rows


class FixedDecoder:
    """Answers every run of records with the same columns."""

    def __init__(self, answer: Decoded) -> None:
        self._answer = answer

    def decode(self, records: Records) -> Decoded:
        assert len(records) == len(self._answer)
        return self._answer


def scorer(bundle: ModelBundle, answer: Decoded | None = None, **options: Any) -> Scorer:
    return Scorer(bundle, FixedDecoder(answer or decoded(rows())), open_model(bundle), **options)


def test_every_score_is_a_plain_sessions() -> None:
    model, cells = zoo.trees(), rows(100)
    bundle = matrix_bundle(model, output=PROBABILITIES, column=1, classes=(0, 1))
    scored = scorer(bundle, decoded(cells)).score(bare_records([b"x"] * 100))
    expected = zoo.direct(model, "probabilities", {"X": cells})[:, 1]
    np.testing.assert_array_equal(scored.score, expected)
    np.testing.assert_array_equal(scored.flagged, expected >= 0.5)
    assert scored.model_calls == 1
    assert scored.probabilities is None
    assert scored.models == (bundle.identity(),)
    assert scored.model_index.tolist() == [0] * 100


def test_rows_that_are_not_ok_are_passed_over() -> None:
    model, cells = zoo.linear(), rows(6)
    cells[1] = np.inf  # the cells of a rejected row mean nothing
    status = [Status.OK, Status.MALFORMED, Status.OK, Status.TOMBSTONE, Status.EMPTY, Status.OK]
    given = Decoded({"X": cells}, np.array(status, np.uint8), (), {1: "not JSON"})
    scored = scorer(matrix_bundle(model)).infer(given)
    kept = [0, 2, 5]
    np.testing.assert_array_equal(scored.score[kept], zoo.direct(model, "score", {"X": cells[kept]})[:, 0])
    assert np.isnan(np.delete(scored.score, kept)).all()
    assert scored.status.tolist() == status
    assert scored.details == {1: "not JSON"}
    assert not scored.flagged[[1, 3, 4]].any()


def test_a_batch_without_a_row_to_score_calls_no_model() -> None:
    scored = scorer(matrix_bundle(zoo.linear())).infer(decoded(rows(3), [Status.EMPTY] * 3))
    assert scored.model_calls == 0
    assert len(scorer(matrix_bundle(zoo.linear())).infer(decoded(rows(0)))) == 0


def test_shed_rows_leave_unscored_unless_rejected() -> None:
    shed = np.array([True, True, False])
    given = decoded(rows(3), [Status.OK, Status.MALFORMED, Status.OK])
    scored = scorer(matrix_bundle(zoo.linear())).infer(given, shed)
    assert scored.status.tolist() == [Status.SHED, Status.MALFORMED, Status.OK]
    assert np.isnan(scored.score).tolist() == [True, True, False]
    assert given.status[0] == Status.OK, "the decoder's column stays as it was"


def test_the_model_fails_on_two_events_and_their_neighbours_are_scored() -> None:
    good = np.full((20, 3), 3, np.float32)
    bundle = matrix_bundle(zoo.fails_on_large(), good)
    cells = good.copy()
    cells[[4, 17], 0] = 99
    scored = scorer(bundle).infer(decoded(cells))
    assert np.flatnonzero(scored.status == Status.MODEL_FAILED).tolist() == [4, 17]
    assert sorted(scored.details) == [4, 17]
    assert (np.delete(scored.score, [4, 17]) == np.float32(0.3)).all()
    assert 1 < scored.model_calls < 25


def test_a_batch_of_failing_events_costs_at_most_two_calls_each() -> None:
    bundle = matrix_bundle(zoo.fails_on_large(), np.full((20, 3), 3, np.float32))
    scored = scorer(bundle).infer(decoded(np.full((16, 3), 99, np.float32)))
    assert (scored.status == Status.MODEL_FAILED).all()
    assert scored.model_calls == 31


def test_a_score_that_is_no_number_is_rejected() -> None:
    bundle = matrix_bundle(zoo.divides(), np.array([[2.0], [4.0]], np.float32))
    scored = scorer(bundle).infer(decoded(np.array([[0.0], [np.nan], [4.0]], np.float32)))
    assert scored.status.tolist() == [Status.MODEL_OUTPUT, Status.MODEL_OUTPUT, Status.OK]
    assert scored.details == {0: "the model's score is infinite", 1: "the model's score is NaN"}
    assert np.isnan(scored.score[:2]).all()
    assert not scored.flagged[0]


def test_a_multi_class_model_brings_all_probabilities() -> None:
    model, cells = zoo.multi_class(), rows(10)
    output = OutputSpec("probabilities", "float32", (-1, 4), "probabilities")
    bundle = matrix_bundle(model, output=output, column=2, classes=("a", "b", "c", "d"))
    status = [Status.OK] * 9 + [Status.EMPTY]
    scored = scorer(bundle).infer(decoded(cells, status))
    assert scored.probabilities is not None
    expected = zoo.direct(model, "probabilities", {"X": cells[:9]})
    np.testing.assert_array_equal(scored.probabilities[:9], expected)
    np.testing.assert_array_equal(scored.score[:9], expected[:, 2])
    assert np.isnan(scored.probabilities[9]).all()
    assert scored.classes == ("a", "b", "c", "d")


def test_a_double_output_is_rounded_once_to_float32() -> None:
    model, cells = zoo.linear(dtype=np.float64), rows(8)
    answer = zoo.direct(model, "score", {"X": cells.astype(np.float64)})
    events = [{f"f{cell}": float(value) for cell, value in enumerate(row)} for row in cells]
    output = OutputSpec("score", "float64", (-1, 1), "score")
    inputs = (matrix_input(3, "float64"),)
    double = make_bundle(model, inputs, matrix_schema(3), events, answer, output, ScoreRef("score", 0))
    scored = scorer(double).infer(decoded(cells.astype(np.float64)))
    np.testing.assert_array_equal(scored.score, answer[:, 0].astype(np.float32))


def test_the_threshold_in_force_is_the_callers() -> None:
    bundle = matrix_bundle(zoo.linear())
    strict, lax = scorer(bundle, threshold=0.99), scorer(bundle, threshold=0.0)
    assert strict.identity.threshold == 0.99
    assert not strict.infer(decoded(rows())).flagged.all()
    assert lax.infer(decoded(rows())).flagged.all()


def test_several_threads_share_one_scorer() -> None:
    shared = scorer(matrix_bundle(zoo.perceptron()))
    batches = [decoded(rows(50, seed=seed)) for seed in range(40)]
    alone = [shared.infer(batch).score for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = [scored.score for scored in pool.map(shared.infer, batches)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


# --- from Python ---

EVENTS: list[dict[str, Any]] = [
    {"amount": 250.0, "geo": {"lat": 1.5}, "category": "travel", "id": "a"},
    {"amount": 3.0, "geo": None, "category": "unknown", "id": "b"},
]


def test_load_scores_bare_avro_of_the_input_schema(bundle_path: Path) -> None:
    loaded = Scorer.load(bundle_path)
    records = loaded.bundle.golden_events().records()
    scored = loaded.score(records)
    np.testing.assert_array_equal(scored.score, loaded.bundle.golden_answers().score)
    loaded.close()


def test_events_bytes_tables_and_matrices_agree(bundle_path: Path) -> None:
    loaded = Scorer.load(bundle_path)
    json_lines = [
        b'{"amount": 250, "geo": {"lat": 1.5}, "category": "travel"}',
        b'{"amount": 3, "geo": null, "category": "unknown"}',
    ]
    schema = loaded.bundle.input_schema
    flat = {"amount": [250.0, 3.0], "geo.lat": [1.5, None], "category": ["travel", "unknown"]}
    results = [
        loaded.score_events(EVENTS),
        loaded.score_bytes(json_lines),
        loaded.score_bytes(loaded.bundle.golden_events().values[1:2] * 2, schema),
        loaded.score_table(pd.DataFrame(EVENTS)),
        loaded.score_table(pd.DataFrame(flat)),
        loaded.score_table(pa.Table.from_pylist(EVENTS)),
        loaded.score_table(pa.table(flat)),
        loaded.score_matrix(np.array([[250, 1.5, 1], [3, np.nan, -1]], np.float32)),
        loaded.score_matrix({"X": np.array([[250.0, 1.5, 1.0], [3.0, np.nan, -1.0]])}),
    ]
    expected = np.array([0.9, 0.1], np.float32)
    for index, scored in enumerate(results):
        assert (scored.status == Status.OK).all(), index
        np.testing.assert_array_equal(scored.score, expected if index != 2 else expected[[0, 0]])


def test_bad_events_have_a_status_and_a_tombstone_is_none(bundle_path: Path) -> None:
    scored = Scorer.load(bundle_path).score_bytes([None, b"", b"[]", b'{"category": "travel"}'])
    reasons = [Status(status).reason for status in scored.status]
    assert reasons == ["tombstone", "empty", "wrong_type", "missing_feature"]


def test_carried_fields_come_along(bundle_path: Path) -> None:
    scored = Scorer.load(bundle_path, carry=["category"]).score_events(EVENTS)
    assert [column.name for column in scored.carried] == ["category"]


def test_infinite_cells_are_rejected(bundle_path: Path) -> None:
    scored = Scorer.load(bundle_path).score_matrix(np.array([[np.inf, 0, 0], [1e300, 0, 0], [1, 0, 0]]))
    assert scored.status.tolist() == [Status.NOT_FINITE, Status.NOT_FINITE, Status.OK]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1.0, 2.0]], r"takes an array \[n, 3\] \(columns: amount, lat, category\), not one of shape \[1, 2\]"),
        ([1.0, 2.0, 3.0], r"not one of shape \[3\]"),
        ([["a", "b", "c"]], "takes float32, not"),
        ({"Y": [[1, 2, 3]]}, "the model takes the inputs X"),
    ],
)
def test_a_matrix_of_another_shape_is_refused(bundle_path: Path, cells: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Scorer.load(bundle_path).score_matrix(cells)


def test_a_table_is_a_dataframe_or_an_arrow_table(bundle_path: Path) -> None:
    loaded = Scorer.load(bundle_path)
    with pytest.raises(UsageError, match="not a list"):
        loaded.score_table([1, 2])
    with pytest.raises(UsageError, match="no column"):
        loaded.score_table(pd.DataFrame())

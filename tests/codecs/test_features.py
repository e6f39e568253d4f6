"""The feature rules, value by value, and the vectorised shortcut against them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.codecs.faults import Fault, Verdicts
from stream_infer.codecs.features import MIN_VECTOR_ROWS, cell_fillers, empty_input
from stream_infer.errors import ModelLoadError
from stream_infer.projection import Feature, ModelInput
from stream_infer.types import Status

NAN, INF = math.nan, math.inf


def cells(feature: Feature, dtype: str, column: list[Any]) -> tuple[list[Any], list[str], dict[int, str]]:
    """The cells, the status names and the details of a column of values."""
    model_input = ModelInput("X", dtype, (feature,))
    target = empty_input(model_input, len(column))
    verdicts = Verdicts.all_ok(len(column))
    (filler,) = cell_fillers(model_input)
    filler.fill(column, target, verdicts)
    rows = target.tolist()
    flat = [row if feature.format else row[0] for row in rows]
    return flat, [Status(code).name for code in verdicts.status.tolist()], verdicts.details


def cell(feature: Feature, dtype: str, value: Any) -> Any:
    """The cell of one value, or the name of the status it is rejected with."""
    (result,), (status,), _ = cells(feature, dtype, [value])
    return result if status == "OK" else status


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float64", 1.5, 1.5),
        ("float64", 3, 3.0),
        ("float64", True, 1.0),
        ("float64", False, 0.0),
        ("float64", 2**53 + 1, float(2**53)),
        ("float64", "1.5", "WRONG_TYPE"),
        ("float64", b"1", "WRONG_TYPE"),
        ("float64", [1.0], "WRONG_TYPE"),
        ("float64", {"a": 1}, "WRONG_TYPE"),
        ("float64", INF, "NOT_FINITE"),
        ("float64", -INF, "NOT_FINITE"),
        ("float64", 2**63, "OUT_OF_RANGE"),
        ("float64", 10**400, "OUT_OF_RANGE"),
        ("float32", 0.1, float(np.float32(0.1))),
        ("float32", 3.5e38, "OUT_OF_RANGE"),
        ("float32", 3.4028234e38, float(np.float32(3.4028234e38))),
        ("int64", 2**53 + 1, 2**53 + 1),
        ("int64", -(2**63), -(2**63)),
        ("int64", 2**63, "OUT_OF_RANGE"),
        ("int64", True, 1),
        ("int64", -2.7, -2),
        ("int64", 1e19, "OUT_OF_RANGE"),
        ("int64", INF, "NOT_FINITE"),
        ("int64", "7", "WRONG_TYPE"),
        ("string", "grün", "grün"),
        ("string", 7, "WRONG_TYPE"),
        ("string", b"text", "WRONG_TYPE"),
        ("string", "\ud800", "INVALID_UTF8"),
    ],
)
def test_a_value_fills_its_cell_or_is_rejected(dtype: str, value: Any, expected: Any) -> None:
    assert cell(Feature("f", "f"), dtype, value) == expected


@pytest.mark.parametrize("value", [None, NAN])
@pytest.mark.parametrize(
    ("missing", "missing_value", "dtype", "expected"),
    [
        ("nan", None, "float32", NAN),
        ("nan", None, "int64", "MISSING_FEATURE"),
        ("nan", None, "string", "MISSING_FEATURE"),
        ("error", None, "float32", "MISSING_FEATURE"),
        ("value", -1.0, "float32", -1.0),
        ("value", -1.0, "int64", -1),
        ("value", "none", "string", "none"),
    ],
)
def test_null_and_nan_are_missing(value: Any, missing: str, missing_value: Any, dtype: str, expected: Any) -> None:
    result = cell(Feature("f", "f", missing, missing_value), dtype, value)
    assert result == expected or (result != result and expected != expected)


def test_offset_and_scale_apply_to_the_value_and_not_to_what_stands_in() -> None:
    feature = Feature("f", "f", "value", 0.0, offset=-1760000000, scale=0.5)
    assert cell(feature, "float64", 1760000007) == 3.5
    assert cell(feature, "float64", None) == 0.0


def test_an_integer_offset_is_exact_in_int64() -> None:
    feature = Feature("f", "f", offset=-1.0)
    assert cell(feature, "int64", 2**53 + 2) == 2**53 + 1
    assert cell(feature, "int64", -(2**63)) == "OUT_OF_RANGE"
    assert cell(Feature("f", "f", scale=2.0), "int64", 2**62) == "OUT_OF_RANGE"
    assert cell(Feature("f", "f", offset=0.5), "int64", 3) == 3


def test_a_product_beyond_the_dtype_is_out_of_range() -> None:
    assert cell(Feature("f", "f", scale=1e300), "float64", 1e300) == "OUT_OF_RANGE"


def test_categories_compare_whole_text() -> None:
    feature = Feature("f", "f", categories=("a", "ab", "ä"), unseen=-5)
    codes, statuses, _ = cells(feature, "float32", ["a", "ab", "ä", "a ", "A", "a\u0308", "", None, 1])
    assert codes[:7] == [0, 1, 2, -5, -5, -5, -5]
    assert math.isnan(codes[7])
    assert statuses == ["OK"] * 8 + ["WRONG_TYPE"]
    assert cell(Feature("f", "f", categories=("a",), unseen="error"), "int64", "b") == "UNSEEN_CATEGORY"


@pytest.mark.parametrize(
    ("format_", "dtype", "value", "expected"),
    [
        ("array", "float64", [1, None, True], [1.0, NAN, 1.0]),
        ("array", "float64", None, [NAN, NAN, NAN]),
        ("array", "float64", [1, 2], "WRONG_TYPE"),
        ("array", "float64", [1, 2, "3"], "WRONG_TYPE"),
        ("array", "float64", [1, 2, INF], "NOT_FINITE"),
        ("array", "float64", 5, "WRONG_TYPE"),
        ("csv", "float64", "1, -2.5e1,", [1.0, -25.0, NAN]),
        ("csv", "float64", "1,nan,3", [1.0, NAN, 3.0]),
        ("csv", "float64", "1,2", "WRONG_TYPE"),
        ("csv", "float64", "1,2,x", "WRONG_TYPE"),
        ("csv", "float64", "1,2,inf", "WRONG_TYPE"),
        ("csv", "float64", "1,2,1_0", "WRONG_TYPE"),
        ("csv", "float64", "1,2,1e999", "NOT_FINITE"),
        ("csv", "float64", ["1", "2", "3"], "WRONG_TYPE"),
        ("csv", "int64", "9007199254740993,+1,-1", [2**53 + 1, 1, -1]),
        ("csv", "int64", "1,2,99999999999999999999999", "OUT_OF_RANGE"),
        ("csv", "string", "a, b,", ["a", " b", ""]),
    ],
)
def test_several_cells_from_an_array_or_text(format_: str, dtype: str, value: Any, expected: Any) -> None:
    result = cell(Feature("f", "f", length=3, format=format_), dtype, value)
    assert repr(result) == repr(expected)


def test_a_fault_in_place_of_a_value_becomes_the_status() -> None:
    fault = Fault(Status.WRONG_TYPE, "expected a record, found text")
    _, statuses, details = cells(Feature("lat", "geo.lat"), "float32", [1.0, fault])
    assert statuses == ["OK", "WRONG_TYPE"]
    assert details == {1: "feature lat (field geo.lat): expected a record, found text"}


def test_details_name_the_feature_and_types_but_no_value() -> None:
    _, _, details = cells(Feature("amount", "amount"), "float32", ["secret"])
    assert details == {0: "feature amount: expected a number, found text"}


ANY_NUMBER = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(2**64), 2**64),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), 10**400, 3.4028235e38, 3.4028236e38, 0.1]),
)


@given(
    column=st.lists(ANY_NUMBER, min_size=MIN_VECTOR_ROWS, max_size=24),
    dtype=st.sampled_from(["float32", "float64"]),
    missing=st.sampled_from(["nan", "error", "value"]),
    offset=st.sampled_from([0.0, -1.5, 1e300]),
    scale=st.sampled_from([1.0, 0.0, 1e-3, 1e10]),
)
@settings(max_examples=50, deadline=None)
def test_the_vectorised_way_is_the_rule(
    column: list[Any], dtype: str, missing: str, offset: float, scale: float
) -> None:
    feature = Feature("f", "f", missing, 7.0 if missing == "value" else None, offset, scale)
    fast, statuses, details = cells(feature, dtype, column)
    for row, value in enumerate(column):
        (slow,), (status,), detail = cells(feature, dtype, [value])
        assert status == statuses[row]
        assert detail.get(0) == details.get(row)
        if status == "OK":
            assert repr(slow) == repr(fast[row])


@pytest.mark.parametrize(
    ("dtype", "feature", "words"),
    [
        ("float16", Feature("f", "f"), "dtype"),
        ("float32", Feature("f", "f", length=3), "format"),
        ("float32", Feature("f", "f", length=0), "length"),
        ("float32", Feature("f", "f", format="json"), "format"),
        ("float32", Feature("f", "f", offset=INF), "finite"),
        ("float32", Feature("f", "f", categories=("a",), scale=2.0), "categories"),
        ("string", Feature("f", "f", categories=("a",)), "categories"),
        ("float32", Feature("f", "f", "skip"), "missing"),
        ("float32", Feature("f", "f", "value"), "value for missing"),
        ("float32", Feature("f", "f", "value", "x"), "value for missing"),
        ("int64", Feature("f", "f", "value", 0.5), "value for missing"),
        ("string", Feature("f", "f", "value", 0.5), "value for missing"),
    ],
)
def test_a_feature_that_makes_no_sense_is_refused_by_name(dtype: str, feature: Feature, words: str) -> None:
    with pytest.raises(ModelLoadError, match=f"feature f of input X: .*{words}"):
        cell_fillers(ModelInput("X", dtype, (feature,)))

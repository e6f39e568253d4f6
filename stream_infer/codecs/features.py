"""The feature rules: columns of values to the cells of the model's inputs.

Rule: a cell is ``(double(value) + offset) * scale``, cast to the input's dtype once, and every source of events
goes through here, so a feature cannot mean one thing in Avro and another in JSON. In order:

1. A missing value (absent, null, NaN) is ``nan``, the ``value`` of the policy (which is the cell itself: offset
   and scale are not applied), or a reject. int64 and string cells cannot hold NaN, so there ``nan`` rejects.
2. A category becomes its code, compared as whole text; the code is the cell.
3. A number is a number or a boolean, never text (only ``csv`` parses numbers). Integers beyond int64 are
   `Status.OUT_OF_RANGE`, infinite values `Status.NOT_FINITE`, and so is a finite value that its cell cannot hold
   (`Status.OUT_OF_RANGE`).
4. An int64 cell takes integers as they are; with an offset or scale that is not exact in integers, and for
   values that are no integers, the rule is computed in doubles and cut towards zero.
5. A string cell takes text only.

`scalar_rule` is the definition, one value at a time. `_fill_numbers` is the same for a whole column of plain
numbers, in numpy; a property test holds them equal.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_infer.codecs.faults import BadEvent, Fault, Verdicts, fail, wrong_type
from stream_infer.codecs.write import NUMBER_TEXT
from stream_infer.errors import ModelLoadError
from stream_infer.projection import Feature, ModelInput
from stream_infer.types import Status

Cell: TypeAlias = float | int | str
Rule: TypeAlias = Callable[[Any], Cell]

MIN_VECTOR_ROWS = 16
"""Below this a column is cheaper one cell at a time: numpy's calls cost about 10 us, a cell 0.5 us."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_DTYPES: dict[str, Any] = {"float32": np.float32, "float64": np.float64, "int64": np.int64, "string": object}
_PLAIN_NUMBERS = frozenset((float, int, bool, type(None)))

_MISSING = Fault(Status.MISSING_FEATURE, "expected a value, found none")
_INFINITE = Fault(Status.NOT_FINITE, "expected a finite number, found an infinite one")
_TOO_LARGE = Fault(Status.OUT_OF_RANGE, "the integer does not fit int64")


def scalar_rule(feature: Feature, dtype: str) -> Rule:
    """The rule for one value: ``rule(value) -> cell``, which raises BadEvent for a reject.

    Raises:
        ModelLoadError: the feature makes no sense for an input of this dtype.
    """
    missing = _missing_cell(feature, dtype)
    if feature.categories is not None:
        present = _category_rule(feature)
    elif dtype == "string":
        present = _text_rule
    elif dtype == "int64":
        present = _int64_rule(feature)
    else:
        present = _float_rule(feature, dtype)

    def rule(value: Any) -> Cell:
        if value is None or (type(value) is float and value != value):
            return fail(missing) if isinstance(missing, Fault) else missing
        if isinstance(value, Fault):
            fail(value)
        return present(value)

    return rule


def _missing_cell(feature: Feature, dtype: str) -> Cell | Fault:
    if feature.missing == "value" and feature.missing_value is not None:
        return feature.missing_value if isinstance(feature.missing_value, str) else _cast(feature.missing_value, dtype)
    return math.nan if feature.missing == "nan" and dtype.startswith("float") else _MISSING


def _cast(value: float, dtype: str) -> float | int:
    return int(value) if dtype == "int64" else value


def _text_rule(value: Any) -> str:
    if not isinstance(value, str):
        fail(wrong_type("text", value))
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadEvent(Status.INVALID_UTF8, "text is not UTF-8") from None
    return value


def _category_rule(feature: Feature) -> Rule:
    codes = {category: code for code, category in enumerate(feature.categories or ())}
    unseen = feature.unseen
    fault = Fault(Status.UNSEEN_CATEGORY, "expected a known category, found another")

    def code(value: Any) -> Cell:
        if not isinstance(value, str):
            fail(wrong_type("text", value))
        known = codes.get(value, unseen)
        return fail(fault) if isinstance(known, str) else known

    return code


def _int64_rule(feature: Feature) -> Rule:
    offset = int(feature.offset) if feature.scale == 1 and feature.offset == int(feature.offset) else None

    def cell(value: Any) -> Cell:
        number = _number(value)
        if isinstance(number, int) and offset is not None:
            result = number + offset
        else:
            double = (float(number) + feature.offset) * feature.scale
            if not math.isfinite(double):
                fail(_TOO_LARGE)
            result = int(double)
        if not INT64_MIN <= result <= INT64_MAX:
            fail(_TOO_LARGE)
        return result

    return cell


def _float_rule(feature: Feature, dtype: str) -> Rule:
    offset, scale = feature.offset, feature.scale
    fault = Fault(Status.OUT_OF_RANGE, f"the number does not fit {dtype}")

    def cell(value: Any) -> Cell:
        double = (float(_number(value)) + offset) * scale
        if not math.isfinite(double) or (dtype == "float32" and not _fits_float32(double)):
            fail(fault)
        return double

    return cell


def _fits_float32(value: float) -> bool:
    try:
        struct.pack("<f", value)
    except OverflowError:
        return False
    return True


def _number(value: Any) -> float | int:
    """A finite number within the limits, from a number or a boolean. Raises BadEvent."""
    if not isinstance(value, (int, float)):
        fail(wrong_type("a number", value))
    if isinstance(value, float):
        return fail(_INFINITE) if math.isinf(value) else value
    if not INT64_MIN <= value <= INT64_MAX:
        fail(_TOO_LARGE)
    return int(value)


@dataclass(frozen=True, slots=True)
class CellFiller:
    """How one feature fills its cells, columns ``start`` to ``start + feature.length`` of an input."""

    feature: Feature
    dtype: str
    start: int
    rule: Rule

    def fill(self, column: Sequence[Any], target: npt.NDArray[Any], verdicts: Verdicts) -> None:
        """Fill the feature's cells of every row.

        Args:
            column: one value per row.
            target: the input's array ``[n, width]``, of which this feature's columns are written.
            verdicts: where rows that the rules refuse are rejected.
        """
        if self.feature.format is not None:
            self._fill_lists(column, target, verdicts)
        elif self._may_vectorise(column):
            self._fill_numbers(column, target[:, self.start], verdicts)
        else:
            self._fill_cells(column, target[:, self.start], verdicts)

    def _may_vectorise(self, column: Sequence[Any]) -> bool:
        plain = self.dtype.startswith("float") and self.feature.categories is None
        return plain and len(column) >= MIN_VECTOR_ROWS and _PLAIN_NUMBERS.issuperset(map(type, column))

    def _fill_cells(self, column: Sequence[Any], target: npt.NDArray[Any], verdicts: Verdicts) -> None:
        rule = self.rule
        for row, value in enumerate(column):
            try:
                target[row] = rule(value)
            except BadEvent as bad:
                verdicts.reject(row, self._named(bad.fault))

    def _fill_numbers(self, column: Sequence[Any], target: npt.NDArray[Any], verdicts: Verdicts) -> None:
        try:
            values = np.array(column, np.float64)
        except OverflowError:  # an integer beyond a double
            self._fill_cells(column, target, verdicts)
            return
        with np.errstate(over="ignore", invalid="ignore"):
            doubles = (values + self.feature.offset) * self.feature.scale
            target[:] = doubles
            odd = ~(np.isfinite(target) & (np.abs(values) < INT64_MAX))
        # Odd rows (missing, infinite, too large) go through the rule, which knows what each of them is.
        for row in np.flatnonzero(odd).tolist():
            try:
                target[row] = self.rule(column[row])
            except BadEvent as bad:
                verdicts.reject(row, self._named(bad.fault))

    def _fill_lists(self, column: Sequence[Any], target: npt.NDArray[Any], verdicts: Verdicts) -> None:
        stop = self.start + self.feature.length
        for row, value in enumerate(column):
            try:
                target[row, self.start : stop] = self._cells(value)
            except BadEvent as bad:
                verdicts.reject(row, self._named(bad.fault))

    def _cells(self, value: Any) -> Any:
        """The cells of one row of a feature with a ``format``."""
        if isinstance(value, Fault):
            fail(value)
        if value is None:
            return self.rule(None)
        items = self._split(value) if self.feature.format == "csv" else value
        if not isinstance(items, list):
            fail(wrong_type("an array", items))
        if len(items) != self.feature.length:
            fail(Fault(Status.WRONG_TYPE, f"expected {self.feature.length} items, found {len(items)}"))
        return [self.rule(item) for item in items]

    def _split(self, value: Any) -> list[Any]:
        if not isinstance(value, str):
            fail(wrong_type("comma-joined text", value))
        items = value.split(",")
        if self.dtype == "string" or self.feature.categories is not None:
            return list(items)
        return [_parsed_number(item.strip(" \t")) for item in items]

    def _named(self, fault: Fault) -> Fault:
        name, path = self.feature.name, self.feature.path
        return fault.at(f"feature {name}" if name == path else f"feature {name} (field {path})")


def _parsed_number(text: str) -> float | int | None:
    """A number of comma-joined text. Empty text and ``nan`` are missing values."""
    if not text or text.lower() == "nan":
        return None
    if not NUMBER_TEXT.fullmatch(text):
        raise BadEvent(Status.WRONG_TYPE, "expected comma-joined numbers, found other text")
    # Text longer than any int64 is a double, so that digits without end cost no more than their length.
    return int(text) if len(text) <= 20 and text.lstrip("+-").isdigit() else float(text)


def cell_fillers(model_input: ModelInput) -> tuple[CellFiller, ...]:
    """The fillers of an input's features, in order.

    Raises:
        ModelLoadError: a feature list that makes no sense.
    """
    fillers = []
    start = 0
    for feature in model_input.features:
        _check_feature(feature, model_input)
        fillers.append(CellFiller(feature, model_input.dtype, start, scalar_rule(feature, model_input.dtype)))
        start += feature.length
    return tuple(fillers)


def _check_feature(feature: Feature, model_input: ModelInput) -> None:
    problem = _problem(feature, model_input.dtype)
    if problem:
        raise ModelLoadError(
            f"feature {feature.name} of input {model_input.name}: {problem}; correct the feature list of the bundle"
        )


def _problem(feature: Feature, dtype: str) -> str:
    if dtype not in _DTYPES:
        return f"the dtype {dtype} is none of {', '.join(_DTYPES)}"
    if feature.format not in (None, "array", "csv"):
        return f"the format {feature.format} is neither array nor csv"
    if feature.length < 1 or (feature.length > 1 and feature.format is None):
        return "a length other than 1 needs a format, array or csv"
    if not (math.isfinite(feature.offset) and math.isfinite(feature.scale)):
        return "offset and scale must be finite"
    if feature.categories is not None and (dtype == "string" or feature.offset != 0 or feature.scale != 1):
        return "categories go with a numeric input, and without offset and scale"
    if feature.missing not in ("nan", "error", "value"):
        return f"missing = {feature.missing} is none of nan, error, value"
    if feature.missing == "value" and not _fits_dtype(feature.missing_value, dtype):
        return f"the value for missing does not fit the dtype {dtype}"
    return ""


def _fits_dtype(value: float | str | None, dtype: str) -> bool:
    if isinstance(value, str) or dtype == "string":
        return isinstance(value, str) and dtype == "string"
    return value is not None and (dtype != "int64" or float(value).is_integer())


def empty_input(model_input: ModelInput, count: int) -> npt.NDArray[Any]:
    """An array ``[count, width]`` of the input's dtype: NaN, 0 or empty text."""
    shape = (count, model_input.width)
    if model_input.dtype == "string":
        return np.full(shape, "", object)
    if model_input.dtype == "int64":
        return np.zeros(shape, np.int64)
    return np.full(shape, np.nan, _DTYPES[model_input.dtype])

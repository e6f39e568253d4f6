"""scikit-learn's `SimpleImputer` on float64, for which ONNX Runtime has no operator of its own.

Rule: ``where(isnan(x), statistic, x)``. Only for imputers of numbers that fill NaN and keep every column.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from stream_infer.export.convert.libraries import library


def converters(parts: Iterable[Any]) -> dict[str, dict[type, Any]]:
    """Arguments for ``skl2onnx.convert_sklearn``: how to convert the imputers among the parts of a pipeline.

    Empty where one of them is of another kind: then the general converter is asked.
    """
    imputers = [part for part in parts if type(part).__name__ == "SimpleImputer"]
    if not imputers or not all(map(_is_plain, imputers)):
        return {}
    kind = type(imputers[0])
    return {"custom_conversion_functions": {kind: _convert}, "custom_shape_calculators": {kind: _shape}}


def _is_plain(imputer: Any) -> bool:
    statistics = np.asarray(imputer.statistics_)
    fills_nan = isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)
    return fills_nan and not imputer.add_indicator and statistics.dtype.kind == "f" and not np.isnan(statistics).any()


def _shape(operator: Any) -> None:
    given = operator.inputs[0].type
    operator.outputs[0].type = type(given)([given.shape[0], len(operator.raw_operator.statistics_)])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    onnx = library("onnx", "exporting")
    (given,), (filled,) = operator.inputs, operator.outputs
    imputer = operator.raw_operator
    # It fills in the precision of its training data, whatever it is given later.
    trained = getattr(imputer, "_fit_dtype", np.float64)
    statistics = np.asarray(imputer.statistics_, trained).astype(np.float64).reshape(1, -1)
    constant, missing = (scope.get_unique_variable_name(name) for name in ("statistics", "missing"))
    container.add_initializer(constant, onnx.TensorProto.DOUBLE, list(statistics.shape), statistics.ravel().tolist())
    container.add_node("IsNaN", [given.full_name], [missing], op_version=13)
    container.add_node("Where", [missing, constant, given.full_name], [filled.full_name], op_version=9)

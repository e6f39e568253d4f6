"""Which family a model is of: by the module of its class, or by what its file is said to be.

Rule: no library is imported to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from stream_infer.errors import ExportRefused
from stream_infer.export.convert import catboost, lightgbm, sklearn, torch, xgboost
from stream_infer.export.convert.contract import Column, Convert, Converted
from stream_infer.export.convert.libraries import library

_FAMILIES: dict[str, ModuleType] = {
    "sklearn": sklearn,
    "lightgbm": lightgbm,
    "xgboost": xgboost,
    "catboost": catboost,
    "torch": torch,
}


def load_model(path: Path, kind: str) -> Any:
    """The model in a file of any kind but ONNX.

    Raises:
        ExportRefused: it cannot be read, or its library is not installed.
    """
    if not path.is_file():
        raise ExportRefused(f"{path} is not a file; check the path")
    loaders: dict[str, Callable[[Path], Any]] = {
        "pickle": _unpickle,
        "lightgbm": lightgbm.load,
        "xgboost": xgboost.load,
        "catboost": catboost.load,
        "torch": torch.load,
    }
    return loaders[kind](path)


def convert_model(model: Any, columns: Sequence[Column]) -> Converted:
    """A library's model as a graph.

    Raises:
        ExportRefused: it is of no known library, or cannot be written as one.
    """
    library("onnx", "exporting")
    module = _family(model)
    if module in (lightgbm, xgboost, catboost) and any(column.text for column in columns):
        names = ", ".join(column.name for column in columns if column.text)
        raise ExportRefused(
            f"{names} is text, and {type(model).__name__} takes numbers: list the `categories` in the feature list, in "
            "the order of the codes that it was trained on"
        )
    convert: Convert = module.convert
    return convert(model, columns)


def model_feature_names(model: Any) -> list[str] | None:
    """The names of the columns that the model was trained on; None where it knows none."""
    module = _family(model)
    names: list[str] | None = module.feature_names(model) if hasattr(module, "feature_names") else None
    return names


def feature_count(model: Any) -> int | None:
    """How many columns the model was trained on; None where it does not say."""
    module = _family(model)
    if module is lightgbm:
        return int(lightgbm.booster_of(model).num_feature())
    if module is xgboost:
        return int(xgboost.booster_of(model).num_features())
    if module is catboost:
        return len(model.feature_names_)
    count = getattr(model, "n_features_in_", None) if module is sklearn else None
    return None if count is None else int(count)


def _family(model: Any) -> ModuleType:
    roots = [parent.__module__.partition(".")[0] for parent in type(model).__mro__]
    for root in roots:
        # Estimators of the boosting libraries are scikit-learn's as well: their own module comes first.
        if root in _FAMILIES:
            return _FAMILIES[root]
    raise ExportRefused(
        f"a {type(model).__name__} is of no library that can be exported ({', '.join(_FAMILIES)}); convert it to ONNX "
        "yourself and export the ONNX file"
    )


def _unpickle(path: Path) -> Any:
    try:
        # joblib, which comes with scikit-learn, reads its own files and plain pickles.
        return library("joblib", f"reading {path}").load(path)
    except ExportRefused:
        raise
    except Exception as error:  # a pickle is a program: it may raise anything
        reason = " ".join(str(error).split())[:200]
        raise ExportRefused(
            f"{path} cannot be read as a pickle ({type(error).__name__}: {reason}): install the packages that wrote it"
        ) from error

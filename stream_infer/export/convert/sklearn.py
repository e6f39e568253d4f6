"""scikit-learn: estimators and pipelines, by skl2onnx; a last step of trees is written here where that is more exact.

Rule: what cannot be converted is named with its place in the pipeline. Columns go by position, never by name, since the
converter renames what is not an identifier.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.errors import ExportRefused, ModelLoadError
from stream_infer.export.convert import catboost, lightgbm, xgboost
from stream_infer.export.convert.contract import IR, ML_OPSET, NUMBERS, OPSET, TEXT, Column, Converted, Rows, labels
from stream_infer.export.convert.graph_parts import append_ensemble, append_node, matrix_model, to_bytes, widen_input
from stream_infer.export.convert.libraries import library, version
from stream_infer.export.convert.sklearn_imputer import converters
from stream_infer.export.convert.sklearn_trees import read_forest, read_histogram_boosting, read_isolation_forest
from stream_infer.export.convert.trees import Ensemble
from stream_infer.scoring.onnx_runtime import open_session

_READERS: dict[str, Callable[[Any], Ensemble]] = {
    "HistGradientBoostingClassifier": read_histogram_boosting,
    "HistGradientBoostingRegressor": read_histogram_boosting,
    "IsolationForest": read_isolation_forest,
    **{
        f"{trees}{kind}": read_forest
        for trees in ("RandomForest", "ExtraTrees", "DecisionTree", "ExtraTree")
        for kind in ("Classifier", "Regressor")
    },
    **dict.fromkeys(("LGBMClassifier", "LGBMRegressor", "LGBMRanker"), lightgbm.read_ensemble),
    **dict.fromkeys(
        ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor"), xgboost.read_ensemble
    ),
    **dict.fromkeys(("CatBoostClassifier", "CatBoostRegressor"), catboost.read_ensemble),
}
"""Estimators that are read as trees, by the name of their class (subclasses may predict otherwise)."""


def convert(model: Any, columns: Sequence[Column]) -> Converted:
    """An estimator or a pipeline; see `contract.Convert`."""
    steps = _steps(model)
    last = steps[-1][1]
    read = _READERS.get(type(last).__name__)
    if read is not None:
        ensemble = _located(lambda: read(last), model, last)
        graph = _before(steps[:-1], columns, ensemble)
        output = ensemble.output
    else:
        graph = _converted(model, columns)
        output = _score_output(graph, model)
    original = _original(model, columns, last)
    name = f"{version(library('sklearn', 'exporting'), 'scikit-learn')} {type(last).__name__}"
    trees = len(steps) == 1 and (read is not None or "GradientBoosting" in type(last).__name__)
    return Converted(to_bytes(graph), original, name, output, labels(model), trees)


def feature_names(model: Any) -> list[str] | None:
    """The names of the columns that the model was trained on; None where it was trained on a bare matrix."""
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def unsupported(model: Any) -> list[str]:
    """Every estimator without a converter, with its place: ``Pipeline step "clf" (MyClassifier)``."""
    library("skl2onnx", "exporting a scikit-learn model")
    from skl2onnx._supported_operators import sklearn_operator_name_map  # the only place that lists classes

    return [
        f"{place} ({type(part).__name__})" if place else type(part).__name__
        for place, part in _parts(model, "")
        if type(part).__name__ not in (*_READERS, *_FRAMES)
        and (type(part) not in sklearn_operator_name_map or getattr(part, "func", None) is not None)
    ]


_FRAMES = ("Pipeline", "ColumnTransformer", "FeatureUnion")


def _steps(model: Any) -> list[tuple[str, Any]]:
    if type(model).__name__ != "Pipeline":
        return [("", model)]
    return [(name, step) for name, step in model.steps if step is not None and step != "passthrough"]


def _parts(model: Any, place: str) -> Iterator[tuple[str, Any]]:
    """An estimator and those inside it that are fitted, each with its place."""
    yield place, model
    inside = f"{place} > " if place else ""
    kind = type(model).__name__
    if kind == "Pipeline":
        children = [(f'Pipeline step "{name}"', step) for name, step in model.steps]
    elif kind == "ColumnTransformer":
        children = [(f'transformer "{name}"', part) for name, part, _ in getattr(model, "transformers_", ())]
    elif kind == "FeatureUnion":
        children = [(f'transformer "{name}"', part) for name, part in model.transformer_list]
    elif any(part in kind for part in ("Forest", "Trees", "Boosting")):
        children = []
    else:
        children = [(f"estimator {at}", part) for at, part in enumerate(getattr(model, "estimators_", ()))]
    for name, part in children:
        if hasattr(part, "get_params"):
            yield from _parts(part, inside + name)


def _located(action: Callable[[], Any], model: Any, part: Any) -> Any:
    """Run, and let a refusal say where in the pipeline the estimator stands."""
    try:
        return action()
    except ExportRefused as error:
        place = next((place for place, found in _parts(model, "") if found is part), "")
        raise ExportRefused(f"{place} ({type(part).__name__}): {error}" if place else str(error)) from error


def _before(steps: Sequence[tuple[str, Any]], columns: Sequence[Column], ensemble: Ensemble) -> Any:
    """A graph of the steps before the last, with the ensemble at its end.

    The steps compute in float64, as scikit-learn does, where ONNX Runtime can: a last bit decides at a threshold.
    """
    if not steps:
        graph = matrix_model(len(columns))
        append_ensemble(graph, NUMBERS, ensemble)
        return graph
    onnx = library("onnx", "exporting")
    pipeline = library("sklearn.pipeline", "exporting").Pipeline(list(steps))
    try:
        graph = _converted(pipeline, columns, doubles=True)
        widen_input(graph)
        open_session(to_bytes(graph))
    except (ExportRefused, ModelLoadError, onnx.checker.ValidationError):
        graph = _converted(pipeline, columns)
    (output,) = graph.graph.output
    kind, source = output.type.tensor_type.elem_type, output.name
    doubles = ensemble.compares_doubles and kind == onnx.TensorProto.DOUBLE
    if kind != onnx.TensorProto.FLOAT and not doubles:
        source = append_node(graph.graph, "Cast", [source], "prepared", to=onnx.TensorProto.FLOAT)
    append_ensemble(graph, source, ensemble, doubles)
    return graph


def _converted(model: Any, columns: Sequence[Column], doubles: bool = False) -> Any:
    """What skl2onnx makes of a model; with ``doubles`` its input ``X`` is float64.

    Raises:
        ExportRefused: it cannot; the message names the estimators in the way, or repeats its reason.
    """
    skl2onnx = library("skl2onnx", "exporting a scikit-learn model")
    if problems := unsupported(model):
        raise ExportRefused(
            f"no converter to ONNX: {', '.join(problems)}; use another estimator, or write that part as ONNX operators "
            "yourself (skl2onnx.update_registered_converter) and export the ONNX file"
        )
    options = {id(part): {"zipmap": False} for _, part in _parts(model, "") if hasattr(part, "predict_proba")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = skl2onnx.convert_sklearn(
                _by_position(model, columns),
                name="model",
                initial_types=_types(columns, doubles, _chooses_columns(model)),
                options=_outermost(options, model),
                target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
                **(converters(part for _, part in _parts(model, "")) if doubles else {}),
            )
    except (NotImplementedError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportRefused(f"{type(model).__name__} cannot be converted to ONNX: {reason}") from error
    proto.ir_version = IR
    for given in proto.graph.input:
        given.type.tensor_type.shape.dim[1].dim_value = sum(column.text == (given.name == TEXT) for column in columns)
    return proto


def _outermost(options: dict[int, dict[str, bool]], model: Any) -> dict[int, dict[str, bool]] | None:
    """ZipMap stands at the end only, so the option is that of the model, or of the pipeline's last step."""
    wanted = {id(_steps(model)[-1][1]), id(model)}
    return {key: value for key, value in options.items() if key in wanted} or None


def _chooses_columns(model: Any) -> bool:
    """True where the first step is a `ColumnTransformer`."""
    kind = type(model).__name__
    return kind == "ColumnTransformer" or (kind == "Pipeline" and _chooses_columns(model.steps[0][1]))


def _types(columns: Sequence[Column], doubles: bool, spare: bool) -> list[tuple[str, Any]]:
    """The inputs as skl2onnx is told. ``spare``: one column wider than they are.

    Of columns that are chosen, and all of them, the converter forgets the order; of all but one it does not.
    """
    types = library("skl2onnx.common.data_types", "exporting a scikit-learn model")
    texts = sum(column.text for column in columns)
    number = types.DoubleTensorType if doubles else types.FloatTensorType
    numbers = [(NUMBERS, number([None, len(columns) - texts + spare]))] if texts < len(columns) else []
    return numbers + ([(TEXT, types.StringTensorType([None, texts + spare]))] if texts else [])


def _by_position(model: Any, columns: Sequence[Column]) -> Any:
    """The model with the columns of its first step by their place in the graph's inputs: numbers first, then text."""
    order = sorted(range(len(columns)), key=lambda at: (columns[at].text, at))
    # Behind the numbers stands the spare column of `_types`.
    spare = int(not all(column.text for column in columns))
    place = {column: at + spare * columns[column].text for at, column in enumerate(order)}
    kind = type(model).__name__
    if kind == "Pipeline":
        changed = copy.copy(model)
        (name, first), *others = model.steps
        changed.steps = [(name, _by_position(first, columns)), *others]
        return changed
    if kind == "ColumnTransformer":
        changed = copy.copy(model)
        where = model._transformer_to_input_indices
        changed.transformers_ = [
            (name, part, [place[at] for at in where[name]]) for name, part, _ in model.transformers_ if name in where
        ]
        return changed
    if any(column.text for column in columns) and order != sorted(order):
        raise ExportRefused(
            f"{type(model).__name__} reads text and numbers: let a ColumnTransformer choose the columns"
        )
    return model


def _score_output(proto: Any, model: Any) -> str:
    """The output to score by: probabilities, a decision function, or a regression's value."""
    onnx = library("onnx", "exporting")
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    found = [output.name for output in proto.graph.output if output.type.tensor_type.elem_type in floats]
    if not found:
        raise ExportRefused(f"{type(_steps(model)[-1][1]).__name__} answers labels only: train one with predict_proba")
    return str(found[-1])


def _original(model: Any, columns: Sequence[Column], last: Any) -> Callable[[Rows], npt.NDArray[Any]]:
    """What the model itself answers: probabilities, an isolation forest's strangeness, or a regression's value."""
    names = feature_names(model)
    if type(last).__name__ == "IsolationForest":
        return lambda rows: -model.score_samples(_table(rows, columns, names)).reshape(-1, 1)
    if hasattr(model, "predict_proba"):
        return lambda rows: np.asarray(model.predict_proba(_table(rows, columns, names)))
    if hasattr(model, "decision_function"):
        return lambda rows: np.asarray(model.decision_function(_table(rows, columns, names))).reshape(len(rows), -1)
    return lambda rows: np.asarray(model.predict(_table(rows, columns, names))).reshape(len(rows), -1)


def _table(rows: Rows, columns: Sequence[Column], names: Sequence[str] | None) -> Any:
    """Rows as the model was trained on: a data frame where it knows names, else a matrix."""
    if names is None and not any(column.text for column in columns):
        return rows.numbers
    numbers, texts = iter(rows.numbers.T), iter(rows.text.T)
    cells = [next(texts) if column.text else next(numbers) for column in columns]
    if names is not None:
        return library("pandas", "a model that was trained on a data frame").DataFrame(
            dict(zip(names, cells, strict=True))
        )
    return np.column_stack([cell.astype(object) for cell in cells])

"""``export``: a model of any known library, or an ONNX file, becomes a bundle.

Rule: what can be read from the model and the sample need not be said: the features' names, which of them are text, the
classes. Parity with the original is proven on the way, before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stream_infer.bundle.manifest import ClassLabel, Manifest
from stream_infer.errors import ExportRefused
from stream_infer.export.bundle_export import ExportReport, make_bundle, model_info
from stream_infer.export.convert import Column, Converted, convert_model, load_model, model_feature_names
from stream_infer.export.convert.contract import NUMBERS, TEXT
from stream_infer.export.convert.families import feature_count
from stream_infer.export.features import FeatureEntry, InputEntry, read_features
from stream_infer.export.fields import SchemaFields, is_record_path
from stream_infer.export.graph import load_graph, open_graph
from stream_infer.export.kinds import file_kind
from stream_infer.export.parity import TOLERANCE, Judge, Proven, prove_parity
from stream_infer.export.sample import Events, Sample, as_sample
from stream_infer.export.study import Study, study_model


def export(
    model: Any,
    *,
    sample: Events,
    to: str | Path,
    feature_names: Sequence[str] | None = None,
    features: str | Path | None = None,
    name: str | None = None,
    version: str | None = None,
    threshold: float = 0.5,
    score: str | None = None,
    classes: Sequence[ClassLabel] | None = None,
    description: str = "",
    license: str = "",
    kind: str | None = None,
    tolerance: float = TOLERANCE,
    contrib_ops: bool = False,
    write: bool = True,
) -> ExportReport:
    """Write a bundle of a model and a sample of real events.

    Args:
        model: a fitted model of scikit-learn, LightGBM, XGBoost, CatBoost or PyTorch, or the path of a file with one,
            or of an ONNX file. Reading a pickle runs the code in it.
        sample: real events: a path (``.avro``, ``.jsonl``, ``.parquet``), a list of dicts, a ``pandas.DataFrame`` or a
            ``pyarrow.Table``; at most 20,000 are taken.
        to: the bundle: a zip if it ends in ``.jar`` (replaced), else a new directory.
        feature_names: the event's fields in the order of the model's columns; by default the names the model was
            trained with.
        features: a feature list (TOML) instead: missing values, categories, offsets. An ONNX file needs one.
        name: of the model; by default from the destination (``fraud-7.bundle.jar`` is fraud, version 7).
        version: of the model, likewise.
        threshold: an event is flagged from this score on.
        score: the output that holds the score, ``OUTPUT`` or ``OUTPUT:COLUMN``; needed where several are possible.
        classes: labels of the output's columns; by default the model's, else 0, 1, ...
        description: a sentence for people.
        license: of the model, an SPDX identifier.
        kind: what a model file is, where its suffix does not say (`stream_infer.export.kinds.KINDS`).
        tolerance: largest difference between graph and original, of scores up to 1; relative to larger ones.
        contrib_ops: allow ONNX Runtime's own operators (com.microsoft), which other runtimes of ONNX do not have.
        write: False: everything but the writing.

    Raises:
        ExportRefused: the model cannot be exported, or does not fit the events; nothing was written.
        UsageError: the destination cannot be written.
    """
    info = model_info(Path(to), name, version, description, license)
    if feature_names is not None and features is not None:
        raise ExportRefused("pass either feature_names or features, which names them as well")
    source, found = _open(model, kind)
    events = as_sample(sample)
    entries = _entries(found, feature_names, features, events)
    if found is None:
        study = study_model(load_graph(Path(source), contrib_ops), events, entries, score, classes)
        return make_bundle(study, info, threshold, to, None, write)
    flat = _flat(entries)
    columns = tuple(_columns(flat, events))
    _check_count(found, columns)
    converted = convert_model(found, columns)
    graph = open_graph(converted.model, source, contrib_ops)
    study = study_model(graph, events, _inputs(flat, events), score or converted.output, classes or _labels(converted))

    def proof(study: Study, model: bytes, manifest: Manifest) -> Proven:
        judge = Judge(manifest.score, threshold, manifest.decision.round_decimals, tolerance)
        return prove_parity(study, converted, columns, model, judge)

    return make_bundle(study, info, threshold, to, proof, write)


def export_onnx(
    model_path: str | Path, features_path: str | Path, events_path: str | Path, to: str | Path, **options: Any
) -> ExportReport:
    """`export` of an ONNX file, from three paths; the options and errors are the same."""
    return export(Path(model_path), features=features_path, sample=events_path, to=to, kind="onnx", **options)


def _open(model: Any, kind: str | None) -> tuple[str, Any]:
    """What to call the model in messages, and the model; None for an ONNX file."""
    if not isinstance(model, str | Path):
        return f"this {type(model).__name__}", model
    path = Path(model)
    found = file_kind(path, kind)
    return str(path), None if found == "onnx" else load_model(path, found)


def _entries(
    model: Any, feature_names: Sequence[str] | None, features: str | Path | None, events: Sample
) -> tuple[InputEntry, ...]:
    if features is not None:
        return read_features(Path(features))
    names = list(feature_names or ()) or (model_feature_names(model) if model is not None else None)
    if not names:
        raise ExportRefused(
            "the model does not say the names of its features: pass a feature list (--features), or feature_names from "
            f"Python; the events have {', '.join(SchemaFields(events.schema).top_level())}"
        )
    return (InputEntry(tuple(names)),)


def _flat(entries: Sequence[InputEntry]) -> list[FeatureEntry]:
    """The features of a library's model, which has one list: the columns it was trained on."""
    if len(entries) > 1:
        raise ExportRefused("this model takes one list of features (`features = [...]`), in the order of its columns")
    return list(entries[0].entries())


def _columns(features: Sequence[FeatureEntry], events: Sample) -> list[Column]:
    columns: list[Column] = []
    for feature in features:
        name, text = feature.name or feature.path, _is_text(feature, events)
        names = [name] if feature.length == 1 else [f"{name}[{at}]" for at in range(feature.length)]
        columns += [Column(column, text) for column in names]
    return columns


def _is_text(feature: FeatureEntry, events: Sample) -> bool:
    """True for a text that goes to the model as it is, not as the number of its category."""
    path = feature.path or feature.name
    if feature.categories is not None or feature.length > 1 or is_record_path(path):
        return False
    field = SchemaFields(events.schema).find(path)
    return field is not None and field.kind in ("string", "enum")


def _inputs(features: Sequence[FeatureEntry], events: Sample) -> list[InputEntry]:
    """The features by the graph's inputs: numbers, and text if there is any."""
    texts = [feature for feature in features if _is_text(feature, events)]
    numbers = [feature for feature in features if not _is_text(feature, events)]
    return [InputEntry(tuple(part), name) for part, name in ((numbers, NUMBERS), (texts, TEXT)) if part]


def _check_count(model: Any, columns: Sequence[Column]) -> None:
    wanted = feature_count(model)
    if wanted is not None and wanted != len(columns):
        raise ExportRefused(f"the model was trained on {wanted} columns, the feature list fills {len(columns)}")


def _labels(converted: Converted) -> tuple[ClassLabel, ...] | None:
    return converted.classes if converted.output == "probabilities" and converted.classes else None


__all__ = ["export", "export_onnx"]

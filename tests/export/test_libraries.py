"""A model of every library that is installed for the tests: exported from Python, scored by the service's scorer."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import numpy.typing as npt
import pandas
import pyarrow
import pytest
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from stream_infer import Scorer
from stream_infer.bundle import ModelBundle
from stream_infer.errors import ExportRefused
from stream_infer.export import ExportReport, export

RNG = np.random.default_rng(5)
ROWS = 800
NAMES = ["amount", "geo.lat", "age", "ratio"]
AMOUNT = RNG.gamma(2, 40, ROWS).astype(np.float32).astype(np.float64)
LAT = np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(48, 3, ROWS).astype(np.float32))
AGE = RNG.integers(0, 2000, ROWS).astype(np.float64)
RATIO = RNG.random(ROWS).astype(np.float32).astype(np.float64)
CELLS = np.column_stack([AMOUNT, LAT, AGE, RATIO])
GROUPED = np.column_stack([AMOUNT, LAT, np.floor(AGE / 150), RATIO])
SIGNAL = np.nan_to_num(LAT - 48, nan=1.0) / 3 + np.log1p(AMOUNT) - 4 + RATIO + AGE % 7 / 5
BINARY = (SIGNAL > 0.6).astype(int)
MULTI = np.digitize(SIGNAL, [0, 1])
IN_GROUP = ((GROUPED[:, 2] % 3 == 0) ^ (RATIO > 0.7)).astype(int)
COUNTS = np.floor(np.exp(np.clip(SIGNAL, -2, 2)))

LIGHT: dict[str, Any] = {"n_estimators": 12, "num_leaves": 8, "verbose": -1, "n_jobs": 1, "min_child_samples": 5}
BOOSTED: dict[str, Any] = {"n_estimators": 12, "max_depth": 4, "n_jobs": 1}

Fit = Callable[[], Any]


def events(cells: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    return [
        {"amount": a, "geo": {"lat": None if np.isnan(lat) else lat}, "age": age, "ratio": ratio}
        for a, lat, age, ratio in cells.tolist()
    ]


def early_stopped() -> Any:
    model = xgboost.XGBClassifier(**{**BOOSTED, "n_estimators": 80, "max_depth": 6}, early_stopping_rounds=2)
    return model.fit(CELLS[:500], BINARY[:500], eval_set=[(CELLS[500:], BINARY[500:])], verbose=False)


def of_categories() -> Any:
    data = xgboost.DMatrix(GROUPED, IN_GROUP, feature_types=["q", "q", "c", "q"], enable_categorical=True)
    return xgboost.train({"objective": "binary:logistic", "max_cat_to_onehot": 2, "nthread": 1}, data, 8)


TREES: dict[str, Fit] = {
    "lightgbm": lambda: lightgbm.LGBMClassifier(**LIGHT).fit(CELLS, BINARY),
    "lightgbm classes": lambda: lightgbm.LGBMClassifier(**LIGHT).fit(CELLS, MULTI),
    "lightgbm one against all": lambda: lightgbm.LGBMClassifier(**LIGHT, objective="multiclassova").fit(CELLS, MULTI),
    "lightgbm regression": lambda: lightgbm.LGBMRegressor(**LIGHT).fit(CELLS, SIGNAL),
    "lightgbm square root": lambda: lightgbm.LGBMRegressor(**LIGHT, reg_sqrt=True).fit(CELLS, SIGNAL),
    "lightgbm counts": lambda: lightgbm.LGBMRegressor(**LIGHT, objective="poisson").fit(CELLS, COUNTS),
    "lightgbm forest": lambda: lightgbm.LGBMClassifier(
        **LIGHT, boosting_type="rf", subsample=0.7, subsample_freq=1
    ).fit(CELLS, BINARY),
    "lightgbm booster": lambda: lightgbm.LGBMClassifier(**LIGHT).fit(CELLS, BINARY).booster_,
    "xgboost": lambda: xgboost.XGBClassifier(**BOOSTED).fit(CELLS, BINARY),
    "xgboost classes": lambda: xgboost.XGBClassifier(**BOOSTED).fit(CELLS, MULTI),
    "xgboost regression": lambda: xgboost.XGBRegressor(**BOOSTED).fit(CELLS, SIGNAL),
    "xgboost counts": lambda: xgboost.XGBRegressor(**BOOSTED, objective="count:poisson").fit(CELLS, COUNTS),
    "xgboost dart": lambda: xgboost.XGBClassifier(**BOOSTED, booster="dart", rate_drop=0.3).fit(CELLS, BINARY),
    "xgboost stopped early": early_stopped,
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=12).fit(CELLS, BINARY),
    "histogram boosting classes": lambda: HistGradientBoostingClassifier(max_iter=6).fit(CELLS, MULTI),
    "histogram boosting counts": lambda: HistGradientBoostingRegressor(max_iter=9, loss="poisson").fit(CELLS, COUNTS),
    "isolation forest": lambda: IsolationForest(n_estimators=12, random_state=0).fit(CELLS),
    "isolation forest of few": lambda: IsolationForest(
        n_estimators=12, max_features=0.5, max_samples=64, random_state=0
    ).fit(CELLS),
    "random forest": lambda: RandomForestClassifier(8, random_state=0).fit(CELLS, BINARY),
    "extra trees": lambda: ExtraTreesClassifier(8, random_state=0).fit(CELLS, MULTI),
    "one tree": lambda: DecisionTreeRegressor(max_depth=6, random_state=0).fit(CELLS, SIGNAL),
}
OTHERS: dict[str, Fit] = {
    "gradient boosting": lambda: make_pipeline(
        SimpleImputer(), GradientBoostingClassifier(n_estimators=12, random_state=0)
    ).fit(CELLS, BINARY),
    "logistic regression": lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(
        CELLS, BINARY
    ),
    "ridge": lambda: make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), Ridge()).fit(CELLS, SIGNAL),
    "perceptron": lambda: make_pipeline(
        SimpleImputer(), StandardScaler(), MLPClassifier((8,), max_iter=30, random_state=0)
    ).fit(CELLS, BINARY),
    "scaled histogram boosting": lambda: make_pipeline(
        StandardScaler(), HistGradientBoostingClassifier(max_iter=12)
    ).fit(CELLS, BINARY),
    "scaled lightgbm": lambda: make_pipeline(SimpleImputer(), StandardScaler(), lightgbm.LGBMClassifier(**LIGHT)).fit(
        CELLS, BINARY
    ),
    "imputed forest": lambda: make_pipeline(
        SimpleImputer(), StandardScaler(), RandomForestRegressor(8, random_state=0)
    ).fit(CELLS, SIGNAL),
}


def answers(model: Any, cells: Any) -> npt.NDArray[np.float64]:
    """What the library says of rows, written down without the code under test."""
    if isinstance(model, lightgbm.Booster):
        return np.asarray(model.predict(cells))
    if isinstance(model, xgboost.Booster):
        return np.asarray(model.inplace_predict(cells))
    if isinstance(model, IsolationForest):
        return -np.asarray(model.score_samples(cells))
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(cells))[:, -1]
    return np.asarray(model.predict(cells))


def write(model: Any, to: Path, cells: npt.NDArray[np.float64] = CELLS, **options: Any) -> ExportReport:
    classes = getattr(model, "classes_", ())
    if len(classes) > 2:
        options.setdefault("score", f"probabilities:{len(classes) - 1}")
    return export(model, sample=events(cells), to=to, feature_names=NAMES, **options)


@pytest.mark.parametrize("name", [*TREES, *OTHERS])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:X does not have valid feature")
def test_the_scorer_answers_as_the_library(name: str, tmp_path: Path) -> None:
    model = (TREES | OTHERS)[name]()
    to = tmp_path / "any-1.bundle.jar"
    report = write(model, to)
    scored = Scorer.load(to).score_events(events(CELLS))
    wanted = answers(model, CELLS)
    np.testing.assert_allclose(scored.score, wanted, rtol=1e-5, atol=1e-5)
    assert report.parity is not None
    assert (report.parity.flips, report.float32_events) == (0, 0)
    assert report.parity.max_abs < 1e-5
    assert report.parity.rows > 4000
    manifest = ModelBundle.load(to).manifest
    assert manifest.parity == report.parity
    assert (manifest.graph.opset, manifest.graph.ir) == ({"": 17, "ai.onnx.ml": 3}, 8) or name in OTHERS
    assert [spec.dtype for spec in manifest.inputs] == ["float32"]
    first = to.read_bytes()
    write(model, to)
    assert to.read_bytes() == first


@pytest.mark.parametrize(
    "fit",
    [
        lambda: lightgbm.LGBMClassifier(**LIGHT, min_data_per_group=5, cat_smooth=1, max_cat_to_onehot=1).fit(
            GROUPED, IN_GROUP, categorical_feature=[2]
        ),
        of_categories,
    ],
    ids=["lightgbm", "xgboost"],
)
def test_splits_on_categories(fit: Fit, tmp_path: Path) -> None:
    model = fit()
    report = write(model, tmp_path / "any-1.bundle.jar", GROUPED)
    graph = ModelBundle.load(tmp_path / "any-1.bundle.jar").files["model.onnx"]
    assert b"BRANCH_EQ" in graph
    assert report.parity is not None
    assert (report.parity.flips, report.parity.max_abs < 1e-6) == (0, True)


def test_a_pipeline_of_a_data_frame_with_text(tmp_path: Path) -> None:
    country = np.array(["NO", "SE", "DK", None], object)[np.arange(ROWS) % 4]
    frame = pandas.DataFrame({"amount": AMOUNT, "country": country, "first.lat": LAT})
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepare = ColumnTransformer([("numbers", numbers, ["first.lat", "amount"]), ("texts", texts, ["country"])])
    frame["country"] = frame["country"].where(frame["country"].notna(), "??")
    model = make_pipeline(prepare, LogisticRegression()).fit(frame, BINARY)
    rows = [
        {"amount": a, "country": c, "first": {"lat": None if np.isnan(lat) else lat}}
        for a, c, lat in zip(AMOUNT.tolist(), frame["country"], LAT.tolist(), strict=True)
    ]
    (tmp_path / "f.toml").write_text(
        'features = ["amount", {path = "country", missing = {value = "??"}}, {name = "lat", path = "first.lat"}]'
    )
    to = tmp_path / "any-1.bundle.jar"
    export(model, sample=rows, to=to, features=tmp_path / "f.toml")
    scored = Scorer.load(to).score_events(rows)
    np.testing.assert_allclose(scored.score, model.predict_proba(frame)[:, 1], atol=1e-5)
    assert [spec.name for spec in ModelBundle.load(to).manifest.inputs] == ["X", "text"]
    unseen = Scorer.load(to).score_events([{**rows[0], "country": "ZZ"}])
    wanted = model.predict_proba(frame.iloc[:1].assign(country="ZZ"))[:, 1]
    np.testing.assert_allclose(unseen.score, wanted, atol=1e-5)


def test_names_come_from_the_model(tmp_path: Path) -> None:
    frame = pandas.DataFrame(CELLS[:, [3, 0]], columns=["ratio", "amount"])
    model = HistGradientBoostingClassifier(max_iter=5).fit(frame, BINARY)
    export(model, sample=frame, to=tmp_path / "a-1.bundle.jar")
    features = ModelBundle.load(tmp_path / "a-1.bundle.jar").manifest.inputs[0].features
    assert [feature.path for feature in features] == ["ratio", "amount"]


def test_events_of_every_kind_give_the_same_bundle(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"amount": AMOUNT, "ratio": RATIO})
    model = Ridge().fit(frame, SIGNAL)
    bundles = []
    for sample in (frame, pyarrow.Table.from_pandas(frame), frame.to_dict("records")):
        to = tmp_path / "a-1.bundle.jar"
        export(model, sample=sample, to=to)
        bundles.append(to.read_bytes())
    assert bundles[1:] == bundles[:2]


def test_model_files(tmp_path: Path) -> None:
    light, boosted = TREES["lightgbm"](), TREES["xgboost"]()
    light.booster_.save_model(tmp_path / "a.txt")
    boosted.save_model(tmp_path / "a.json")
    boosted.save_model(tmp_path / "a.ubj")
    joblib.dump(light, tmp_path / "a.joblib")
    joblib.dump(boosted, tmp_path / "model", protocol=4)
    scores = {}
    for name, kind in (("a.txt", None), ("a.json", None), ("a.ubj", None), ("a.joblib", None), ("model", "pickle")):
        to = tmp_path / "a-1.bundle.jar"
        write(tmp_path / name, to, kind=kind)
        scores[name] = Scorer.load(to).score_events(events(CELLS)).score
    np.testing.assert_array_equal(scores["a.txt"], scores["a.joblib"])
    np.testing.assert_array_equal(scores["a.json"], scores["a.ubj"])
    np.testing.assert_array_equal(scores["a.json"], scores["model"])


class MyClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator that no converter knows."""

    def fit(self, cells: Any, labels: Any) -> MyClassifier:
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, cells: Any) -> Any:
        return np.full((len(cells), 2), 0.5)


class MyForest(RandomForestClassifier):  # type: ignore[misc]
    """One that answers otherwise than what it is derived from."""


def custom(cells: Any) -> Any:
    return cells * 2


REFUSED: dict[str, tuple[Fit, str]] = {
    "an estimator nobody knows": (
        lambda: make_pipeline(SimpleImputer(), MyClassifier()).fit(CELLS, BINARY),
        r'Pipeline step "myclassifier" \(MyClassifier\)',
    ),
    "a subclass": (lambda: MyForest(3).fit(CELLS, BINARY), "no converter to ONNX: MyForest"),
    "a function": (
        lambda: make_pipeline(FunctionTransformer(custom), HistGradientBoostingClassifier()).fit(CELLS, BINARY),
        r'Pipeline step "functiontransformer" \(FunctionTransformer\)',
    ),
    "inside a column transformer": (
        lambda: make_pipeline(
            ColumnTransformer([("odd", FunctionTransformer(custom), [0, 1])]), RandomForestClassifier(3)
        ).fit(CELLS, BINARY),
        r'Pipeline step "columntransformer" > transformer "odd" \(FunctionTransformer\)',
    ),
    "categories of histogram boosting": (
        lambda: make_pipeline(
            HistGradientBoostingClassifier(categorical_features=[2], max_iter=3),
        ).fit(GROUPED, BINARY),
        r'Pipeline step "histgradientboostingclassifier" \(HistGradientBoostingClassifier\): categorical features',
    ),
    "linear leaves": (
        lambda: lightgbm.LGBMRegressor(**LIGHT, linear_tree=True).fit(np.nan_to_num(CELLS), SIGNAL),
        "linear_tree=false",
    ),
    "zeros as missing": (lambda: lightgbm.LGBMRegressor(**LIGHT, zero_as_missing=True).fit(CELLS, SIGNAL), "zero_as"),
    "a number for missing": (lambda: xgboost.XGBClassifier(**BOOSTED, missing=-1).fit(CELLS, BINARY), "missing=nan"),
    "a linear booster": (
        lambda: xgboost.XGBRegressor(booster="gblinear", n_jobs=1).fit(np.nan_to_num(CELLS), SIGNAL),
        "gblinear",
    ),
    "columns too few": (
        lambda: Ridge().fit(CELLS[:, [0, 2]], SIGNAL),
        "trained on 2 columns, the feature list fills 4",
    ),
    "no model": (lambda: {"weights": [1]}, "a dict is of no library"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_named(name: str, tmp_path: Path) -> None:
    fit, reason = REFUSED[name]
    with pytest.raises(ExportRefused, match=reason):
        write(fit(), tmp_path / "a-1.bundle.jar")
    assert list(tmp_path.iterdir()) == []


def test_a_feature_too_fine_for_float32_is_named(tmp_path: Path) -> None:
    seconds = 1_760_000_000 + RNG.integers(0, 5000, ROWS).astype(np.float64)
    late = (seconds - 1_760_000_000 > 2500).astype(int)
    frame = pandas.DataFrame({"amount": AMOUNT, "seconds": seconds})
    model = lightgbm.LGBMClassifier(**LIGHT).fit(frame, late)
    with pytest.raises(
        ExportRefused, match=r"'seconds' is too fine for its 7 digits: subtract something near with `offs"
    ):
        export(model, sample=frame, to=tmp_path / "a-1.bundle.jar")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "f.toml").write_text('features = ["amount", {path = "seconds", offset = -1760000000}]')
    model.fit(frame.assign(seconds=seconds - 1_760_000_000), late)
    export(model, sample=frame, to=tmp_path / "a-1.bundle.jar", features=tmp_path / "f.toml")
    scored = Scorer.load(tmp_path / "a-1.bundle.jar").score_table(frame)
    wanted = model.predict(frame.assign(seconds=seconds - 1_760_000_000))
    np.testing.assert_array_equal(scored.flagged, wanted == 1)


def test_events_on_a_threshold_of_a_model_trained_on_float64_are_counted(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"amount": np.round(AMOUNT, 2)})
    model = HistGradientBoostingRegressor(max_iter=30, max_bins=40).fit(frame, SIGNAL)
    report = export(model, sample=frame, to=tmp_path / "a-1.bundle.jar")
    assert report.float32_events > 0
    assert report.parity is not None
    assert report.parity.flips == 0


def test_a_graph_that_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nearest(thresholds: Any, _: str) -> npt.NDArray[np.float32]:
        return np.asarray(thresholds, np.float64).astype(np.float32)

    monkeypatch.setattr("stream_infer.export.convert.trees.exact_float32", nearest)
    with pytest.raises(ExportRefused, match=r"the graph does not answer as lightgbm .* does: \d+ of \d+ rows differ"):
        write(TREES["lightgbm"](), tmp_path / "a-1.bundle.jar")
    assert list(tmp_path.iterdir()) == []


def test_text_needs_categories_where_the_library_takes_numbers(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"amount": AMOUNT, "kind": np.array(["a", "b"])[np.arange(ROWS) % 2]})
    codes = frame.assign(kind=(frame["kind"] == "b").astype(float))
    model = lightgbm.LGBMClassifier(**LIGHT).fit(codes, BINARY)
    with pytest.raises(ExportRefused, match="kind is text, and LGBMClassifier takes numbers: list the `categories`"):
        export(model, sample=frame, to=tmp_path / "a-1.bundle.jar")
    (tmp_path / "f.toml").write_text('features = ["amount", {path = "kind", categories = ["a", "b"]}]')
    export(model, sample=frame, to=tmp_path / "a-1.bundle.jar", features=tmp_path / "f.toml")
    scored = Scorer.load(tmp_path / "a-1.bundle.jar").score_table(frame)
    np.testing.assert_allclose(scored.score, answers(model, codes), atol=1e-6)


def test_nothing_is_written_where_only_the_answer_is_asked_for(tmp_path: Path) -> None:
    report = write(TREES["lightgbm"](), tmp_path / "a-1.bundle.jar", write=False)
    assert (report.digest, report.size_bytes) == ("", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package, suffix in (("catboost", "catboost", "cbm"), ("lightgbm", "lightgbm", "txt")):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        (tmp_path / f"a.{suffix}").touch()
        with pytest.raises(ExportRefused, match=rf"needs {package}, which is not installed: pip install {package}$"):
            write(tmp_path / f"a.{suffix}", tmp_path / "a-1.bundle.jar")
    monkeypatch.setitem(__import__("sys").modules, "skl2onnx", None)
    with pytest.raises(ExportRefused, match=re.escape("pip install 'stream-infer[export]'")):
        write(OTHERS["logistic regression"](), tmp_path / "a-1.bundle.jar")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.pkl", "cannot be read as a pickle"),
        ("a.txt", "is not a LightGBM model"),
        ("a.json", "is not an XGBoost model"),
        ("a.bin", "has no suffix of a model"),
        ("none.pkl", "is not a file"),
    ],
)
def test_files_that_are_no_models(name: str, reason: str, tmp_path: Path) -> None:
    if not name.startswith("none"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ExportRefused, match=reason):
        write(tmp_path / name, tmp_path / "a-1.bundle.jar")

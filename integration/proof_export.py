"""`make proof-export`: models of every library, exported and scored by the service's scorer, beside the library itself.

Each is trained on 60,000 payments, exported twice (the same bytes), and asked for the scores of 100,000 others, read
from their JSON. Models of trees must not change one decision; nothing may differ by more than 1e-5. CatBoost and
PyTorch are not among the development packages: where one is not installed, that is said instead of a result.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
import xgboost
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stream_infer import Scorer
from stream_infer.export import export
from stream_infer.scoring.decision import flag
from stream_infer.testing.payments import PaymentColumns, PaymentStream
from training.train_demo_model import FEATURES, feature_matrix

TRAINING_PAYMENTS, SAMPLE_PAYMENTS, SCORED_PAYMENTS = 60_000, 5_000, 100_000
THRESHOLD = 0.5

Cells = npt.NDArray[np.float32]
Ask = Callable[[Cells], npt.NDArray[Any]]


class Case(NamedTuple):
    """A library's model, and its score of rows, in its own words."""

    model: Any
    score: Ask
    trees: bool = True


class Payments(NamedTuple):
    """Payments to train on, to export with, and to score."""

    cells: Cells
    is_fraud: npt.NDArray[np.bool_]
    sample: list[dict[str, Any]]
    scored: PaymentColumns


@pytest.fixture(scope="module")
def payments() -> Payments:
    """One stream: training first, then the sample, then what is scored."""
    stream = PaymentStream(seed=31, fraud_rate=0.02)
    training = stream.columns(TRAINING_PAYMENTS)
    sample = stream.columns(SAMPLE_PAYMENTS).to_dicts()
    return Payments(feature_matrix(training), training.is_fraud, sample, stream.columns(SCORED_PAYMENTS))


def of_classifier(model: Any, data: Payments, trees: bool = True) -> Case:
    """A model with ``predict_proba``, asked in float64: a scaler computes in the precision that it is given."""
    fitted = model.fit(data.cells, data.is_fraud.astype(int))
    return Case(fitted, lambda cells: fitted.predict_proba(cells.astype(np.float64))[:, 1], trees)


def of_isolation_forest(data: Payments) -> Case:
    """No label, and no decision_function: ``-score_samples``."""
    forest = IsolationForest(n_estimators=100, random_state=0).fit(data.cells)
    return Case(forest, lambda cells: -forest.score_samples(cells))


def of_catboost(data: Payments) -> Case:
    """Symmetric trees on numbers."""
    import catboost

    options = {"iterations": 200, "depth": 6, "verbose": 0, "allow_writing_files": False, "thread_count": 2}
    return of_classifier(catboost.CatBoostClassifier(**options, random_seed=0), data)


def of_torch(data: Payments) -> Case:
    """A perceptron that fills, scales and ends in a sigmoid; its weights are as drawn, which parity does not mind."""
    import torch

    mean = np.nanmean(data.cells, axis=0)
    deviation = np.nanstd(data.cells, axis=0) + 1e-6

    class Perceptron(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor(mean))
            self.register_buffer("deviation", torch.tensor(deviation))
            width = len(mean)
            self.layers = torch.nn.Sequential(torch.nn.Linear(width, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))

        def forward(self, cells: Any) -> Any:
            filled = torch.where(torch.isnan(cells), self.mean, cells)
            return torch.sigmoid(self.layers((filled - self.mean) / self.deviation))

    torch.manual_seed(0)
    model = Perceptron().eval()

    def score(cells: Cells) -> npt.NDArray[Any]:
        with torch.no_grad():
            answer: npt.NDArray[Any] = model(torch.from_numpy(cells)).numpy()[:, 0]
        return answer

    return Case(model, score, trees=False)


LIGHT: dict[str, Any] = {"n_estimators": 200, "num_leaves": 31, "verbose": -1, "n_jobs": 2}
FITS: dict[str, Callable[[Payments], Case]] = {
    "lightgbm": lambda data: of_classifier(lightgbm.LGBMClassifier(**LIGHT), data),
    "xgboost": lambda data: of_classifier(xgboost.XGBClassifier(n_estimators=200, max_depth=6, n_jobs=2), data),
    "catboost": of_catboost,
    "torch": of_torch,
    "histogram boosting": lambda data: of_classifier(HistGradientBoostingClassifier(max_iter=200), data),
    "gradient boosting": lambda data: of_classifier(
        make_pipeline(SimpleImputer(), GradientBoostingClassifier(n_estimators=40, random_state=0)), data
    ),
    "random forest": lambda data: of_classifier(
        RandomForestClassifier(50, max_depth=14, random_state=0, n_jobs=2), data
    ),
    "extra trees": lambda data: of_classifier(ExtraTreesClassifier(50, max_depth=14, random_state=0, n_jobs=2), data),
    "isolation forest": of_isolation_forest,
    "logistic regression": lambda data: of_classifier(
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=300)), data, trees=False
    ),
    "perceptron": lambda data: of_classifier(
        make_pipeline(SimpleImputer(), StandardScaler(), MLPClassifier((32,), max_iter=8, random_state=0)),
        data,
        trees=False,
    ),
    "scaled lightgbm": lambda data: of_classifier(
        make_pipeline(SimpleImputer(), StandardScaler(), lightgbm.LGBMClassifier(**LIGHT)), data
    ),
    "scaled random forest": lambda data: of_classifier(
        make_pipeline(SimpleImputer(), StandardScaler(), RandomForestClassifier(50, max_depth=14, random_state=0)), data
    ),
}


def require(name: str) -> None:
    """Say loudly that a library is not there."""
    if name in ("catboost", "torch") and importlib.util.find_spec(name) is None:
        pytest.skip(f"NOT RUN: {name} is not installed")


def save_catboost(model: Any, folder: Path) -> Path:
    """As ``.cbm``."""
    model.save_model(str(folder / "model.cbm"))
    return folder / "model.cbm"


def save_torch(model: Any, folder: Path) -> Path:
    """As an exported program with a free batch."""
    import torch

    cells = torch.zeros(2, len(model.mean))
    program = torch.export.export(model, (cells,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, folder / "model.pt2")
    return folder / "model.pt2"


@pytest.mark.parametrize(("name", "save"), [("catboost", save_catboost), ("torch", save_torch)])
@pytest.mark.filterwarnings("ignore")
def test_a_file_gives_the_scores_of_the_model(
    name: str, save: Callable[[Any, Path], Path], payments: Payments, tmp_path: Path
) -> None:
    """The files of the two libraries that the tests of every run do without."""
    require(name)
    case = FITS[name](payments)
    to = tmp_path / "fraud-1.bundle.jar"
    export(save(case.model, tmp_path), sample=payments.sample, to=to, features=FEATURES)
    scored = Scorer.load(to).score_events(payments.sample)
    export(case.model, sample=payments.sample, to=to, features=FEATURES)
    np.testing.assert_array_equal(scored.score, Scorer.load(to).score_events(payments.sample).score)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.filterwarnings("ignore")
def test_the_bundle_answers_as_the_library(name: str, payments: Payments, tmp_path: Path) -> None:
    """Twice the same bytes; the largest difference and the decisions that change are printed."""
    require(name)
    case = FITS[name](payments)
    to = tmp_path / "fraud-1.bundle.jar"
    export(case.model, sample=payments.sample, to=to, features=FEATURES, threshold=THRESHOLD)
    first = to.read_bytes()
    report = export(case.model, sample=payments.sample, to=to, features=FEATURES, threshold=THRESHOLD)
    scored = Scorer.load(to).score_bytes(payments.scored.to_json())
    wanted = case.score(feature_matrix(payments.scored)).astype(np.float64)
    difference = float(np.abs(scored.score - wanted).max())
    flips = int((scored.flagged != flag(wanted.astype(np.float32), THRESHOLD, 6)).sum())
    assert report.parity is not None
    print(
        f"\n{name}: {len(wanted):,} payments, {int(scored.flagged.sum())} flagged, "
        f"largest difference {difference:.2g}, {flips} decisions changed; "
        f"at export {report.parity.rows:,} rows, {report.parity.max_abs:.2g}, {report.parity.flips}; "
        f"{report.float32_events} events between float32 and float64; {len(first):,} bytes"
    )
    assert len(scored) == SCORED_PAYMENTS
    assert not scored.status.any()
    assert difference < 1e-5
    assert flips == 0 or not case.trees
    assert to.read_bytes() == first

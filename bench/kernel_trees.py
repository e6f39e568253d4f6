"""The tree kernel against ONNX Runtime: CPU per row, on rows that neither has seen.

Rule: both answer the same rows, one after the other within a round, and no row comes twice: repeated rows teach the
branch predictor, which flatters whoever branches. Only the ratio within a round means something; the median of all
rounds is reported. The scores are compared bit for bit on the way.

    python -m bench.kernel_trees
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import numpy.typing as npt
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from stream_infer.bundle.manifest import InputSpec, OutputSpec
from stream_infer.scoring.onnx_runtime import OnnxRuntime
from stream_infer.scoring.tree_proof import ModelRuntime, with_tree_kernel
from stream_infer.scoring.tree_runtime import TreeRuntime

_WIDTH = 20
_TRAINING_ROWS = 20_000
_MISSING = 0.1

Cells = npt.NDArray[np.float32]


class Contest(NamedTuple):
    """One model in both engines."""

    onnx: OnnxRuntime
    kernel: TreeRuntime
    load_seconds: float
    source: str


def draw(random: np.random.Generator, rows: int, missing: float = _MISSING) -> Cells:
    """Rows of normally distributed cells, some of them missing."""
    cells = random.normal(size=(rows, _WIDTH)).astype(np.float32)
    cells[random.random(cells.shape) < missing] = np.nan
    return cells


def training() -> tuple[Cells, npt.NDArray[np.int64]]:
    """Rows without missing cells, and classes that depend on several of them."""
    random = np.random.default_rng(1)
    cells = draw(random, _TRAINING_ROWS, missing=0)
    signal = cells[:, 0] + cells[:, 1] * cells[:, 2] + np.sin(3 * cells[:, 3]) + cells[:, 4] * (cells[:, 5] > 0)
    noise = random.normal(size=_TRAINING_ROWS)
    return cells, (signal + noise > 1).astype(np.int64)


def of_sklearn(model: Any) -> bytes:
    """A scikit-learn classifier as ONNX."""
    cells, classes = training()
    options = {"zipmap": False}
    return bytes(to_onnx(model.fit(cells, classes), cells[:1], options=options).SerializeToString())


def of_lightgbm(trees: int, leaves: int) -> bytes:
    """A LightGBM classifier as ONNX."""
    model = lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=leaves, verbose=-1, n_jobs=1)
    types = [("X", FloatTensorType([None, _WIDTH]))]
    return bytes(convert_lightgbm(model.fit(*training()), initial_types=types, zipmap=False).SerializeToString())


def of_xgboost(trees: int, depth: int) -> bytes:
    """An XGBoost classifier as ONNX."""
    model = xgboost.XGBClassifier(n_estimators=trees, max_depth=depth, n_jobs=1)
    types = [("X", FloatTensorType([None, _WIDTH]))]
    return bytes(convert_xgboost(model.fit(*training()), initial_types=types).SerializeToString())


MODELS: dict[str, Callable[[], bytes]] = {
    "gradient boosting 100 x depth 6": lambda: of_sklearn(
        GradientBoostingClassifier(n_estimators=100, max_depth=6, subsample=0.2, max_features=5)
    ),
    "LightGBM 100 x 31 leaves": lambda: of_lightgbm(100, 31),
    "LightGBM 500 x 31 leaves": lambda: of_lightgbm(500, 31),
    "XGBoost 300 x depth 6": lambda: of_xgboost(300, 6),
    "random forest 100 x depth 10": lambda: of_sklearn(RandomForestClassifier(100, max_depth=10)),
}


def load(model: bytes) -> Contest:
    """Open a model in both engines.

    Raises:
        SystemExit: the kernel does not serve it.
    """
    source = "X"
    spec = InputSpec(source, "float32", (-1, _WIDTH), ())
    output = OutputSpec("probabilities", "float32", (-1, 2), "probabilities")
    golden = {source: draw(np.random.default_rng(2), 256)}
    began = time.perf_counter()
    served = with_tree_kernel(model, OnnxRuntime(model, [spec], output), golden)
    seconds = time.perf_counter() - began
    if not isinstance(served, TreeRuntime):
        raise SystemExit(served.remark)
    return Contest(OnnxRuntime(model, [spec], output), served, seconds, source)


def ratios(contest: Contest, batch_rows: int, rounds: int, calls: int) -> Iterator[tuple[float, float]]:
    """Microseconds of CPU per row of each round: ONNX Runtime's, the kernel's.

    Raises:
        SystemExit: a score differs.
    """
    random = np.random.default_rng(batch_rows)
    for turn in range(rounds):
        batches = [{contest.source: draw(random, batch_rows)} for _ in range(calls)]
        spent: dict[str, float] = {}
        answers: dict[str, list[Any]] = {}
        engines: list[tuple[str, ModelRuntime]] = [("onnx", contest.onnx), ("kernel", contest.kernel)]
        for name, runtime in engines[:: 1 if turn % 2 else -1]:
            began = time.process_time()
            answers[name] = [runtime.run(batch) for batch in batches]
            spent[name] = (time.process_time() - began) / (calls * batch_rows) * 1e6
        if any((a.view(np.int32) != b.view(np.int32)).any() for a, b in zip(*answers.values(), strict=True)):
            raise SystemExit("a score differs")
        yield spent["onnx"], spent["kernel"]


def main() -> None:
    """Print a line for each model and batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-rows", type=int, nargs="*", default=[1, 8, 256])
    parser.add_argument("--models", nargs="*", default=list(MODELS), help="of those that this script knows")
    arguments = parser.parse_args()
    print(f"{'model':34}{'load s':>8}{'rows':>6}{'ONNX us':>10}{'kernel us':>11}{'ratio':>8}")
    for name in arguments.models:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converters' own
            contest = load(MODELS[name]())
        for batch_rows in arguments.batch_rows:
            found = list(ratios(contest, batch_rows, arguments.rounds, max(20, 8192 // batch_rows)))
            onnx_us, kernel_us = (statistics.median(column) for column in zip(*found, strict=True))
            ratio = statistics.median(onnx / kernel for onnx, kernel in found)
            print(
                f"{name:34}{contest.load_seconds:8.2f}{batch_rows:6}{onnx_us:10.2f}{kernel_us:11.2f}{ratio:8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

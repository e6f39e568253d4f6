"""The sparkov payments: 182,254 simulated card payments with decimals, dates, timestamps and text.

Rule: the events are written with fastavro from the table's own values, and the model's matrix is built from the
table's columns, so that both sides of the comparison come from the table and not from the program.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "sparkov" / "transactions_2019-01_2019-09.parquet"
NEW_YEAR_S = 1_546_300_800
"""2019-01-01 00:00 UTC: times count from here, so that float32 keeps them to two seconds."""
_CENTS_PER_DOLLAR = 100
_DAY_S = 86_400
# Neither the category nor the hour of the day: in this set both follow the calendar (January holds two categories, and
# no payment after noon), so a model that has seen the first months only would learn the season.
_NUMBERS = ("lat", "long", "merch_lat", "merch_long", "city_pop")
_TEXTS = ("gender", "profile")
_LABEL = "is_fraud"

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Transaction",
    "namespace": "sparkov",
    "fields": [
        {"name": "trans_num", "type": "string"},
        {"name": "trans_time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "cc_num", "type": "string"},
        {"name": "amt", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "category", "type": "string"},
        {"name": "merchant", "type": "string"},
        {"name": "merch_lat", "type": "double"},
        {"name": "merch_long", "type": "double"},
        {"name": "first", "type": "string"},
        {"name": "last", "type": "string"},
        {"name": "gender", "type": {"type": "enum", "name": "Gender", "symbols": ["F", "M"]}},
        {"name": "dob", "type": {"type": "int", "logicalType": "date"}},
        {"name": "job", "type": "string"},
        {"name": "street", "type": "string"},
        {"name": "city", "type": "string"},
        {"name": "state", "type": "string"},
        {"name": "zip", "type": "string"},
        {"name": "lat", "type": "double"},
        {"name": "long", "type": "double"},
        {"name": "city_pop", "type": "int"},
        {"name": "acct_num", "type": "string"},
        {"name": "profile", "type": "string"},
    ],
}
"""Of one event: all columns but the label, which nobody knows when the card is used."""


@dataclass(frozen=True, slots=True)
class Sparkov:
    """The whole set in the order of event time. n rows."""

    table: pyarrow.Table

    @classmethod
    def read(cls) -> Sparkov:
        """Read the file at `DATA`."""
        return cls(pyarrow.parquet.read_table(DATA))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def is_fraud(self) -> npt.NDArray[np.bool_]:
        """The label, bool ``[n]``."""
        is_fraud: npt.NDArray[np.bool_] = self._numpy(_LABEL) == 1
        return is_fraud

    @property
    def month(self) -> npt.NDArray[np.int64]:
        """Month of the event, 1 to 9, int64 ``[n]``."""
        return np.asarray(pyarrow.compute.month(self.table["trans_time"]), np.int64)

    @property
    def cents(self) -> npt.NDArray[np.int64]:
        """The amount, int64 ``[n]``."""
        return np.array([int(amount.scaleb(2)) for amount in self.table["amt"].to_pylist()], np.int64)

    def texts(self, name: str) -> list[str]:
        """A column of text."""
        values: list[str] = self.table[name].to_pylist()
        return values

    def events(self) -> list[dict[str, Any]]:
        """Each event as Python values: `decimal.Decimal`, `datetime.date`, `datetime.datetime`, ..."""
        events: list[dict[str, Any]] = self.table.drop_columns([_LABEL]).to_pylist()
        return events

    def categories(self, name: str) -> list[str]:
        """What a column of text may hold, sorted: the codes of the model are places in this list."""
        return sorted(set(self.texts(name)))

    def matrix(self) -> npt.NDArray[np.float32]:
        """The model's input, float32 ``[n, 10]``: what `feature_list` says, from the columns themselves."""
        seconds = self._numpy("trans_time", pyarrow.int64()) / 1000 - NEW_YEAR_S
        # A whole number of cents divided by 100 is the double nearest to the decimal.
        columns = [seconds, self.cents / _CENTS_PER_DOLLAR, self._numpy("dob", pyarrow.int32())]
        columns += [self._numpy(name) for name in _NUMBERS]
        columns += [self._codes(name) for name in _TEXTS]
        return np.column_stack(columns).astype(np.float32)

    def feature_list(self) -> str:
        """The entries of the feature list, in TOML, in the order of `matrix`."""
        entries = [f'{{path = "trans_time", offset = -{NEW_YEAR_S}}}', '"amt"', '"dob"']
        entries += [f'"{name}"' for name in _NUMBERS]
        entries += [f'{{path = "{name}", categories = {self.categories(name)}}}' for name in _TEXTS]
        return ",\n".join(entries)

    def _numpy(self, name: str, as_type: pyarrow.DataType | None = None) -> npt.NDArray[Any]:
        column = self.table[name] if as_type is None else self.table[name].cast(as_type)
        values: npt.NDArray[Any] = column.to_numpy()
        return values

    def _codes(self, name: str) -> npt.NDArray[np.int64]:
        return np.searchsorted(np.array(self.categories(name)), np.array(self.texts(name))).astype(np.int64)


def train(matrix: npt.NDArray[np.float32], is_fraud: npt.NDArray[np.bool_]) -> bytes:
    """Train a small gradient-boosted model; the ONNX graph works out age and distance by itself."""
    model = HistGradientBoostingClassifier(
        max_iter=120, max_leaf_nodes=8, learning_rate=0.05, l2_regularization=1.0, early_stopping=False, random_state=0
    )
    cells = _prepared(matrix)
    model.fit(cells, is_fraud)
    # The converter hands numpy integers to protobuf, which has begun to warn of them.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        graph = convert_sklearn(
            model,
            initial_types=[("cells", FloatTensorType([None, cells.shape[1]]))],
            options={id(model): {"zipmap": False}},
            target_opset={"": 17, "ai.onnx.ml": 3},
        )
    return _with_preparation(graph, matrix.shape[1])


def _prepared(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What the trees see: age in days since the new year, distance in degrees, and the other cells as they are."""
    time, amount, born, lat, long, merchant_lat, merchant_long = matrix.T[:7]
    age, distance = time / _DAY_S - born, np.hypot(lat - merchant_lat, long - merchant_long)
    return np.column_stack([age, distance, amount, matrix[:, 7:]]).astype(np.float32)


def _with_preparation(model: onnx.ModelProto, width: int) -> bytes:
    """The graph with the same steps before it: preprocessing belongs in the graph."""
    names = ["time", "amount", "born", "here", "there", "rest"]
    nodes = [
        helper.make_node("Split", ["X", "widths"], names, axis=1),
        helper.make_node("Div", ["time", "day"], ["days"]),
        helper.make_node("Sub", ["days", "born"], ["age"]),
        helper.make_node("Sub", ["here", "there"], ["way"]),
        helper.make_node("ReduceL2", ["way"], ["distance"], axes=[1], keepdims=1),
        helper.make_node("Concat", ["age", "distance", "amount", "rest"], ["cells"], axis=1),
    ]
    graph = helper.make_graph(
        [*nodes, *model.graph.node],
        "sparkov",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", width])],
        list(model.graph.output),
        [
            *model.graph.initializer,
            numpy_helper.from_array(np.array([1, 1, 1, 2, 2, width - 7]), "widths"),
            numpy_helper.from_array(np.array(_DAY_S, np.float32), "day"),
        ],
    )
    whole = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=8)
    return bytes(whole.SerializeToString())


def precision_and_recall(flagged: npt.NDArray[np.bool_], is_fraud: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Share of flags that are fraud, share of frauds that are flagged."""
    hits = int((flagged & is_fraud).sum())
    return hits / max(1, int(flagged.sum())), hits / max(1, int(is_fraud.sum()))


__all__ = ["DATA", "SCHEMA", "Sparkov", "precision_and_recall", "train"]

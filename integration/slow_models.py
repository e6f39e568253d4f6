"""Models that take as long as an event asks for, or die of it, in one graph.

The score of an event is its ``amount``, whatever the rest of the graph does. Three more fields, 0 where absent, say
what becomes of the call that scores the event:

- ``turns``: so many rounds of a `Loop` of two small nodes. The runtime looks between nodes whether it is to stop, so
  ``RunOptions.terminate`` ends it at once.
- ``boxes``: `NonMaxSuppression` over so many boxes, none of which overlaps another: one node whose work grows with
  the square of their number, and which runs to its end whatever it is told (300,000 boxes: some 40 s).
- ``crash``: 1 divides the smallest int64 by -1, which ends the process with SIGFPE.

Rule: no sleeping and no test code inside the program: the graph really computes, in the packaged runtime.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import NodeProto, TensorProto, helper, numpy_helper

from stream_infer.bundle import Envelope, GoldenAnswers, GoldenEvents, encode_rows, read_graph_facts, write_bundle
from stream_infer.bundle.golden import encode_answers, encode_events
from stream_infer.bundle.manifest import (
    Decision,
    FeatureSpec,
    GoldenInfo,
    InputSpec,
    Manifest,
    MissingValue,
    ModelInfo,
    OnnxInfo,
    OutputSpec,
    ScoreRef,
)
from stream_infer.scoring.decision import flag

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
AMOUNT, TURNS, BOXES, CRASH = 0, 1, 2, 3
ENDLESS_TURNS = 1_000_000_000
ENDLESS_BOXES = 300_000
SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "amount", "type": "double"},
        {"name": "turns", "type": "long", "default": 0},
        {"name": "boxes", "type": "long", "default": 0},
        {"name": "crash", "type": "long", "default": 0},
    ],
}
_WIDTH = 128
_GOLDEN_ROWS = 16
_THRESHOLD = 0.5
_CALIBRATION_TURNS = 2000
_CALIBRATIONS = 10


def write_slow_bundle(to: Path, turns_per_call: int = 0, heeds_events: bool = True) -> Path:
    """Write a bundle of such a model.

    Args:
        to: where, ``NAME-VERSION.bundle.jar``.
        turns_per_call: rounds that every call takes, whatever its events say.
        heeds_events: False for the mended model: ``turns`` and ``boxes`` of events have no effect.
    """
    model = slow_graph(turns_per_call, heeds_events)
    facts = read_graph_facts(model, str(to))
    features = tuple(
        FeatureSpec(name=name, path=name, missing=MissingValue(0)) for name in ("amount", "turns", "boxes", "crash")
    )
    manifest = Manifest(
        format_version="1.0",
        model=ModelInfo("slow", "1"),
        onnx=OnnxInfo("model.onnx", facts.opset, facts.ir, "1.15", facts.op_names),
        inputs=(InputSpec("X", "float32", (-1, 4), features),),
        outputs=(OutputSpec("score", "float32", (-1, 1), "score"),),
        score=ScoreRef("score", 0),
        classes=(),
        decision=Decision(_THRESHOLD),
        golden=GoldenInfo(rows=_GOLDEN_ROWS, onnxruntime=ort.__version__),
        files={},
    )
    write_bundle(to, manifest, {"model.onnx": model, **_golden_files()})
    return to


def _golden_files() -> dict[str, bytes]:
    amounts = np.linspace(0, 1, _GOLDEN_ROWS).astype(np.float32)
    events = [
        {"id": row, "amount": float(amount), "turns": 0, "boxes": 0, "crash": 0} for row, amount in enumerate(amounts)
    ]
    values = tuple(encode_rows(SCHEMA, events))
    answers = GoldenAnswers(amounts, flag(amounts, _THRESHOLD, 6), (None,) * _GOLDEN_ROWS, None)
    return {
        "schema/input.avsc": json.dumps(SCHEMA).encode(),
        "golden/input.avro": encode_events(GoldenEvents(SCHEMA, values, (Envelope(),) * _GOLDEN_ROWS)),
        "golden/expected.avro": encode_answers(answers),
    }


@cache
def turns_per_second() -> float:
    """How many turns this machine makes in a second when nothing disturbs it: the best of several measurements.

    Too low a figure would make calls shorter than a test asks for; a disturbed call only takes longer.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(slow_graph(_CALIBRATION_TURNS, heeds_events=False), options)
    cells = np.zeros((2, 4), np.float32)
    session.run(["score"], {"X": cells})
    best_s = min(_seconds_of(session, cells) for _ in range(_CALIBRATIONS))
    return _CALIBRATION_TURNS / best_s


def _seconds_of(session: ort.InferenceSession, cells: npt.NDArray[np.float32]) -> float:
    began = time.perf_counter()
    session.run(["score"], {"X": cells})
    return time.perf_counter() - began


def turns_for(seconds: float) -> int:
    """Turns that take about ``seconds``."""
    return max(1, round(seconds * turns_per_second()))


def slow_graph(turns_per_call: int, heeds_events: bool) -> bytes:
    """The ONNX model: ``X`` float32 ``[n, 4]`` (amount, turns, boxes, crash) to ``score`` ``[n, 1]``."""
    rng = np.random.default_rng(1)
    constants: dict[str, npt.NDArray[Any]] = {
        "heed": np.array(1 if heeds_events else 0, np.float32),
        "turns_per_call": np.array(turns_per_call, np.float32),
        "start": rng.normal(size=(_WIDTH, _WIDTH)).astype(np.float32),
        # Scaled so that the state neither dies out nor blows up.
        "weights": (rng.normal(size=(_WIDTH, _WIDTH)) / np.sqrt(_WIDTH)).astype(np.float32),
        "all_boxes": np.array([ENDLESS_BOXES]),
        **{f"column_{column}": np.array([column]) for column in (AMOUNT, TURNS, BOXES, CRASH)},
        **{f"axis_{axis}": np.array([axis]) for axis in (0, 1)},
        **{name: np.array(value, np.float32) for name, value in (("zero", 0), ("half", 0.5), ("one", 1), ("two", 2))},
        "smallest": np.array(np.iinfo(np.int64).min),
    }
    nodes = [
        _node("Gather", ["X", f"column_{AMOUNT}"], "amount", axis=1),
        *_most(TURNS, "most_turns"),
        *_most(BOXES, "most_boxes"),
        *_most(CRASH, "most_crash"),
        *_loop_nodes(),
        *_box_nodes(),
        *_crash_nodes(),
        _node("Sum", ["loop_peak", "box_peak", "quotient"], "peak"),
        # The score must not depend on all this, yet the runtime must not find that out: 0 * x is not 0 for any x.
        _node("Mul", ["peak", "zero"], "nothing"),
        _node("Add", ["amount", "nothing"], "score"),
    ]
    return _model(nodes, constants)


def _most(column: int, name: str) -> list[NodeProto]:
    """The largest value of a column in the batch; 0 for a model that does not heed its events."""
    return [
        _node("Gather", ["X", f"column_{column}"], f"{name}_asked", axis=1),
        _node("ReduceMax", [f"{name}_asked"], f"{name}_largest", keepdims=0),
        _node("Mul", [f"{name}_largest", "heed"], name),
    ]


def _loop_nodes() -> list[NodeProto]:
    body = helper.make_graph(
        [
            _node("Identity", ["go_on"], "go_on_still"),
            _node("MatMul", ["state", "weights"], "product"),
            _node("Tanh", ["product"], "next_state"),
        ],
        "turn",
        [_tensor("turn", INT64, []), _tensor("go_on", BOOL, []), _tensor("state", FLOAT, [_WIDTH, _WIDTH])],
        [_tensor("go_on_still", BOOL, []), _tensor("next_state", FLOAT, [_WIDTH, _WIDTH])],
    )
    return [
        _node("Add", ["most_turns", "turns_per_call"], "turns_float"),
        _node("Cast", ["turns_float"], "turns", to=INT64),
        _node("Loop", ["turns", "", "start"], "end", body=body),
        _node("ReduceMax", ["end"], "loop_peak", keepdims=0),
    ]


def _box_nodes() -> list[NodeProto]:
    """One box more than asked for, side by side along a diagonal; each has its number as its rank."""
    return [
        _node("Add", ["most_boxes", "one"], "count"),
        _node("Range", ["zero", "count", "one"], "rank"),
        _node("Add", ["rank", "half"], "rank_end"),
        _node("Unsqueeze", ["rank", "axis_1"], "low"),
        _node("Unsqueeze", ["rank_end", "axis_1"], "high"),
        _node("Concat", ["low", "low", "high", "high"], "corners", axis=1),
        _node("Unsqueeze", ["corners", "axis_0"], "boxes"),
        _node("Unsqueeze", ["rank", "axis_0"], "rank_row"),
        _node("Unsqueeze", ["rank_row", "axis_0"], "ranks"),
        _node("NonMaxSuppression", ["boxes", "ranks", "all_boxes"], "chosen"),
        _node("Cast", ["chosen"], "chosen_float", to=FLOAT),
        _node("ReduceMax", ["chosen_float"], "box_peak", keepdims=0),
    ]


def _crash_nodes() -> list[NodeProto]:
    """The smallest int64 by 1, or by -1: its quotient does not fit, and the processor says so."""
    return [
        _node("Mul", ["most_crash", "two"], "twice"),
        _node("Sub", ["one", "twice"], "divisor_float"),
        _node("Cast", ["divisor_float"], "divisor", to=INT64),
        _node("Div", ["smallest", "divisor"], "quotient_whole"),
        _node("Cast", ["quotient_whole"], "quotient", to=FLOAT),
    ]


def _model(nodes: Sequence[NodeProto], constants: dict[str, npt.NDArray[Any]]) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "slow",
        [_tensor("X", FLOAT, ["n", 4])],
        [_tensor("score", FLOAT, ["n", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(built.SerializeToString(deterministic=True))


def _node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, list(inputs), [output], **attributes)


def _tensor(name: str, kind: int, shape: Sequence[Any]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def events(count: int, first: int = 0, **fields: int) -> list[bytes]:
    """``count`` JSON events with ids from ``first`` on, all with these further fields."""
    more = "".join(f', "{name}": {value}' for name, value in fields.items())
    ids = range(first, first + count)
    return [f'{{"id": {number}, "amount": {number % 100 / 100}{more}}}'.encode() for number in ids]


__all__ = ["ENDLESS_BOXES", "ENDLESS_TURNS", "SCHEMA", "events", "slow_graph", "turns_for", "write_slow_bundle"]

"""`make proof-torch`: a graph with a PyTorch head, through the plug-in runtime, scores a topic on a real broker.

PyTorch and the example's package are installed into an environment of their own, as a user would do it. The bundle
passes the conformance check there, the service scores with it, and every score is worked out again with numpy.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from integration.environments import ROOT, environment
from integration.scenario import Scenario
from stream_infer.testing.payments import PaymentStream

PAYMENTS = 20_000
EXAMPLE = ROOT / "examples/torch_runtime"
CHECK = """
import sys
from stream_infer import ModelBundle
from stream_infer.scoring import open_model
from stream_infer.testing.conformance import check_runtime, golden_inputs
bundle = ModelBundle.load(sys.argv[1])
# PyTorch and ONNX Runtime take other kernels for one row than for many, which differ in the last bits.
check_runtime(open_model(bundle), golden_inputs(bundle), rtol=1e-5, atol=1e-6)
"""
WEIGHTS = """
import io, json, sys, torch
from stream_infer import ModelBundle
weights = torch.load(io.BytesIO(ModelBundle.load(sys.argv[1]).files["head.pt"]), weights_only=True)
print(json.dumps({name: value.tolist() for name, value in weights.items()}))
"""


def test_a_graph_with_a_pytorch_head_scores_a_topic(make_scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """Export, inspect, conformance check, the service, and every score again."""
    python = environment("torch", ["-e", f"{ROOT}[export]", str(EXAMPLE)])

    def run(*command: str | Path) -> str:
        done = subprocess.run([python, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    sample, bundle = tmp_path / "sample.jsonl", tmp_path / "prototypes-1.bundle.jar"
    sample.write_bytes(b"\n".join(PaymentStream(seed=1).columns(500).to_json()))
    run(EXAMPLE / "make_bundle.py", sample, bundle)
    shown = run("-m", "stream_infer", "bundle", "inspect", bundle)
    assert "not exportable: runs in Python only, by runtime torch-head" in shown
    run("-c", CHECK, bundle)

    payments = PaymentStream(seed=2).columns(PAYMENTS)
    scenario = make_scenario(events="json", bundle=bundle, overrides={"sink.fields": ["transaction_id"]})
    scenario.produce_payments(payments)
    run("-m", "stream_infer", "run", scenario.config, "--until-caught-up")

    by_id = {
        event["transaction_id"]: event
        for value in scenario.log(scenario.sink).values
        if (event := json.loads(value or b""))
    }
    assert len(by_id) == PAYMENTS
    assert scenario.committed() == scenario.input_ends()
    found = np.array([by_id[payment["transaction_id"]]["score"] for payment in payments.to_dicts()], np.float32)
    weights = {name: np.array(value, np.float32) for name, value in json.loads(run("-c", WEIGHTS, bundle)).items()}
    expected = scores(cells(payments.to_dicts()), weights["prototypes"], weights["scale"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert found.std() > 0.01
    print(f"\n{PAYMENTS:,} payments, scores from {found.min():.3f} to {found.max():.3f}")


def cells(payments: list[dict[str, float]]) -> npt.NDArray[np.float32]:
    """The model's input, by the example's feature list."""
    names = ("amount", "amount_ratio", "payments_last_hour", "cross_border")
    matrix = np.array([[float(payment[name]) for name in names] for payment in payments])
    matrix[:, 0] *= 0.01
    return matrix.astype(np.float32)


def scores(
    matrix: npt.NDArray[np.float32], prototypes: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Body and head in numpy."""
    weights = np.random.default_rng(7).normal(size=(4, 8)).astype(np.float32) / 4
    embedding = np.tanh(matrix @ weights)
    distance = np.square(embedding[:, None, :] - prototypes).sum(axis=2)
    nearest: npt.NDArray[np.float32] = np.tanh(scale * distance.min(axis=1))
    return nearest

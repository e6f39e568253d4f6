"""Make the bundle of the example: an ONNX body of one layer, and a PyTorch head with seeded prototypes.

    python examples/torch_runtime/make_bundle.py examples/payments/payments.jsonl examples/prototypes-1.bundle.jar

Rule: nothing is trained here; what matters is what goes into the bundle.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch_runtime import BODY, HEAD, Head

from stream_infer.export import export_runtime

FEATURES, WIDTH, PROTOTYPES = 4, 8, 3


def body() -> bytes:
    """An embedding: ``tanh(X W)``."""
    weights = np.random.default_rng(7).normal(size=(FEATURES, WIDTH)).astype(np.float32) / 4
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["linear"]), helper.make_node("Tanh", ["linear"], ["embedding"])],
        "body",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [None, WIDTH])],
        [numpy_helper.from_array(weights, "W")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def head() -> bytes:
    """The head's weights."""
    torch.manual_seed(7)
    module = Head(WIDTH, PROTOTYPES)
    torch.nn.init.normal_(module.prototypes, std=0.3)
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    return saved.getvalue()


def make_bundle(events: Path, to: Path) -> str:
    """Write the bundle and return its digest."""
    features = Path(__file__).parent / "features.toml"
    files = {BODY: body(), HEAD: head()}
    return export_runtime("torch-head", files, features, events, to, name="prototypes", version="1", threshold=0.8)


if __name__ == "__main__":
    print(make_bundle(Path(sys.argv[1]), Path(sys.argv[2])))

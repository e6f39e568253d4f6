"""A graph with a head that ONNX has no word for: the body in ONNX Runtime, the head in PyTorch.

Rule: the head's weights are read as weights only, so that a bundle cannot bring code; the code of the head is this
package. Every row is computed by itself, so that a score does not depend on the batch.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from stream_infer.scoring import ModelArtifact, Predict

BODY, HEAD = "body.onnx", "head.pt"


class Head(torch.nn.Module):  # type: ignore[misc]  # torch is not among the packages of development
    """Distance from learnt prototypes of honest payments, as a probability: far from all of them is suspicious.

    Args:
        width: numbers of the body's embedding.
        prototypes: how many kinds of honest payments there are.
    """

    def __init__(self, width: int, prototypes: int) -> None:
        super().__init__()
        self.prototypes = torch.nn.Parameter(torch.zeros(prototypes, width))
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """From ``[n, width]`` to ``[n]``."""
        distance = (embedding[:, None, :] - self.prototypes).square().sum(dim=2)
        return torch.tanh(self.scale * distance.amin(dim=1))


def load(artifact: ModelArtifact) -> Predict:
    """What the entry point names."""
    body = ort.InferenceSession(artifact.files[BODY], _one_thread(), providers=["CPUExecutionProvider"])
    weights = torch.load(io.BytesIO(artifact.files[HEAD]), weights_only=True, map_location="cpu")
    head = Head(weights["prototypes"].shape[1], weights["prototypes"].shape[0])
    head.load_state_dict(weights)
    head.eval()
    (spec,) = artifact.inputs

    def predict(inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        (embedding,) = body.run(None, {spec.name: inputs[spec.name]})
        with torch.inference_mode():
            return np.asarray(head(torch.from_numpy(embedding)).numpy(), np.float32)

    return predict


def _one_thread() -> ort.SessionOptions:
    """With more, the last bits of a score may depend on the size of the batch."""
    torch.set_num_threads(1)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return options

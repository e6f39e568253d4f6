"""PyTorch: an exported program, or a module from Python, through ``torch.onnx``.

Rule: the module is the score. It takes one float32 matrix ``[n, k]`` and answers a score or probabilities; a sigmoid or
softmax at the end is part of it. The operator set is 18, the oldest that torch writes (every ONNX Runtime from 1.15).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.errors import ExportRefused
from stream_infer.export.convert.contract import NUMBERS, Column, Converted, Rows
from stream_infer.export.convert.graph_parts import to_bytes
from stream_infer.export.convert.libraries import library, version

OPSET = 18


def load(path: Path) -> Any:
    """A program saved by ``torch.export.save``.

    Raises:
        ExportRefused: torch is not installed, or the file is no such program.
    """
    torch = library("torch", f"reading {path}")
    try:
        return torch.export.load(str(path))
    except Exception as error:  # torch has no class of its own for a file that it cannot read
        raise ExportRefused(f"{path} is not an exported program (torch.export.save): {type(error).__name__}") from error


def convert(model: Any, columns: Sequence[Column]) -> Converted:
    """A ``torch.nn.Module`` or ``torch.export.ExportedProgram``; see `contract.Convert`."""
    torch = library("torch", "exporting a PyTorch model")
    library("onnxscript", "exporting a PyTorch model")
    if any(column.text for column in columns):
        raise ExportRefused("a PyTorch model takes numbers: list the `categories` of text in the feature list")
    program = isinstance(model, torch.export.ExportedProgram)
    module = model.module() if program else model.eval()
    source = f"{version(torch, 'torch')} {'ExportedProgram' if program else type(model).__name__}"

    def original(rows: Rows) -> npt.NDArray[Any]:
        with torch.no_grad():
            answer = module(torch.from_numpy(rows.numbers.astype(np.float32)))
        return np.asarray(answer.numpy(), np.float64)

    return Converted(_to_onnx(torch, model, program, len(columns)), original, source, "score")


def _to_onnx(torch: Any, model: Any, program: bool, width: int) -> bytes:
    arguments: dict[str, Any] = {"opset_version": OPSET, "dynamo": True, "verbose": False}
    arguments |= {"input_names": [NUMBERS], "output_names": ["score"]}
    if not program:
        # Two rows: torch takes a dimension of one for a constant.
        arguments |= {"args": (torch.zeros(2, width),), "dynamic_shapes": ({0: torch.export.Dim("n")},)}
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            proto = torch.onnx.export(model, **arguments).model_proto
    except Exception as error:  # torch.onnx raises classes of several private modules
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:300]
        raise ExportRefused(f"torch.onnx cannot export {type(model).__name__}: {reason}") from error
    for node in proto.graph.node:
        # Stack traces and paths of this machine, which nobody at the other end needs.
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    return to_bytes(proto)

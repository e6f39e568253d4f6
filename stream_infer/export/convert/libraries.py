"""Importing a library that may not be there.

Rule: what is missing is one sentence with the command that installs it.
"""

from __future__ import annotations

import importlib
from typing import Any

from stream_infer.errors import ExportRefused

_INSTALL = {
    "onnx": "'stream-infer[export]'",
    "skl2onnx": "'stream-infer[export]'",
    "sklearn": "scikit-learn",
    "onnxscript": "onnxscript",
}


def library(name: str, purpose: str) -> Any:
    """The module ``name``.

    Raises:
        ExportRefused: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        missing = (error.name or package).partition(".")[0]
        raise ExportRefused(
            f"{purpose} needs {missing}, which is not installed: pip install {_INSTALL.get(missing, missing)}"
        ) from error


def version(module: Any, name: str) -> str:
    """``name`` and its version, as `bundle.json` says where a model comes from."""
    return f"{name} {module.__version__}"

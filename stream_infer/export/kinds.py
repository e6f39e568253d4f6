"""What a model file may be, by its suffix.

Rule: a pickle runs code when it is read, so a file is one only where its suffix or the caller says so.
"""

from __future__ import annotations

from pathlib import Path

from stream_infer.errors import ExportRefused

SUFFIXES = {
    ".onnx": "onnx",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".joblib": "pickle",
    ".txt": "lightgbm",
    ".json": "xgboost",
    ".ubj": "xgboost",
    ".cbm": "catboost",
    ".pt2": "torch",
}
KINDS = tuple(dict.fromkeys(SUFFIXES.values()))


def file_kind(path: Path, kind: str | None) -> str:
    """What a model file is, one of `KINDS`.

    Raises:
        ExportRefused: the suffix is not known and nothing was said.
    """
    found = kind or SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise ExportRefused(
            f"{path} has no suffix of a model ({', '.join(SUFFIXES)}); say what it is: --from {'|'.join(KINDS)}"
        )
    return found

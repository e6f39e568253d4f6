"""From a library's model to an ONNX graph: one module for each family of libraries.

Rule: a family is one function, ``convert(model, columns) -> Converted``; heavy libraries are imported inside the
functions that need them, and one that is not installed is a sentence that names the package.
"""

from stream_infer.export.convert.contract import Column, Converted, Rows
from stream_infer.export.convert.families import convert_model, load_model, model_feature_names

__all__ = ["Column", "Converted", "Rows", "convert_model", "load_model", "model_feature_names"]

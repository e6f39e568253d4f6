"""Export: a model, a feature list and a sample of events become a bundle.

Rule: parity is proven before anything is written.
"""

from stream_infer.export.onnx_export import ExportReport, export_onnx
from stream_infer.export.runtime_export import export_runtime

__all__ = ["ExportReport", "export_onnx", "export_runtime"]

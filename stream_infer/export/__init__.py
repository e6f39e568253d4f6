"""Export: a model, a feature list and a sample of events become a bundle.

Rule: parity is proven before anything is written.
"""

from stream_infer.export.api import export, export_onnx
from stream_infer.export.bundle_export import ExportReport
from stream_infer.export.runtime_export import export_runtime

__all__ = ["ExportReport", "export", "export_onnx", "export_runtime"]

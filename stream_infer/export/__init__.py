"""Export: a model, a feature list and a sample of events become a bundle.

Rule: parity is proven before anything is written.
"""

from stream_infer.export.onnx_export import ExportReport, export_onnx

__all__ = ["ExportReport", "export_onnx"]

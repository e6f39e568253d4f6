"""Scoring: a bundle's model, proven and ready, and events through it.

Rule: knows bytes, columns and models; nothing of Kafka, files or configuration.
"""

from stream_infer.scoring.onnx_runtime import OnnxRuntime, available_providers
from stream_infer.scoring.plugin_runtime import ModelArtifact, Predict
from stream_infer.scoring.scorer import Scorer
from stream_infer.scoring.verify import open_model

__all__ = ["ModelArtifact", "OnnxRuntime", "Predict", "Scorer", "available_providers", "open_model"]

"""stream_infer: score Kafka events with machine-learning models."""

__version__ = "0.1.0"

"""stream_infer: score Kafka events with machine-learning models.

Example:
    >>> from stream_infer import Scorer
    >>> scorer = Scorer.load(bundle_path)
    >>> scorer.score_events([{"amount": 120.0, "category": "travel"}]).flagged.tolist()
    [True]
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_infer.bundle import ModelBundle
    from stream_infer.scoring import Scorer

# From 1.29 on ONNX Runtime's wheels report to their maker, unless this is set before it begins: here, since every
# module that imports it is below. Nobody who scores payments wants one more connection; who does, sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["ModelBundle", "Scorer", "__version__"]


if not TYPE_CHECKING:  # where types are checked, the imports above say more than Any

    def __getattr__(name: str) -> Any:
        """Load the public names on first use, so that ``import stream_infer`` (every command line) stays light."""
        if name == "Scorer":
            from stream_infer.scoring import Scorer

            return Scorer
        if name == "ModelBundle":
            from stream_infer.bundle import ModelBundle

            return ModelBundle
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

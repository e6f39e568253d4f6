"""Measurements of stream_infer and of its rivals.

Rule: kernels are compiled as the command line has them compiled, so that what is measured is what runs.
"""

import os
from pathlib import Path

from stream_infer.kernels import processor

CACHE = Path(os.environ.get("STREAM_INFER_CACHE", ".cache")).absolute() / "bench"
"""Where workloads, results and the environments of rivals are kept."""

processor.choose(os.environ)

"""Measurements of stream_infer and of its rivals.

Rule: kernels are compiled as the command line has them compiled, so that what is measured is what runs.
"""

import os

from stream_infer.kernels import processor

processor.choose(os.environ)

"""What holds for all tests, before anything imports a kernel."""

import os

from stream_infer.kernels import processor

# As the command line does, so that tests and the programs that they start share the compiled kernels.
processor.choose(os.environ)

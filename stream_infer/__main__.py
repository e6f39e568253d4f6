"""``python -m stream_infer`` is the command ``stream-infer``."""

import sys

from stream_infer.cli import main

sys.exit(main())

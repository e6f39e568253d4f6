"""The plain loop with tuned formats and large batches: what one call of the client returned is one of the model.

Rule: the same packages as the plain loop, and msgspec; what is tuned stands in `bench.rivals.tuned_formats`.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

from bench.rivals.contract import Task
from bench.rivals.plain_loop import Loop, scoring
from bench.rivals.scorers import Scorer
from bench.rivals.tuned_formats import tuned_format

_BATCH = 1024


def main() -> int:
    """Run until SIGTERM."""
    task = replace(Task.from_environment(os.environ), batch=_BATCH)
    loop = Loop(task, scoring(Scorer(tuned_format(task), task.model)))
    signal.signal(signal.SIGTERM, loop.stop)
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

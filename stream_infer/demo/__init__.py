"""``stream-infer demo``: the whole product on made-up payments, with nothing installed but this package.

Rule: everything in it is the product: a config, `stream_infer.app`, the pipeline, the real Kafka client. The
demo adds a broker in memory, a producer of payments, an instrument that keeps figures, and a screen.
"""

from __future__ import annotations

import json
from pathlib import Path

from stream_infer.config.options import DemoOptions
from stream_infer.demo.dataset import write_dataset


def run_demo(options: DemoOptions) -> int:
    """Score made-up payments and show it, or write them to files. Returns the exit code.

    Raises:
        UsageError: an option cannot be used.
        StreamInferError: the demo could not run.
    """
    if options.write is not None:
        return _write(options, options.write)
    # Imported here because files need neither Kafka nor a model.
    from stream_infer.demo.run import score_payments

    return score_payments(options)


def _write(options: DemoOptions, path: Path) -> int:
    written = write_dataset(path, events=options.events, seed=options.seed)
    if options.format == "json":
        print(json.dumps({"type": "dataset", "events": options.events, "files": [str(file) for file in written]}))
    else:
        print(f"{options.events:,} payments of seed {options.seed}:", *written, sep="\n  ")
    return 0


__all__ = ["run_demo"]

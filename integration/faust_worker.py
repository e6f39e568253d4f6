"""A Faust worker on the example's app, for the proof that kills it.

    python -m integration.faust_worker APP_ID BROKER PAYMENTS SCORED DEAD PARTITIONS FOLDER

Rule: the app is the example's; only times are shorter, so that a killed worker's partitions are soon free again.
"""

from __future__ import annotations

import sys

from examples.faust_app import make_app


def main() -> None:
    """Run until a signal comes."""
    app_id, broker, payments, scored, dead, partitions, folder = sys.argv[1:]
    app = make_app(
        app_id,
        (payments, scored, dead),
        int(partitions),
        broker=f"kafka://{broker}",
        datadir=folder,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=0.5,
        stream_recovery_delay=0.0,
    )
    sys.argv[1:] = ["worker", "--loglevel", "info", "--without-web"]
    app.main()


if __name__ == "__main__":
    main()

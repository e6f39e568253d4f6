"""A Faust app that scores payments, with a feature that it counts itself: a card's earlier payments in the same hour.

    stream-infer demo --events 5000 --write examples/payments/
    python examples/faust_app.py worker --without-web
    python examples/send.py examples/payments/payments.jsonl payments.json --key card_id

Rule: the model, its feature list and the format of the scored events are those of the service. Only the count comes
from here: it takes the place of the field ``payments_last_hour``, which an upstream system would have to fill.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faust

from stream_infer import Scorer
from stream_infer.faust import Format, WindowHistory, score

BUNDLE = Path(__file__).parents[1] / "stream_infer/demo_bundle/payments-1.bundle.jar"
HOUR_S = 3600
RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}


def make_app(app_id: str, topics: tuple[str, str, str], partitions: int, **options: Any) -> faust.App:
    """An app with its agent.

    Args:
        app_id: name of the app, and of its consumer group.
        topics: of the payments, the scored payments and the dead letters.
        partitions: of the topic of payments.
        options: further settings of the app, such as ``broker``.
    """
    app = faust.App(app_id, topic_disable_leader=True, consumer_auto_offset_reset="earliest", **options)
    payments, scored, dead = (app.topic(name, **RAW) for name in topics)
    table = app.Table("payments", default=list, partitions=partitions).tumbling(HOUR_S, expires=24 * HOUR_S)
    history = WindowHistory(table)
    scorer = Scorer.load(BUNDLE)

    def features(event: faust.types.EventT, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        card = fields.get("card_id")
        return {} if card is None else {"payments_last_hour": len(history.add(event, str(card), None)) - 1}

    async def score_payments(stream: faust.types.StreamT) -> None:
        form = Format(carry=("transaction_id", "card_id", "payments_last_hour"))
        await score(stream, scorer, publish=scored, dead_letters=dead, features=features, form=form)

    app.agent(payments)(score_payments)
    return app


if __name__ == "__main__":
    broker = "kafka://" + os.environ.get("KAFKA", "localhost:9092")
    make_app("payments-faust", ("payments.json", "payments.scored", "payments.dlq"), 1, broker=broker).main()

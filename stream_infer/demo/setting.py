"""The demo's own config, as a user would write one: topics, schema files, the packaged bundle.

Rule: a config like any other, built in memory. What it says of Kafka is what the broker in memory needs.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from stream_infer.config.model import Config
from stream_infer.config.options import DemoOptions
from stream_infer.demo.figures import CARRIED_FIELDS
from stream_infer.kafka.mock import MOCK_CLIENT
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA_JSON

BUNDLE = Path(__file__).parents[1] / "demo_bundle" / "payments-1.bundle.jar"
"""The packaged model; ``training/train_demo_model.py`` makes it."""
INPUT_TOPIC = "payments"
TOPICS = {INPUT_TOPIC: 4, "payments.scored": 4, "payments.flagged": 4, "payments.dlq": 1}
"""Topic names and their partitions."""
CLIENT = {**MOCK_CLIENT, "consumer": {**MOCK_CLIENT["consumer"], "fetch.wait.max.ms": 5}}
"""Client properties. A real broker answers a waiting fetch when an event arrives, the mock when the time is up."""
_SCHEMA_ID = 1
FRAMING = struct.pack(">bI", 0, _SCHEMA_ID)
"""What precedes every payment: a zero byte and its schema's id."""


def demo_config(options: DemoOptions, bootstrap_servers: str, schemas: Path) -> Config:
    """The config of a demo. Writes the payments' schema to the folder ``schemas``.

    Raises:
        pydantic.ValidationError: ``options.http`` is not HOST:PORT.
    """
    (schemas / "payment.avsc").write_text(PAYMENT_SCHEMA_JSON)
    (schemas / "ids.json").write_text(json.dumps({str(_SCHEMA_ID): "payment.avsc"}))
    return Config.model_validate(
        {
            "name": "stream-infer-demo",
            "kafka": {"bootstrap_servers": bootstrap_servers, "client": CLIENT},
            "source": {
                "topics": [INPUT_TOPIC],
                "group_id": "stream-infer-demo",
                # Should the broker in memory drop something, the summary tells how much; stopping would tell less.
                "on_data_loss": "continue",
                "codec": {"type": "avro", "schema": f"{schemas}/"},
            },
            "model": {"bundle": str(BUNDLE)},
            "sink": {
                "topic": "payments.scored",
                "codec": {"type": "avro", "schema": "none"},
                "fields": list(CARRIED_FIELDS),
                "routes": [{"when": "flagged", "topic": "payments.flagged"}],
            },
            "dead_letter": {"topic": "payments.dlq"},
            # Lines of an ordinary run would tear the table apart; what goes wrong is still logged.
            "observe": {"http": options.http, "log_format": options.format, "log_level": "warning"},
        }
    )

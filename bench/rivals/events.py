"""The events that subjects are given, and what is taken of them for the model's input.

Rule: drawn from fixed seeds, many at a time, so that a topic is filled in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.rivals.contract import INPUT_FRAME
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_patterns import CHANNELS
from stream_infer.testing.payments_world import CATEGORY_NAMES

Feature = Mapping[str, Any]
"""A line of a feature list (docs/bundle.md); each has a ``path``."""
CLASSES = 10
_SEED = 7
_FLOATS = 20
_PIXELS = 784
_DRAWN_AT_ONCE = 1_000
_SHARE_OF_CLASS = 0.08
"""Of a pixel, the rest is noise: so little that the classes overlap, and scores lie between 0 and 1."""
_PAYMENT_NUMBERS = (
    "amount", "geo.lat", "geo.lon", "local_hour", "card_age_days", "credit_limit", "device_age_days", "authenticated",
    "cross_border", "seconds_since_last", "payments_last_hour", "amount_ratio", "distance_from_home_km",
)  # fmt: skip
_PAYMENT_TEXTS: Mapping[str, Sequence[str]] = {
    "merchant_category": CATEGORY_NAMES,
    "channel": CHANNELS,
    "country": ("DE", "FR", "GB", "ES", "IT", "NL", "US"),
    "currency": ("EUR", "GBP", "USD", "CHF"),
}
PAYMENT_FEATURES: Sequence[Feature] = (
    *({"path": path} for path in _PAYMENT_NUMBERS),
    *({"path": path, "categories": list(texts)} for path, texts in _PAYMENT_TEXTS.items()),
)
FLOATS_FEATURES: Sequence[Feature] = [{"path": f"f{place}"} for place in range(_FLOATS)]
FLOATS_SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [{"name": "id", "type": "string"}, *({"name": f"f{i}", "type": "float"} for i in range(_FLOATS))],
}
IMAGE_FEATURES: Sequence[Feature] = [{"path": "dataPoint", "length": _PIXELS, "format": "csv"}]
IMAGE_SCHEMA = {
    "type": "record",
    "name": "Image",
    "fields": [{"name": "creationTimestamp", "type": "long"}, {"name": "dataPoint", "type": "string"}],
}


@dataclass(frozen=True, slots=True)
class Events:
    """n events: what goes into the topic, and what is known of them."""

    values: list[bytes]
    """Avro is framed."""
    keys: list[bytes]
    labels: Sequence[int]
    """Classes, from 0."""


def avro_payments(count: int) -> Events:
    """The made-up payment of `stream_infer.testing`: 22 fields, strings among them. Its class is fraud or not."""
    columns = PaymentStream(seed=_SEED).columns(count)
    return Events(columns.to_avro(INPUT_FRAME), columns.keys(), columns.is_fraud.tolist())


def json_payments(count: int) -> Events:
    """The same payments in JSON."""
    columns = PaymentStream(seed=_SEED).columns(count)
    return Events(columns.to_json(), columns.keys(), columns.is_fraud.tolist())


def floats(count: int) -> Events:
    """An id and twenty floats, of two classes."""
    random = np.random.default_rng(_SEED)
    cells = random.normal(size=(count, _FLOATS)).astype("<f4")
    signal = cells[:, 0] + cells[:, 1] * cells[:, 2] + np.sin(3 * cells[:, 3]) + random.normal(size=count)
    keys = [b"%016d" % number for number in range(count)]
    values = [INPUT_FRAME + b"\x20" + key + row.tobytes() for key, row in zip(keys, cells, strict=True)]
    return Events(values, keys, (signal > 1).tolist())


def images(count: int) -> Events:
    """The event of the Crayfish study (EDBT 2024): 784 floats from 0 to 1 as text, 8.4 kB of JSON; ten classes."""
    random = np.random.default_rng(_SEED)
    patterns = random.random((CLASSES, _PIXELS), np.float32)
    labels = random.integers(CLASSES, size=count)
    values: list[bytes] = []
    for first in range(0, count, _DRAWN_AT_ONCE):
        of_class = patterns[labels[first : first + _DRAWN_AT_ONCE]]
        noise = random.random(of_class.shape, np.float32)
        texts = _joined(of_class * np.float32(_SHARE_OF_CLASS) + noise * np.float32(1 - _SHARE_OF_CLASS))
        values += [_image(number, text) for number, text in enumerate(texts, first)]
    return Events(values, [b"%016d" % number for number in range(count)], labels.tolist())


def _joined(rows: np.ndarray) -> list[str]:
    """The numbers of each row, as short as a float32 can be told, joined by commas."""
    # By far the fastest of what is installed: str() of each number takes minutes for what this does in seconds.
    numbers = pa.array(rows.ravel()).cast(pa.string())
    begins = pa.array(np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32))
    joined: list[str] = pc.binary_join(pa.ListArray.from_arrays(begins, numbers), ",").to_pylist()
    return joined


def _image(number: int, pixels: str) -> bytes:
    return f'{{"creationTimestamp":{number},"dataPoint":"{pixels}"}}'.encode()

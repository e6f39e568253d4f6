"""What a decoder must bring out of an event: the feature list of the model, and the fields that the output carries.

Rule: plain values, as the bundle's ``bundle.json`` says them; how a field becomes a cell is known to the codecs only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Feature:
    """One entry of the feature list: how a field of the event fills cells of a model input.

    The cell is ``(double(value) + offset) * scale``, cast to the input's dtype once. ``path`` has dots for
    nested records; ``$key``, ``$timestamp`` and ``$headers.NAME`` are the record's own. ``missing`` covers an
    absent field, a null and a NaN: ``"nan"``, ``"error"`` or ``"value"`` with ``missing_value``.
    """

    name: str
    path: str
    missing: str = "nan"
    missing_value: float | str | None = None
    offset: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] | None = None
    unseen: int | str = -1
    """Code of an unknown category, or ``"error"``."""
    length: int = 1
    """Cells that this feature fills."""
    format: str | None = None
    """For ``length > 1``: ``"array"`` or ``"csv"`` (comma-joined text)."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One input tensor of the model: ``dtype`` is ``float32``, ``float64``, ``int64`` or ``string``."""

    name: str
    dtype: str
    features: tuple[Feature, ...]

    @property
    def width(self) -> int:
        """Cells of one row: the sum of the features' lengths."""
        return sum(feature.length for feature in self.features)


@dataclass(frozen=True, slots=True)
class Projection:
    """All that a decoder must bring out of an event: what the model and the output need, nothing else.

    ``reader_schema`` is the reader's view (the bundle's ``input.avsc``, a record): it names fields, their
    types, aliases and defaults. ``carried`` are names of its top-level fields.
    """

    inputs: tuple[ModelInput, ...]
    carried: tuple[str, ...]
    reader_schema: Mapping[str, Any]

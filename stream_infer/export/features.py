"""The feature list as its author writes it: ``features.toml``.

One input, the short form (a string is a path, and its own name)::

    features = [
      "amount",
      "geo.lat",
      {name = "category", path = "merchant_category", categories = ["grocery", "travel"]},
    ]

Several inputs, each with the tensor's name; the dtype is the graph's own where it is left out::

    [[inputs]]
    name = "numbers"
    dtype = "float32"
    features = ["amount"]

    [[inputs]]
    name = "country"
    [[inputs.features]]
    path = "country"
    missing = {value = "??"}

Rule: keys are those of `bundle.json`; a key that is not known is refused, since a misspelt ``missing`` would silently
change scores. ``missing`` is ``"nan"`` by default for float inputs and ``"error"`` for the others, which have no NaN.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stream_infer.bundle.manifest import Dtype, FeatureSpec, MissingValue
from stream_infer.errors import ExportRefused


class FeatureEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One feature; ``path`` or ``name`` may be left out, then one is the other."""

    name: str = ""
    path: str = ""
    missing: Literal["nan", "error"] | MissingValue | None = None
    offset: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] | None = None
    unseen: int | Literal["error"] = -1
    length: Annotated[int, Meta(ge=1)] = 1
    format: Literal["array", "csv"] | None = None

    def to_spec(self, dtype: Dtype) -> FeatureSpec:
        """The entry with every default spelt out, for an input of ``dtype``."""
        has_nan = dtype in ("float32", "float64")
        return FeatureSpec(
            name=self.name or self.path,
            path=self.path or self.name,
            missing=self.missing or ("nan" if has_nan else "error"),
            offset=self.offset,
            scale=self.scale,
            categories=self.categories,
            unseen=self.unseen,
            length=self.length,
            format=self.format,
        )


class InputEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The features of one input; ``name`` and ``dtype`` are the graph's where it has one input."""

    features: tuple[str | FeatureEntry, ...]
    name: str = ""
    dtype: Dtype | None = None

    def entries(self) -> tuple[FeatureEntry, ...]:
        """The features, the short form spelt out."""
        return tuple(FeatureEntry(path=entry) if isinstance(entry, str) else entry for entry in self.features)


class FeatureFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``features.toml``: either ``features`` for a model of one input, or ``inputs``."""

    features: tuple[str | FeatureEntry, ...] = ()
    inputs: tuple[InputEntry, ...] = ()


def read_features(path: Path) -> tuple[InputEntry, ...]:
    """The inputs that a feature list describes.

    Raises:
        ExportRefused: the file is absent, not TOML, or not a feature list; the message names the place.
    """
    try:
        content = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), FeatureFile)
    except OSError as error:
        raise ExportRefused(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExportRefused(f"{path} is not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ExportRefused(f"{path} is not a feature list: {error}") from error
    if bool(content.features) == bool(content.inputs):
        raise ExportRefused(f"{path} needs either a list `features` (a model of one input) or tables `[[inputs]]`")
    inputs = content.inputs or (InputEntry(content.features),)
    for entry in inputs:
        if any(not (feature.path or feature.name) for feature in entry.entries()):
            raise ExportRefused(f"{path}: a feature of input {entry.name!r} has no path: say which field fills it")
    return inputs

"""The JSON Schema of `bundle.json`, generated from `Manifest`.

Rule: `schemas/bundle.schema.json` is this module's output, byte for byte; a test holds it. After a change of the
manifest run ``python -m stream_infer.bundle.schema > schemas/bundle.schema.json``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from stream_infer.bundle.manifest import Manifest


def bundle_schema() -> dict[str, Any]:
    """The schema as a JSON object (draft 2020-12)."""
    (reference,), definitions = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stream_infer model bundle, bundle.json, format 1.x",
        **reference,
        "$defs": definitions,
    }


def bundle_schema_text() -> str:
    """The schema as it is stored."""
    return json.dumps(bundle_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(bundle_schema_text())

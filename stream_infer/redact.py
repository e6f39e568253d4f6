"""Secrets never get printed: which keys hold one, and a copy of a mapping without them.

Rule: whoever shows configuration (reports, logs, error texts) shows `redact`'s copy of it. A key decides by its
name alone, because a value cannot say what it is; a URL loses its user name and password whatever its key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "[redacted]"
"""What stands in for a secret."""

_SECRET_KEY = re.compile(
    r"password|passphrase|secret|token|jaas|credential|user[._-]?info|oauthbearer[._-]config"
    r"|key[._-]pem|private[._-]?key|api[._-]?key",
    re.IGNORECASE,
)
# `sasl.oauthbearer.token.endpoint.url` and `...secret.location` say where something is, and an operator needs them.
_PLACE_KEY = re.compile(r"[._-](url|location|file|path|seconds|ms)$", re.IGNORECASE)
_URL_USER = re.compile(r"(?<=://)[^/\s]+(?=@)")


def is_secret(key: str) -> bool:
    """True where the value under ``key`` must not be shown (``sasl.password``, ``ssl.key.pem``, ...)."""
    return bool(_SECRET_KEY.search(key)) and not _PLACE_KEY.search(key)


def redact(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of ``mapping`` with every secret replaced by `MASK`."""
    return {key: MASK if is_secret(key) and value is not None else _clean(value) for key, value in mapping.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return _URL_USER.sub(MASK, value)
    return value


__all__ = ["MASK", "is_secret", "redact"]

"""A Confluent-compatible Schema Registry as a `stream_infer.ports.SchemaSource`.

Rule: one question, one attempt, one timeout. The client would try four times with pauses of seconds in between; here
the pipeline retries, which knows about deadlines and says so in a metric.

A schema that the registry does not know is an answer (None), and turns one event into a dead letter. An address
at which there is no registry also answers 404, and must not turn all of them into dead letters: the two are told
apart by the registry's own error code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError

from stream_infer.errors import ConfigError, ConfigProblem, FatalError, NotAuthorized, RegistryUnavailable
from stream_infer.redact import redact

MANAGED: Mapping[str, str] = {
    "url": "schema_registry.url",
    "timeout": "timeouts.registry_seconds",
    "max.retries": "timeouts.registry_seconds",
}
"""Properties of the client that cannot be set directly, and the key of the config that governs each."""

_NOT_KNOWN = range(40400, 40500)
"""The registry's codes for a subject (40401), a version (40402) or a schema (40403) that it does not know."""
_INCOMPATIBLE = 409
_INVALID = 422
_REFUSED = (401, 403)
_Answer = TypeVar("_Answer")


class ConfluentSchemaSource:
    """Asks a registry for schemas. Safe to use from several threads; answers are kept by the client.

    Args:
        url: one address, or several separated by commas; ``mock://NAME`` is the client's own in-memory registry.
        client: further properties of the client (``basic.auth.user.info``, ``ssl.ca.location``, ...).
        auto_register: whether `register` may register.
        timeout_s: bounds one question, in seconds, over all addresses.
        on_timeout: told ``timeout_s`` of every question that was not answered within it, from the asking thread.

    Raises:
        ConfigError: a property is refused.
    """

    def __init__(
        self,
        url: str,
        client: Mapping[str, Any],
        auto_register: bool,
        timeout_s: float,
        on_timeout: Callable[[float], None] | None = None,
    ) -> None:
        self._url = str(redact({"url": url})["url"])
        self._auto_register = auto_register
        self._timeout_s = timeout_s
        self._on_timeout = on_timeout
        addresses = url.count(",") + 1
        problems = [
            ConfigProblem(f"schema_registry.client.{key}", "cannot be set here", f"set {MANAGED[key]} instead")
            for key in client
            if key in MANAGED
        ]
        if problems:
            raise ConfigError(problems)
        settings = {**client, "url": url, "timeout": timeout_s / addresses, "max.retries": 0}
        try:
            self._client = SchemaRegistryClient.new_client(settings)
        except (ValueError, TypeError, OSError) as error:
            # A complaint about an address quotes it, with the password that may be in it.
            complaint = redact({"complaint": str(error)})["complaint"]
            problem = ConfigProblem("schema_registry", f"the client refuses its settings: {complaint}")
            raise ConfigError([problem]) from error

    def by_id(self, schema_id: int) -> str | None:
        """The Avro schema (JSON text) of a 4-byte id; None when the registry has no Avro schema by that id.

        Raises:
            RegistryUnavailable, NotAuthorized
        """
        doing = f"asking for schema id {schema_id}"
        return _avro_text(self._ask(doing, lambda: self._client.get_schema(schema_id)))

    def by_guid(self, guid: str) -> str | None:
        """The same for a GUID (``8-4-4-4-12`` hexadecimal digits).

        A registry that knows no GUIDs at all has no schema by that one either.
        """
        return _avro_text(
            self._ask(f"asking for schema {guid}", lambda: self._client.get_schema_by_guid(guid), any_404=True)
        )

    def register(self, subject: str, schema: str) -> int:
        """The id of ``schema`` under ``subject``, registering it where that is allowed.

        Raises:
            FatalError: it is not registered and must not be, or is incompatible with what is.
            RegistryUnavailable, NotAuthorized
        """
        avro = Schema(schema, "AVRO")
        if self._auto_register:
            found = self._ask(f"registering subject {subject}", lambda: self._client.register_schema(subject, avro))
        else:
            registered = self._ask(f"looking up subject {subject}", lambda: self._client.lookup_schema(subject, avro))
            found = None if registered is None else registered.schema_id
        if found is None:
            raise FatalError(
                f"the output schema is not registered under subject {subject} at {self._url}; "
                f"register it, or set schema_registry.auto_register = true"
            )
        return found

    def close(self) -> None:
        """Close the connections to the registry."""
        self._client.close()

    def _ask(self, doing: str, question: Callable[[], _Answer], *, any_404: bool = False) -> _Answer | None:
        """The registry's answer; None for what it does not know."""
        try:
            return question()
        except SchemaRegistryError as error:
            status = error.http_status_code
            if status == 404 and (any_404 or error.error_code in _NOT_KNOWN):
                return None
            raise self._failure(doing, status, error.error_code) from error
        except httpx2.TimeoutException as error:
            if self._on_timeout is not None:
                self._on_timeout(self._timeout_s)
            raise RegistryUnavailable(f"{doing} at {self._url} failed: no answer in {self._timeout_s:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OAuthTokenError) as error:
            # The type says what happened; the text of some holds addresses with credentials, or a token's answer.
            what = type(error).__name__
            raise RegistryUnavailable(f"{doing} at {self._url} failed: {what}") from error
        except ValueError as error:
            raise RegistryUnavailable(f"{doing} at {self._url} failed: the answer is not JSON") from error

    def _failure(self, doing: str, status: int, code: int) -> Exception:
        at = f"{doing} at {self._url} failed"
        if status in _REFUSED:
            return NotAuthorized(f"{at}: refused with HTTP status {status}; check basic.auth.user.info and rights")
        if status == _INCOMPATIBLE:
            return FatalError(f"{at}: the schema is incompatible with the latest one of that subject")
        if status == _INVALID:
            return FatalError(f"{at}: the registry calls the schema invalid (code {code})")
        if status == 404:
            return RegistryUnavailable(f"{at}: no schema registry answers there (HTTP status 404); check the path")
        return RegistryUnavailable(f"{at}: HTTP status {status}")


def _avro_text(schema: Schema | None) -> str | None:
    if schema is None or schema.schema_type not in (None, "AVRO"):
        return None
    return schema.schema_str


__all__ = ["MANAGED", "ConfluentSchemaSource"]

"""The APIs this package can read and write: key, name, versions, message classes.

Keys and ranges are in the generated `versions`, cheap to import. A message module costs milliseconds: it is imported
when `api` is first asked for it, so that a process pays only for what it serves.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple, Protocol

from tailrace.wire.versions import VERSIONS, ApiKey

__all__ = ["Api", "ApiKey", "MessageType", "api", "camel_case", "versions"]


class MessageType(Protocol):
    """A generated request or response class. The message itself is `Any`: each API has its own."""

    MIN_VERSION: int
    MAX_VERSION: int
    FLEXIBLE_FROM: int

    def __call__(self) -> Any: ...

    def decode(self, buf: memoryview, pos: int, version: int) -> tuple[Any, int]:
        """Read one message of `version` at `pos`."""
        ...


class Api(NamedTuple):
    """One API as it goes over the wire."""

    key: int
    name: str
    first_version: int
    last_version: int
    """Highest stable version; an unstable one is neither advertised nor accepted."""
    flexible_from: int
    request: MessageType
    response: MessageType


_known: dict[int, Api] = {}


def camel_case(key: ApiKey) -> str:
    """Kafka's spelling: `ApiKey.LIST_OFFSETS` -> `ListOffsets`."""
    return "".join(word.capitalize() for word in key.name.split("_"))


def versions(key: int) -> tuple[int, int, int] | None:
    """(first, last stable, first flexible version) of an API, or None for an unknown one; imports no message."""
    return VERSIONS.get(key)


def api(key: int) -> Api | None:
    """The API with this key, or None for one that this package does not know. Imports its messages the first time."""
    found = _known.get(key)
    if found is None and key in VERSIONS:
        known = ApiKey(key)
        module = import_module(f"tailrace.wire.messages.{known.name.lower()}")
        name = camel_case(known)
        request, response = getattr(module, f"{name}Request"), getattr(module, f"{name}Response")
        found = _known[key] = Api(key, name, *VERSIONS[key], request, response)
    return found

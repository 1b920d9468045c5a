"""The APIs this package can read and write: key, name, versions, message classes.

`API_NAMES` is the only place that lists them; the version ranges come from the generated classes. A module is imported
when its API is first asked for, so that a process pays only for what it serves.
"""

from __future__ import annotations

from enum import IntEnum
from importlib import import_module
from typing import Any, NamedTuple, Protocol


class ApiKey(IntEnum):
    """Keys of the requests this package knows, int16 on the wire."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    DESCRIBE_LOG_DIRS = 35
    CREATE_PARTITIONS = 37
    DELETE_GROUPS = 42
    INCREMENTAL_ALTER_CONFIGS = 44
    OFFSET_DELETE = 47
    DESCRIBE_CLUSTER = 60
    DESCRIBE_PRODUCERS = 61
    LIST_CONFIG_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75


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


def api(key: int) -> Api | None:
    """The API with this key, or None for one that this package does not know."""
    found = _known.get(key)
    if found is None:
        try:
            known = ApiKey(key)
        except ValueError:
            return None
        module = import_module(f"tailrace.wire.messages.{known.name.lower()}")
        name = camel_case(known)
        request, response = getattr(module, f"{name}Request"), getattr(module, f"{name}Response")
        last = request.MAX_VERSION - (1 if getattr(request, "LATEST_UNSTABLE", False) else 0)
        found = Api(key, name, request.MIN_VERSION, last, request.FLEXIBLE_FROM, request, response)
        _known[key] = found
    return found

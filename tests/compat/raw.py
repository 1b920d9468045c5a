"""Requests to a broker as bytes, with kio as the codec: no client library stands between the test and the answer.

`Peer.ask("fetch", 12, ...)` builds the request of that version from keyword arguments in kio's names, fills what is not
named with zero, null or empty, sends it, and gives the answer as plain dicts and lists.
A field that this version does not have is left out; one that no version has is an error of the test.
"""

import dataclasses
import datetime
import io
import socket
import struct
import types
import typing
import uuid
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

from kio.index import load_request_schema, load_response_schema
from kio.schema.index import api_key_map, schema_name_map
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

API_KEYS = {name: key for key, name in api_key_map.items()}
TIMEOUT_S = 60.0
MAX_FRAME_BYTES = 64 * 1024 * 1024


class ConnectionClosed(Exception):
    """The broker hung up instead of answering."""


class Connection:
    """One TCP connection that sends frames and receives frames."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), TIMEOUT_S)

    def send(self, frame: bytes) -> None:
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self) -> bytes:
        """The next frame; ConnectionClosed when there is none."""
        (length,) = struct.unpack(">i", self._exactly(4))
        assert 0 <= length <= MAX_FRAME_BYTES, f"a frame of {length} bytes"
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self.socket.recv(count - len(parts))
            except ConnectionResetError:
                part = b""
            if not part:
                raise ConnectionClosed(f"after {len(parts)} of {count} bytes")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        self.socket.close()


class Peer:
    """A broker, asked in raw requests; a connection that the broker closes is opened anew for the next question."""

    def __init__(self, address: str, client_id: str | None = "differential") -> None:
        self.address = address
        self.client_id = client_id
        self.correlation = 0
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self.address)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, api: str, version: int, **fields: Any) -> Any:
        """The answer as a dict; the string "closed" when the broker hung up."""
        correlation = self.send(api, version, **fields)
        try:
            frame = self.connection.receive()
        except ConnectionClosed:
            self.close()
            return "closed"
        answered, answer = decode_response(api, version, frame)
        assert answered == correlation, f"the answer to {answered} came for {correlation}"
        return answer

    def send(self, api: str, version: int, **fields: Any) -> int:
        """Send without waiting; the correlation id."""
        self.correlation += 1
        request = encode_request(api, version, self.correlation, self.client_id, fields)
        try:
            self.connection.send(request)
        except (BrokenPipeError, ConnectionResetError):
            self.close()
            self.connection.send(request)
        return self.correlation


@cache
def versions_known(api: str) -> tuple[int, ...]:
    """The versions kio can write, lowest first."""
    return tuple(sorted(v for v, kinds in schema_name_map[api].items() if EntityType.request in kinds))


def encode_request(api: str, version: int, correlation: int, client_id: str | None, fields: Mapping[str, Any]) -> bytes:
    """Header and body."""
    schema = load_request_schema(API_KEYS[api], version)
    body = build(schema, fields, known_fields(api))
    header_type = schema.__header_schema__
    names = {"request_api_key": API_KEYS[api], "request_api_version": version, "correlation_id": correlation}
    names["client_id"] = client_id
    header = header_type(**{f.name: names[f.name] for f in dataclasses.fields(header_type)})
    out = io.BytesIO()
    entity_writer(header_type)(out, header)
    entity_writer(schema)(out, body)
    return out.getvalue()


def decode_response(api: str, version: int, frame: bytes) -> tuple[int, Any]:
    """Correlation id and body; AssertionError when bytes are left over."""
    schema = load_response_schema(API_KEYS[api], version)
    header, position = entity_reader(schema.__header_schema__)(frame, 0)
    body, size = entity_reader(schema)(frame, position)
    assert position + size == len(frame), f"{api} v{version}: {len(frame) - position - size} bytes left over"
    return header.correlation_id, plain(body)


@cache
def known_fields(api: str) -> frozenset[str]:
    """Every field name of any version of this request, at any depth."""
    names: set[str] = set()
    for version in versions_known(api):
        pending: list[Any] = [load_request_schema(API_KEYS[api], version)]
        while pending:
            entity = pending.pop()
            for name, hint in hints(entity).items():
                names.add(name)
                _, inner, _ = unwrap(hint)
                if dataclasses.is_dataclass(inner):
                    pending.append(inner)
    return frozenset(names)


@cache
def hints(entity: Any) -> dict[str, Any]:
    resolved = typing.get_type_hints(entity)
    return {field.name: resolved[field.name] for field in dataclasses.fields(entity)}


def unwrap(hint: Any) -> tuple[bool, Any, bool]:
    """(is an array, element or value type, may be null)."""
    nullable = False
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        nullable = type(None) in typing.get_args(hint)
        [hint] = [argument for argument in typing.get_args(hint) if argument is not type(None)]
    if typing.get_origin(hint) is tuple:
        return True, typing.get_args(hint)[0], nullable
    return False, hint, nullable


def build(entity: Any, fields: Mapping[str, Any], known: frozenset[str]) -> Any:
    """An entity of kio from plain values."""
    unknown = set(fields) - known
    assert not unknown, f"no version of {entity.__name__} has {unknown}"
    arguments = {}
    for field in dataclasses.fields(entity):
        array, inner, nullable = unwrap(hints(entity)[field.name])
        if field.name in fields:
            value = fields[field.name]
            if array and value is not None:
                arguments[field.name] = tuple(leaf(inner, v, known) for v in value)
            else:
                arguments[field.name] = None if value is None else leaf(inner, value, known)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            arguments[field.name] = None if nullable else () if array else zero(inner)
    return entity(**arguments)


def leaf(kind: Any, value: Any, known: frozenset[str]) -> Any:
    """One value in kio's type."""
    if dataclasses.is_dataclass(kind):
        return build(kind, value, known)
    if issubclass(kind, datetime.timedelta):
        return datetime.timedelta(milliseconds=value)
    return value


def zero(kind: Any) -> Any:
    """What stands in a required field nobody named."""
    if issubclass(kind, datetime.timedelta):
        return datetime.timedelta(0)
    for base, value in ((bool, False), (int, 0), (str, ""), (bytes, b""), (float, 0.0)):
        if issubclass(kind, base):
            return value
    raise AssertionError(f"no zero for {kind}")


def plain(value: Any) -> Any:
    """An answer without kio's types: dicts, lists, numbers, text, bytes."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime.timedelta):
        return round(value.total_seconds() * 1000)
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, uuid.UUID):
        return value
    return value

"""Schemas of a registry that speaks Confluent's API, and what they make of bytes: Avro, JSON and Protobuf.

    0x00 | schema id u32 | Avro body, JSON, or (Protobuf) indexes of the message and its body

Avro needs the package fastavro and Protobuf the package protobuf: without them a value is shown as bytes, and says why.
Every method blocks. Not its business: writing with schemas. Source: Confluent's wire format.
"""

from __future__ import annotations

import base64
import io
import json
from collections import OrderedDict
from collections.abc import Callable
from http.client import HTTPException
from threading import Lock
from typing import Any, Final, NamedTuple
from urllib.request import Request, urlopen

from tailrace.base.clock import Clock
from tailrace.console.limits import SCHEMA_RETRY_MS, SCHEMA_WAIT_S, SCHEMAS_MAX

MAGIC: Final = 0
SCHEMA_ID_BYTES: Final = 5
_ANSWER_MAX_BYTES: Final = 8 << 20

ToJson = Callable[[bytes], Any]


class Decoded(NamedTuple):
    """What a schema says. `text` is None where it says nothing, and `problem` why."""

    text: str | None
    schema: dict[str, Any] | None
    problem: str | None


class _Known(NamedTuple):
    """A schema that was fetched, or why it was not."""

    schema: dict[str, Any] | None
    to_json: ToJson | None
    problem: str | None
    asked_ms: float


class SchemaUnusable(Exception):
    """A schema that cannot be had or used; the message says why."""


class Schemas:
    """The schemas of one registry, fetched when first met. May be used by several threads."""

    def __init__(self, registry: str, clock: Clock) -> None:
        self._registry = registry.rstrip("/")
        self._clock = clock
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._lock = Lock()

    def decode(self, data: bytes) -> Decoded:
        """Read `data`, which begins with MAGIC and a schema's id."""
        number = int.from_bytes(data[1:SCHEMA_ID_BYTES], "big")
        known = self._schema(number)
        if known.to_json is None:
            return Decoded(None, known.schema, known.problem)
        try:
            text = json.dumps(known.to_json(data[SCHEMA_ID_BYTES:]), ensure_ascii=False, default=_plain)
        except Exception as error:  # whatever the libraries raise for bytes that are not of the schema
            return Decoded(None, known.schema, f"The bytes are not of schema {number}: {_words(error)}.")
        return Decoded(text, known.schema, None)

    def _schema(self, number: int) -> _Known:
        with self._lock:  # one thread fetches, the others wait for it: SCHEMA_WAIT_S at most
            known = self._known.get(number)
            now_ms = self._clock.monotonic_ms()
            if known is not None and (known.to_json is not None or now_ms - known.asked_ms < SCHEMA_RETRY_MS):
                return known
            try:
                schema, to_json = self._fetch(number)
                known = _Known(schema, to_json, None, now_ms)
            except SchemaUnusable as error:
                known = _Known(None, None, str(error), now_ms)
            self._known[number] = known
            while len(self._known) > SCHEMAS_MAX:
                self._known.popitem(last=False)
            return known

    def _fetch(self, number: int) -> tuple[dict[str, Any], ToJson]:
        found = self._get(f"/schemas/ids/{number}", number)
        kind = found.get("schemaType", "AVRO")
        references = self._references(found, 0)
        if kind == "AVRO":
            name, to_json = _avro(found["schema"], references)
        elif kind == "JSON":
            name, to_json = None, json.loads
        elif kind == "PROTOBUF":
            serialized = self._get(f"/schemas/ids/{number}?format=serialized", number)["schema"]
            name, to_json = _protobuf(serialized)
        else:
            raise SchemaUnusable(f"Schema {number} is of a type that is not known: {kind}.")
        return {"id": number, "type": kind, "name": name}, to_json

    def _references(self, found: dict[str, Any], depth: int) -> list[str]:
        """The schemas that one refers to, those they refer to first."""
        if depth > 8:
            raise SchemaUnusable("Its references go too deep.")
        texts: list[str] = []
        for each in found.get("references") or []:
            other = self._get(f"/subjects/{each['subject']}/versions/{each['version']}", 0)
            texts += [*self._references(other, depth + 1), other["schema"]]
        return texts

    def _get(self, path: str, number: int) -> dict[str, Any]:
        request = Request(f"{self._registry}{path}", headers={"Accept": "application/json"})
        try:
            with urlopen(request, timeout=SCHEMA_WAIT_S) as answer:
                found = json.loads(answer.read(_ANSWER_MAX_BYTES))
        except (OSError, HTTPException, ValueError) as error:
            raise SchemaUnusable(f"Schema {number} cannot be had from {self._registry}: {_words(error)}.") from error
        if not isinstance(found, dict) or "schema" not in found:
            raise SchemaUnusable(f"{self._registry} does not answer as a schema registry does.")
        return found


def _avro(text: str, references: list[str]) -> tuple[str | None, ToJson]:
    try:
        import fastavro  # an extra: only who has such schemas needs it
    except ImportError as error:
        raise SchemaUnusable("It is Avro; pip install 'tailrace[schemas]' to read it.") from error
    try:
        named: dict[str, Any] = {}
        for each in references:
            fastavro.parse_schema(json.loads(each), named)
        schema = fastavro.parse_schema(json.loads(text), named)
    except Exception as error:  # fastavro raises several of its own
        raise SchemaUnusable(f"The schema cannot be read: {_words(error)}.") from error
    name = schema.get("name") if isinstance(schema, dict) else None
    return name, lambda data: fastavro.schemaless_reader(io.BytesIO(data), schema, None)


def _protobuf(serialized: str) -> tuple[str | None, ToJson]:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
    except ImportError as error:
        raise SchemaUnusable("It is Protobuf; pip install 'tailrace[schemas]' to read it.") from error
    try:
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(serialized))
        pool = descriptor_pool.DescriptorPool()
        _add_well_known(pool, descriptor_pb2.FileDescriptorProto)
        pool.Add(file)
        described = pool.FindFileByName(file.name)
    except Exception as error:  # TypeError and others of protobuf's, for imports that are not there
        raise SchemaUnusable(f"The schema cannot be read: {_words(error)}.") from error
    messages = list(described.message_types_by_name.values())

    def to_json(data: bytes) -> Any:
        indexes, body = _message_indexes(data)
        kind = messages[indexes[0]]
        for index in indexes[1:]:
            kind = kind.nested_types[index]
        found = message_factory.GetMessageClass(kind).FromString(body)
        return json_format.MessageToDict(found, preserving_proto_field_name=True, descriptor_pool=pool)

    return messages[0].full_name if messages else None, to_json


def _add_well_known(pool: Any, file_type: Any) -> None:
    """The files that come with protobuf, so that timestamps and the like are known."""
    from google.protobuf import any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2

    for module in (any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
        file = file_type()
        module.DESCRIPTOR.CopyToProto(file)
        pool.Add(file)


def _message_indexes(data: bytes) -> tuple[list[int], bytes]:
    """Which message of the file it is, and its body. A single zero stands for [0]."""
    count, at = _zigzag(data, 0)
    if count == 0:
        return [0], data[at:]
    if not 0 < count <= 16:
        raise ValueError("not the indexes of a message")
    indexes = []
    for _ in range(count):
        index, at = _zigzag(data, at)
        indexes.append(index)
    return indexes, data[at:]


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at
        if shift > 63:
            raise ValueError("a number that is too long")


def _plain(value: object) -> Any:
    """What JSON has no form for: bytes as hex, dates and decimals as text."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300].rstrip(".")

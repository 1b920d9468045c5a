"""Bytes with a schema of a registry: Avro, JSON and Protobuf, and what is said when that does not work."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tailrace.base.clock import ManualClock
from tailrace.console import schemas
from tailrace.console.decoding import Decoder, Shown
from tailrace.console.limits import SCHEMA_RETRY_MS
from tailrace.console.schemas import Schemas

AVRO = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}, {"name": "raw", "type": "bytes"}]}


class Registry:
    """What the registry answers, by path; OSError for others."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    def open(self, request: Any, timeout: float) -> io.BytesIO:
        path = request.full_url.removeprefix("http://registry")
        self.asked.append(path)
        if path not in self.answers:
            raise OSError("not there")
        return io.BytesIO(json.dumps(self.answers[path]).encode())


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    made = Registry()
    monkeypatch.setattr(schemas, "urlopen", made.open)
    yield made


def show(clock: ManualClock, number: int, body: bytes, known: Schemas | None = None) -> Any:
    known = known or Schemas("http://registry/", clock)
    return Decoder(known).show(b"\x00" + struct.pack(">I", number) + body, Shown())


def test_avro(registry: Registry) -> None:
    registry.answers["/schemas/ids/7"] = {"schema": json.dumps(AVRO)}
    shown = show(ManualClock(), 7, b"\x04\x04\xff\x00")
    assert (shown["format"], json.loads(shown["text"])) == ("avro", {"id": 2, "raw": "ff00"})
    assert shown["schema"] == {"id": 7, "type": "AVRO", "name": "Order"}


def test_json(registry: Registry) -> None:
    registry.answers["/schemas/ids/8"] = {"schema": "{}", "schemaType": "JSON"}
    shown = show(ManualClock(), 8, b'{"a": 1}')
    assert (shown["format"], shown["text"]) == ("jsonschema", '{"a": 1}')


def test_protobuf(registry: Registry) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

    file = FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    for name in ("First", "Order"):
        field = file.message_type.add(name=name).field.add(name="total_cents", number=1)
        field.type, field.label = FieldDescriptorProto.TYPE_INT64, FieldDescriptorProto.LABEL_OPTIONAL
    serialized = base64.b64encode(file.SerializeToString()).decode()
    registry.answers["/schemas/ids/9"] = {"schema": "syntax ...", "schemaType": "PROTOBUF"}
    registry.answers["/schemas/ids/9?format=serialized"] = {"schema": serialized}
    shown = show(ManualClock(), 9, b"\x02\x02\x08\x05")  # indexes: one, the second message
    assert (shown["format"], json.loads(shown["text"])) == ("protobuf", {"total_cents": "5"})
    assert json.loads(show(ManualClock(), 9, b"\x00\x08\x06")["text"]) == {"total_cents": "6"}


def test_bytes_that_are_not_of_their_schema(registry: Registry) -> None:
    registry.answers["/schemas/ids/7"] = {"schema": json.dumps(AVRO)}
    shown = show(ManualClock(), 7, b"")
    assert shown["format"] == "hex" and "not of schema 7" in shown["problem"]


def test_a_registry_that_is_away_is_not_asked_at_once_again(registry: Registry) -> None:
    clock = ManualClock()
    known = Schemas("http://registry", clock)
    for _ in range(3):
        assert "cannot be had" in show(clock, 7, b"\x04\x00", known)["problem"]
    assert len(registry.asked) == 1
    clock.advance(SCHEMA_RETRY_MS + 1)
    registry.answers["/schemas/ids/7"] = {"schema": json.dumps(AVRO)}
    assert show(clock, 7, b"\x04\x00", known)["format"] == "avro"

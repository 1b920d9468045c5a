"""Any bytes as a frame's content end in a request or a DecodeError; a request that was read is written and read alike.

Every API and every version, by way of the header's own key and version. The memory allowance is always put back.
"""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import driver

from message_schema import Field, Message, load
from tailrace.wire import primitives
from tailrace.wire.api import Api, ApiKey, api, camel_case
from tailrace.wire.frame import decode_request, decode_request_header, encode_request
from tailrace.wire.primitives import DecodeError, EncodeError


def target(data: bytes) -> None:
    view = memoryview(data)
    try:
        header = decode_request_header(view)
        known = api(header.api_key)
        if known is None or not known.first_version <= header.api_version <= known.last_version:
            return
        client_id, request = decode_request(known, header, view)
    except DecodeError:
        return
    finally:
        assert primitives._allowance == primitives._UNLIMITED
    try:
        frame = encode_request(known, header.api_version, header.correlation_id, client_id, request)
    except EncodeError:
        return  # bytes that are not UTF-8 grow when they are replaced, and may pass the longest string
    again = memoryview(frame)[4:]
    assert decode_request(known, decode_request_header(again), again) == (client_id, request)


def seeds() -> list[bytes]:
    """Every request in every version, filled by chance, twice."""
    chance = random.Random(0)
    found = [b"", bytes(8)]
    for key in ApiKey:
        known = api(key)
        assert known is not None
        message = load(driver.ROOT / "schema" / "message" / f"{camel_case(key)}Request.json")
        for version in range(known.first_version, known.last_version + 1):
            for _ in range(2):
                request = filled(chance, known, message, message.fields, message.name, version)
                found.append(bytes(encode_request(known, version, 7, "fuzz", request)[4:]))
    return found


def filled(chance: random.Random, known: Api, message: Message, fields: list[Field], name: str, version: int) -> Any:
    """An instance of a struct with something in each field of the version."""
    chosen: dict[str, Any] = {}
    for item in fields:
        if not item.versions.has(version):
            continue
        if item.nullable.has(version) and chance.random() < 0.2:
            chosen[item.name] = None
            continue
        made = [
            filled(chance, known, message, item.fields or message.common.get(item.type, []), item.type, version)
            if item.is_struct
            else scalar(chance, item.type)
            for _ in range(chance.randint(0, 2) if item.is_array else 1)
        ]
        chosen[item.name] = made if item.is_array else made[0]
    module = __import__(known.request.__module__, fromlist=[name])  # type: ignore[attr-defined]
    return getattr(module, name)(**chosen)


def scalar(chance: random.Random, kind: str) -> Any:
    match kind:
        case "string":
            return chance.choice(["", "a", "topic", "grüße", "x" * 130])
        case "bytes" | "records":
            return chance.randbytes(chance.choice([0, 3, 140]))
        case "uuid":
            return UUID(bytes=chance.randbytes(16))
        case "bool":
            return chance.random() < 0.5
        case _:
            return chance.choice([0, 1, -1, 100])


if __name__ == "__main__":
    driver.run(target, seeds())

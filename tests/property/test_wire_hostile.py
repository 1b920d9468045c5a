"""Whatever bytes arrive as a request, reading them ends in a request or a DecodeError, in bounded memory."""

from __future__ import annotations

import random
import tracemalloc
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from wire_messages import EVERY, KINDS, Kind, values

from message_schema import Field
from tailrace.base.limits import REQUEST_DECODED_MAX_BYTES
from tailrace.wire import primitives
from tailrace.wire.api import ApiKey, api, versions
from tailrace.wire.frame import decode_request, decode_request_header, encode_request

QUICK = settings(max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
REQUESTS = [(name, version) for name, version in EVERY if KINDS[name].message.kind == "request"]
MEASURED_ELEMENTS = 500


def read_frame(content: bytes | bytearray) -> None:
    """What a connection does with a frame's content."""
    view = memoryview(content)
    header = decode_request_header(view)
    known = api(header.api_key)
    if known is not None and known.first_version <= header.api_version <= known.last_version:
        decode_request(known, header, view)


def frame_of(name: str, version: int, value: Any) -> bytearray:
    known = api(KINDS[name].message.api_key)
    assert known is not None
    return encode_request(known, version, 7, "a client", value)[4:]


@pytest.mark.parametrize(("name", "version"), REQUESTS)
def test_a_flipped_bit_does_no_harm(name: str, version: int) -> None:
    @QUICK
    @given(values(name, version))
    def check(value: Any) -> None:
        content = frame_of(name, version, value)
        for bit in range(min(len(content), 400) * 8):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            try:
                read_frame(flipped)
            except primitives.DecodeError:
                continue

    check()
    assert primitives._allowance == primitives._UNLIMITED


@pytest.mark.parametrize(("name", "version"), REQUESTS)
def test_a_cut_frame_is_refused(name: str, version: int) -> None:
    if version > versions(KINDS[name].message.api_key)[1]:  # type: ignore[index]
        return  # an unstable version: never read

    @QUICK
    @given(values(name, version))
    def check(value: Any) -> None:
        content = frame_of(name, version, value)
        for cut in range(len(content)):
            with pytest.raises(primitives.DecodeError):
                read_frame(content[:cut])

    check()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(ApiKey)), st.integers(0, 18), st.binary(max_size=200))
def test_random_bytes_do_no_harm(key: ApiKey, version: int, body: bytes) -> None:
    try:
        read_frame(key.to_bytes(2, "big") + version.to_bytes(2, "big") + body)
    except primitives.DecodeError:
        return


TEXTS = ["x" * 63, "é" * 7, "\N{GRINNING FACE}" + "x" * 59, "x" * 64]


def fields_of(kind: Kind, item: Field) -> list[Field]:
    return item.fields or kind.message.common.get(item.type, [])


def array_paths(kind: Kind, fields: list[Field], version: int, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Names that lead to every array of a message."""
    found = []
    for item in fields:
        if item.versions.has(version):
            if item.is_array:
                found.append((*above, item.name))
            if item.is_struct:
                found += array_paths(kind, fields_of(kind, item), version, (*above, item.name))
    return found


def bloated(kind: Kind, name: str, fields: list[Field], version: int, path: tuple[str, ...], text: str) -> Any:
    """A struct with many elements in the array at `path`, and in every other field something that takes memory."""
    chosen: dict[str, Any] = {}
    for item in fields:
        if not item.versions.has(version):
            continue
        inside = path[:1] == (item.name,)
        count = (MEASURED_ELEMENTS if len(path) == 1 else 1) if inside else 0
        made = [
            bloated(kind, item.type, fields_of(kind, item), version, path[1:] if inside else (), text)
            if item.is_struct
            else heavy(item.type, text)
            for _ in range(count if item.is_array else 1)
        ]
        chosen[item.name] = made if item.is_array else made[0]
    return getattr(import_module(kind.module), name)(**chosen)


def heavy(kind: str, text: str) -> Any:
    """A value of its own: small numbers and equal UUIDs are shared and take nothing."""
    match kind:
        case "string":
            return text
        case "bytes" | "records":
            return b"x"
        case "uuid":
            return UUID(bytes=random.randbytes(16))
        case "bool":
            return True
        case "int8":
            return 1
        case "int16":
            return random.randrange(2**14, 2**15)
        case "int32":
            return random.randrange(2**30, 2**31)
        case _:
            return random.randrange(2**62, 2**63)


@pytest.mark.parametrize("name", sorted({name for name, _ in REQUESTS}))
@pytest.mark.parametrize("text", TEXTS, ids=["short", "accents", "emoji", "long"])
def test_memory_is_never_more_than_what_is_charged(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primitives, "_UUIDS_MAX", 0)  # the cache of UUIDs is bounded by itself, and not of the request
    kind = KINDS[name]
    first, last = kind.versions[0], kind.versions[-1]
    for version in {first, last, max(first, min(kind.message.flexible.first, last))}:
        for path in array_paths(kind, kind.message.fields, version):
            data = bytearray()
            bloated(kind, name, kind.message.fields, version, path, text).encode(data, version)
            view = memoryview(data)
            primitives.set_allowance(2**50)
            tracemalloc.start()
            kept = kind.type.decode(view, 0, version)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            charged = 2**50 - primitives._allowance
            primitives.set_allowance(None)
            assert peak <= charged, (version, path, peak / MEASURED_ELEMENTS)
            assert kept


FRAME_BYTES = 100 * 1024 * 1024
"""The default of socket.request.max.bytes."""


def peak_of_reading(content: bytearray) -> int:
    tracemalloc.start()
    try:
        read_frame(content)
    except primitives.DecodeError:
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    raise AssertionError("the frame was not refused")


@pytest.mark.slow
@pytest.mark.parametrize("topics", [FRAME_BYTES // 6 - 100, 150_000], ids=["one array", "array in array"])
def test_a_frame_of_the_largest_size_is_refused_in_bounded_memory(topics: int) -> None:
    """Produce v2: a topic without a name is six bytes, one of its partitions eight."""
    header = bytes([0, 0, 0, 2, 0, 0, 0, 1, 255, 255, 0, 1, 0, 0, 0, 1])
    topic = bytes(6) if topics > 200_000 else bytes([0, 0, 0, 0, 0, 80]) + bytes([0, 0, 0, 0, 255, 255, 255, 255]) * 80
    content = bytearray(header + topics.to_bytes(4, "big") + topic * topics)
    assert 0.9 * FRAME_BYTES < len(content) <= FRAME_BYTES
    assert peak_of_reading(content) < REQUEST_DECODED_MAX_BYTES

"""Frames and headers: what surrounds every request and response.

    request    | size i32 | api_key i16 | api_version i16 | correlation_id i32 | client_id | tags? | body |
    response   | size i32 | correlation_id i32 | tags? | body |

`size` counts what follows it. `client_id` is an int16-length nullable string in every version. The tags are there when
the request's version is flexible; an ApiVersions response never has them (KIP-511).
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - the standard library's name is lower case
from typing import Any, Final, NamedTuple

from tailrace.base.limits import REQUEST_DECODED_MAX_BYTES
from tailrace.wire.api import Api, ApiKey
from tailrace.wire.primitives import (
    DecodeError,
    Encodable,
    read_nullable_string,
    set_allowance,
    skip_tagged_fields,
    write_nullable_string,
)

SIZE_BYTES = 4
_HEADER = Struct(">hhi")
_RESPONSE = Struct(">ii")
_SIZE = Struct(">i")
_API_VERSIONS: Final = int(ApiKey.API_VERSIONS)


class RequestHeader(NamedTuple):
    """The fixed part of a request. `position` is where the client id starts."""

    api_key: int
    api_version: int
    correlation_id: int
    position: int


def frame_size(buf: memoryview, pos: int) -> int:
    """The size a frame announces, without its own four bytes; at least those four must be there."""
    (size,) = _SIZE.unpack_from(buf, pos)
    return int(size)


def decode_request_header(buf: memoryview) -> RequestHeader:
    """Read the first eight bytes of a frame's content."""
    try:
        api_key, api_version, correlation_id = _HEADER.unpack_from(buf, 0)
    except StructError as error:
        raise DecodeError("request is shorter than its header") from error
    return RequestHeader(api_key, api_version, correlation_id, 8)


def decode_request(api: Api, header: RequestHeader, buf: memoryview) -> tuple[str | None, Any]:
    """(client id, request) of a frame whose version `api` supports. Raises DecodeError for anything malformed.

    It takes at most `REQUEST_DECODED_MAX_BYTES` of memory. Bytes after the message are passed over, as Kafka does.
    """
    version = header.api_version
    set_allowance(REQUEST_DECODED_MAX_BYTES)
    try:
        client_id, pos = read_nullable_string(buf, header.position)
        if version >= api.flexible_from:
            pos = skip_tagged_fields(buf, pos)
        request, _ = api.request.decode(buf, pos, version)
    except (StructError, IndexError) as error:
        raise DecodeError(f"{api.name} v{version} ends before its last field") from error
    finally:
        set_allowance(None)
    return client_id, request


def encode_response(api: Api, version: int, correlation_id: int, response: Encodable) -> bytearray:
    """A whole response frame."""
    out = bytearray(_RESPONSE.pack(0, correlation_id))
    if version >= api.flexible_from and api.key != _API_VERSIONS:
        out.append(0)
    response.encode(out, version)
    _SIZE.pack_into(out, 0, len(out) - SIZE_BYTES)
    return out


def encode_request(api: Api, version: int, correlation_id: int, client_id: str | None, request: Encodable) -> bytearray:
    """A whole request frame, for the client side."""
    out = bytearray(SIZE_BYTES) + _HEADER.pack(api.key, version, correlation_id)
    write_nullable_string(out, client_id)
    if version >= api.flexible_from:
        out.append(0)
    request.encode(out, version)
    _SIZE.pack_into(out, 0, len(out) - SIZE_BYTES)
    return out


def decode_response(api: Api, version: int, buf: memoryview) -> tuple[int, Any]:
    """(correlation id, response) of a response frame's content, for the client side."""
    try:
        (correlation_id,) = _SIZE.unpack_from(buf, 0)
        pos = 4
        if version >= api.flexible_from and api.key != _API_VERSIONS:
            pos = skip_tagged_fields(buf, pos)
        response, pos = api.response.decode(buf, pos, version)
    except (StructError, IndexError) as error:
        raise DecodeError(f"{api.name} response v{version} ends before its last field") from error
    return int(correlation_id), response

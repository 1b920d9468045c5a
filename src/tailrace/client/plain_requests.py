"""Requests to the brokers of a cluster, sent as they are over plain TCP, for tools and tests.

One connection a broker, one request at a time, each in the newest version both sides have. Not its business: TLS and
SASL (a cluster that wants them closes the connection), trying again.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from tailrace.base.errors import TailraceError
from tailrace.wire.api import Api, ApiKey, api
from tailrace.wire.frame import SIZE_BYTES, decode_response, encode_request
from tailrace.wire.messages.api_versions import ApiVersionsRequest

ANSWER_MAX_BYTES: Final = 64 << 20
"""An answer larger than this is not read: no request here has one."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
BrokerAddress = tuple[str, int]


class NotAnswered(TailraceError):
    """A broker cannot be asked: it is not there, closes the connection, or is silent."""


class NotServed(TailraceError):
    """A broker does not serve an API in a version of ours."""


class PlainRequests:
    """The brokers of one cluster. Made inside a running loop; `close` ends the connections."""

    def __init__(self, bootstrap: list[BrokerAddress], timeout_s: float, client_id: str) -> None:
        self._bootstrap = bootstrap
        self._timeout_s = timeout_s
        self._client_id = client_id
        self._connections: dict[BrokerAddress, Streams] = {}
        self._versions: dict[BrokerAddress, dict[int, tuple[int, int]]] = {}
        self._locks: dict[BrokerAddress, asyncio.Lock] = {}
        self._chosen: BrokerAddress | None = None

    async def ask(self, key: ApiKey, request: Any, broker: BrokerAddress | None = None) -> Any:
        """The answer of `broker`, or of the first of the bootstrap addresses that answers.

        Raises NotAnswered, after `timeout_s` at most, and NotServed.
        """
        found = api(key)
        assert found is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                address = broker or await self._any()
                async with self._locks.setdefault(address, asyncio.Lock()):
                    return await self._ask(address, found, request)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            if broker is None:
                self._chosen = None
            raise NotAnswered(_words(error)) from error

    async def close(self) -> None:
        """End every connection."""
        for _, writer in self._connections.values():
            writer.close()

    async def _any(self) -> BrokerAddress:
        if self._chosen is None:
            failure: Exception | None = None
            for address in self._bootstrap:
                try:
                    async with asyncio.timeout(self._timeout_s / len(self._bootstrap)):
                        async with self._locks.setdefault(address, asyncio.Lock()):
                            await self._connect(address)
                except (OSError, asyncio.IncompleteReadError) as error:
                    failure = error
                else:
                    self._chosen = address
                    return address
            assert failure is not None, "there is at least one server"
            raise failure
        return self._chosen

    async def _ask(self, address: BrokerAddress, found: Api, request: Any) -> Any:
        await self._connect(address)
        first, last = self._versions[address].get(found.key, (1, 0))
        version = min(last, found.last_version)
        if version < max(first, found.first_version):
            raise NotServed(f"this cluster does not serve {found.name}.")
        return await self._exchange(address, found, version, request)

    async def _connect(self, address: BrokerAddress) -> None:
        if address in self._connections:
            return
        self._connections[address] = await asyncio.open_connection(*address)
        found = api(ApiKey.API_VERSIONS)
        assert found is not None
        answer = await self._exchange(address, found, 0, ApiVersionsRequest())
        self._versions[address] = {each.api_key: (each.min_version, each.max_version) for each in answer.api_keys}

    async def _exchange(self, address: BrokerAddress, found: Api, version: int, request: Any) -> Any:
        reader, writer = self._connections[address]
        try:
            writer.write(encode_request(found, version, 1, self._client_id, request))
            size = int.from_bytes(await reader.readexactly(SIZE_BYTES), "big")
            if size > ANSWER_MAX_BYTES:
                raise ConnectionError(f"an answer of {size} bytes is not one of Kafka's")
            return decode_response(found, version, memoryview(await reader.readexactly(size)))[1]
        except BaseException:  # an answer that comes late must not be taken for another's
            del self._connections[address]
            writer.close()
            raise


def _words(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "the connection was closed"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    number = error.errno if isinstance(error, OSError) else None
    return str(error) if number is None or number < 0 else os.strerror(number).lower()  # below 0: of getaddrinfo

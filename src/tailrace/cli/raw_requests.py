"""Requests that librdkafka does not know, sent as they are over plain TCP: administration of transactions and groups.

One connection a broker, one request at a time, each in the newest version both sides have. Not its business: TLS and
SASL, which librdkafka's own commands do: a cluster that wants them closes the connection, and the command says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from tailrace.base.errors import ErrorCode
from tailrace.cli.failure import CommandFailed, ExitCode
from tailrace.wire.api import Api, ApiKey, api
from tailrace.wire.frame import SIZE_BYTES, decode_response, encode_request
from tailrace.wire.messages.api_versions import ApiVersionsRequest
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

CLIENT_ID: Final = "tailrace-cli"
ANSWER_MAX_BYTES: Final = 64 << 20
"""An answer larger than this is not read: no request here has one."""
GROUP: Final = 0
_TRANSACTION: Final = 1

Result = TypeVar("Result")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
BrokerAddress = tuple[str, int]


class RawCluster:
    """The brokers of one cluster. Made inside a running loop; `close` ends the connections."""

    def __init__(self, bootstrap_servers: str, timeout_s: float) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._timeout_s = timeout_s
        self._connections: dict[BrokerAddress, Streams] = {}
        self._versions: dict[BrokerAddress, dict[int, tuple[int, int]]] = {}
        self._bootstrap: BrokerAddress | None = None

    async def ask(self, key: ApiKey, request: Any, broker: BrokerAddress | None = None) -> Any:
        """The answer of `broker`, or of any that the user named. A broker that cannot be asked ends the command."""
        found = api(key)
        assert found is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                address = broker or await self._any()
                if address not in self._connections:
                    await self._connect(address)
                first, last = self._versions[address].get(key, (1, 0))
                version = min(last, found.last_version)
                if version < max(first, found.first_version):
                    raise CommandFailed(f"this cluster does not serve {found.name}.")
                return await self._exchange(address, found, version, request)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            where = self._bootstrap_servers if broker is None else f"{broker[0]}:{broker[1]}"
            why = "it did not answer in time" if isinstance(error, TimeoutError) else str(error)
            raise CommandFailed(
                f"cannot ask the broker at {where}: {why}; this command needs a listener without TLS and SASL.",
                ExitCode.UNREACHABLE,
            ) from error

    async def brokers(self) -> list[BrokerAddress]:
        """Every broker of the cluster."""
        answer = await self.ask(ApiKey.METADATA, MetadataRequest([]))
        return [(broker.host, broker.port) for broker in answer.brokers]

    async def leaders(self, topics: list[str] | None) -> dict[tuple[str, int], BrokerAddress]:
        """The leader of each partition of `topics`, of all topics when None. Those without a leader are left out."""
        asked = None if topics is None else [MetadataRequestTopic(name=name) for name in topics]
        answer = await self.ask(ApiKey.METADATA, MetadataRequest(asked, allow_auto_topic_creation=False))
        addresses = {broker.node_id: (broker.host, broker.port) for broker in answer.brokers}
        found = {}
        for topic in answer.topics:
            if topic.error_code:
                raise refusal(topic.error_code, f"topic {topic.name}")
            for partition in topic.partitions:
                if partition.leader_id in addresses:
                    found[topic.name, partition.partition_index] = addresses[partition.leader_id]
        return found

    async def coordinator(self, transactional_id: str) -> BrokerAddress:
        """The broker that coordinates a transactional id."""
        found = await self.find_coordinator(transactional_id, _TRANSACTION)
        return found.host, found.port

    async def group_coordinator(self, group_id: str) -> BrokerAddress:
        """The broker that coordinates a group."""
        found = await self.find_coordinator(group_id, GROUP)
        return found.host, found.port

    async def find_coordinator(self, key: str, key_type: int) -> Any:
        """The broker that coordinates a key of that type: an answer with `node_id`, `host` and `port`."""
        answer = await self.ask(ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(key, key_type, [key]))
        found = answer.coordinators[0] if answer.coordinators else answer
        if found.error_code:
            raise refusal(found.error_code, f"no coordinator for {key}")
        return found

    async def close(self) -> None:
        """End every connection."""
        for _, writer in self._connections.values():
            writer.close()

    async def _any(self) -> BrokerAddress:
        if self._bootstrap is None:
            failure: OSError | None = None
            for text in self._bootstrap_servers.split(","):
                host, _, port = text.strip().rpartition(":")
                try:
                    address = host.strip("[]"), int(port)
                    await self._connect(address)
                except OSError as error:
                    failure = error
                except ValueError as error:
                    raise CommandFailed(f"{text} is not HOST:PORT.", ExitCode.USAGE) from error
                else:
                    self._bootstrap = address
                    return address
            assert failure is not None, "there is at least one server"
            raise failure
        return self._bootstrap

    async def _connect(self, address: BrokerAddress) -> None:
        self._connections[address] = await asyncio.open_connection(*address)
        found = api(ApiKey.API_VERSIONS)
        assert found is not None
        answer = await self._exchange(address, found, 0, ApiVersionsRequest())
        self._versions[address] = {each.api_key: (each.min_version, each.max_version) for each in answer.api_keys}

    async def _exchange(self, address: BrokerAddress, found: Api, version: int, request: Any) -> Any:
        reader, writer = self._connections[address]
        writer.write(encode_request(found, version, 1, CLIENT_ID, request))
        size = int.from_bytes(await reader.readexactly(SIZE_BYTES), "big")
        if size > ANSWER_MAX_BYTES:
            raise CommandFailed(f"an answer of {size} bytes is not one of Kafka's.")
        return decode_response(found, version, memoryview(await reader.readexactly(size)))[1]


def refusal(code: int, what: str) -> CommandFailed:
    """The end of a command that a broker refused."""
    name = ErrorCode(code).name.lower().replace("_", " ")
    return CommandFailed(f"{what}: {name}.")


def run(bootstrap_servers: str, timeout_s: float, work: Callable[[RawCluster], Coroutine[Any, Any, Result]]) -> Result:
    """`await work(cluster)` in a loop of its own."""

    async def with_cluster() -> Result:
        cluster = RawCluster(bootstrap_servers, timeout_s)
        try:
            return await work(cluster)
        finally:
            await cluster.close()

    return asyncio.run(with_cluster())

"""Requests that librdkafka does not know, sent as they are over plain TCP: administration of transactions and groups.

Not its business: TLS and SASL, which librdkafka's own commands do: a cluster that wants them closes the connection, and
the command says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from tailrace.base.errors import ErrorCode
from tailrace.cli.failure import CommandFailed, ExitCode
from tailrace.client.plain_requests import BrokerAddress, NotAnswered, NotServed, PlainRequests
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

CLIENT_ID: Final = "tailrace-cli"
GROUP: Final = 0
_TRANSACTION: Final = 1

Result = TypeVar("Result")


class RawCluster(PlainRequests):
    """The brokers of one cluster. Made inside a running loop; `close` ends the connections."""

    def __init__(self, bootstrap_servers: str, timeout_s: float) -> None:
        """Raises CommandFailed for addresses that are none."""
        super().__init__(addresses(bootstrap_servers), timeout_s, CLIENT_ID)
        self._bootstrap_servers = bootstrap_servers

    async def ask(self, key: ApiKey, request: Any, broker: BrokerAddress | None = None) -> Any:
        """The answer of `broker`, or of any that the user named. A broker that cannot be asked ends the command."""
        try:
            return await super().ask(key, request, broker)
        except NotServed as error:
            raise CommandFailed(str(error)) from error
        except NotAnswered as error:
            where = self._bootstrap_servers if broker is None else f"{broker[0]}:{broker[1]}"
            raise CommandFailed(
                f"cannot ask the broker at {where}: {error}; this command needs a listener without TLS and SASL.",
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


def addresses(bootstrap_servers: str) -> list[BrokerAddress]:
    """Host and port of each. Raises CommandFailed for one that is none."""
    return [_address(text) for text in bootstrap_servers.split(",")]


def _address(text: str) -> BrokerAddress:
    host, _, port = text.strip().rpartition(":")
    try:
        return host.strip("[]"), int(port)
    except ValueError as error:
        raise CommandFailed(f"{text} is not HOST:PORT.", ExitCode.USAGE) from error


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

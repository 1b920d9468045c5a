"""Brokers: the list, one with its settings and log directories, and what software they are."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from confluent_kafka.admin import ClusterMetadata
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import tailrace
from tailrace.base.errors import TailraceError
from tailrace.console import configs
from tailrace.console.asked import body, confirmed
from tailrace.console.context import Console
from tailrace.console.kafka import KafkaCluster
from tailrace.console.problems import not_found
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.api_versions import ApiVersionsRequest
from tailrace.wire.messages.describe_cluster import DescribeClusterRequest
from tailrace.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

_LEVELS: Final = {"4.0": range(20, 26), "4.1": range(26, 28), "4.2": range(28, 30), "4.3": range(30, 31)}
"""Levels of the feature metadata.version, as Apache Kafka numbers its releases."""
_ONLY_TAILRACE_HAS: Final = "http.listen"


class Brokers:
    """The addresses below /api/brokers."""

    def __init__(self, console: Console) -> None:
        self._kafka = console.kafka
        self._sizes = console.sizes

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/api/brokers", self.page, methods=["GET"]),
            Route("/api/brokers/{broker:int}", self.describe, methods=["GET"]),
            Route("/api/brokers/{broker:int}/configs", self.alter, methods=["PATCH"]),
        ]

    async def page(self, request: Request) -> JSONResponse:
        """Every broker."""
        return JSONResponse({"items": await self._rows()})

    async def describe(self, request: Request) -> JSONResponse:
        """One broker with its settings and directories."""
        number = request.path_params["broker"]
        rows, sizes = await asyncio.gather(self._rows(), self._sizes.all())
        found = next((each for each in rows if each["id"] == number), None)
        if found is None:
            raise not_found(f"There is no broker {number}.", "The list of brokers shows those there are.")
        described = await configs.describe(self._kafka, configs.Resource.BROKER, str(number))
        return JSONResponse({**found, "configs": described, "log_dirs": sizes.directories.get(number, [])})

    async def alter(self, request: Request) -> JSONResponse:
        """Change settings of one broker."""
        name = str(request.path_params["broker"])
        asked = await body(request)
        confirmed(asked, name)
        await configs.alter(self._kafka, configs.Resource.BROKER, name, asked)
        return JSONResponse({"configs": await configs.describe(self._kafka, configs.Resource.BROKER, name)})

    async def _rows(self) -> list[dict[str, Any]]:
        metadata, sizes, racks, software = await asyncio.gather(
            self._kafka.metadata(), self._sizes.all(), self._racks(), software_of(self._kafka)
        )
        rows = broker_rows(metadata)
        for each in rows:
            each["rack"] = racks.get(each["id"])
            each["size_bytes"] = sizes.brokers.get(each["id"])
            each["software"] = software
        return rows

    async def _racks(self) -> dict[int, str | None]:
        try:
            answer = await self._kafka.ask(ApiKey.DESCRIBE_CLUSTER, DescribeClusterRequest())
        except TailraceError:
            return {}
        return {each.broker_id: each.rack for each in answer.brokers}


def broker_rows(metadata: ClusterMetadata) -> list[dict[str, Any]]:
    """Each broker with what it leads and has; racks and sizes have to be asked for."""
    leaders: dict[int, int] = {}
    replicas: dict[int, int] = {}
    for topic in metadata.topics.values():
        for each in topic.partitions.values():
            leaders[each.leader] = leaders.get(each.leader, 0) + 1
            for replica in each.replicas:
                replicas[replica] = replicas.get(replica, 0) + 1
    return [
        {
            "id": number,
            "host": each.host,
            "port": each.port,
            "rack": None,
            "is_controller": number == metadata.controller_id,
            "leaders": leaders.get(number, 0),
            "replicas": replicas.get(number, 0),
            "size_bytes": None,
            "software": None,
        }
        for number, each in sorted(metadata.brokers.items())
    ]


async def software_of(kafka: KafkaCluster) -> str:
    """What the brokers are, as far as the protocol tells; beside a broker it is this very software."""
    if kafka.options.is_inside_broker:
        return f"Tailrace {tailrace.__version__}"
    try:
        if await _is_tailrace(kafka):
            return "Tailrace"
        answer = await kafka.ask(ApiKey.API_VERSIONS, ApiVersionsRequest("tailrace-console", "1"))
    except TailraceError:
        return "Kafka"
    level = next((each.max_version_level for each in answer.finalized_features if each.name == "metadata.version"), 0)
    release = next((name for name, levels in _LEVELS.items() if level in levels), None)
    return "Kafka" if release is None else f"Apache Kafka {release} or compatible"


async def _is_tailrace(kafka: KafkaCluster) -> bool:
    """Whether a broker has a setting that no other broker has."""
    first = next(iter((await kafka.broker_addresses()).items()), None)
    if first is None:
        return False
    number, address = first
    resource = DescribeConfigsResource(configs.Resource.BROKER.value, str(number), [_ONLY_TAILRACE_HAS])
    answer = await kafka.ask(ApiKey.DESCRIBE_CONFIGS, DescribeConfigsRequest([resource]), address)
    return any(each.name == _ONLY_TAILRACE_HAS for found in answer.results for each in found.configs)

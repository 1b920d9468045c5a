"""The cluster at a glance, the session of a page, and what the console was started with."""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import confluent_kafka
from confluent_kafka.admin import ClusterMetadata
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import tailrace
from tailrace.base.errors import TailraceError
from tailrace.console import limits
from tailrace.console.brokers import broker_rows, software_of
from tailrace.console.context import Console
from tailrace.console.group_listing import list_groups
from tailrace.console.topics import is_internal


class Overview:
    """/api/session, /api/overview and /api/settings."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/api/session", self.session, methods=["GET"]),
            Route("/api/overview", self.overview, methods=["GET"]),
            Route("/api/settings", self.settings, methods=["GET"]),
        ]

    async def session(self, request: Request) -> JSONResponse:
        """What a page needs to know before it asks anything else."""
        options = self._console.options
        return JSONResponse(
            {
                "token": self._console.token,
                "read_only": options.is_read_only,
                "bootstrap": options.bootstrap,
                "version": tailrace.__version__,
                "is_inside_broker": options.is_inside_broker,
                "figures": "metrics" if options.metrics else "offsets",
                "has_profiles": bool(options.metrics),
                "has_schemas": options.schema_registry is not None,
                "limits": {
                    "messages": limits.MESSAGES_MAX,
                    "value_bytes": limits.SHOWN_CHARACTERS_MAX,
                    "scanned_records": limits.SEARCH_RECORDS,
                    "scan_ms": limits.SEARCH_TIME_MS,
                    "produced_bytes": limits.PRODUCED_MAX_BYTES,
                },
            }
        )

    async def overview(self, request: Request) -> JSONResponse:
        """How the cluster is."""
        kafka = self._console.kafka
        metadata = await kafka.metadata()
        software, groups = await asyncio.gather(software_of(kafka), self._group_count())
        partitions = [each for topic in metadata.topics.values() for each in topic.partitions.values()]
        return JSONResponse(
            {
                "cluster_id": metadata.cluster_id,
                "kafka": software,
                "controller_id": metadata.controller_id if metadata.controller_id >= 0 else None,
                "brokers": broker_rows(metadata),
                "topics": sum(not is_internal(name) for name in metadata.topics),
                "internal_topics": sum(is_internal(name) for name in metadata.topics),
                "partitions": len(partitions),
                "groups": groups,
                "under_replicated": sum(len(each.isrs) < len(each.replicas) for each in partitions),
                "offline": sum(each.leader < 0 for each in partitions),
                "problems": problems(metadata),
            }
        )

    async def settings(self, request: Request) -> JSONResponse:
        """What the console was started with."""
        options = self._console.options
        versions = {name: _version(name) for name in ("starlette", "uvicorn", "fastavro", "protobuf")}
        return JSONResponse(
            {
                "bootstrap": options.bootstrap,
                "listen": options.listen,
                "read_only": options.is_read_only,
                "client": options.shown_properties(),
                "schema_registry": options.schema_registry,
                "metrics": list(options.metrics),
                "allowed_hosts": list(options.allowed_hosts),
                "versions": {
                    "tailrace": tailrace.__version__,
                    "python": platform.python_version(),
                    "librdkafka": confluent_kafka.libversion()[0],
                    **versions,
                },
            }
        )

    async def _group_count(self) -> int | None:
        try:
            return len(await list_groups(self._console.kafka))
        except (TailraceError, TimeoutError):
            return None


_OFFLINE_CURE: Final = "Start the brokers that hold it; `tailrace cluster describe` says which may lead."
_UNDER_CURE: Final = "Look whether the brokers that are missing run, and whether their disks keep up."


def problems(metadata: ClusterMetadata) -> list[dict[str, Any]]:
    """What is wrong with topics: those that cannot be used before those that lack copies."""
    found = []
    for name, topic in sorted(metadata.topics.items()):
        parts = topic.partitions.values()
        offline = sum(each.leader < 0 for each in parts)
        under = sum(len(each.isrs) < len(each.replicas) and each.leader >= 0 for each in parts)
        if offline:
            found.append(_problem("error", name, f"{offline} of {len(parts)} partitions have no leader", _OFFLINE_CURE))
        if under:
            found.append(_problem("warning", name, f"{under} of {len(parts)} partitions lack replicas", _UNDER_CURE))
    found.sort(key=lambda each: each["severity"] != "error")
    return found[: limits.PROBLEMS_MAX]


def _problem(severity: str, topic: str, what: str, cure: str) -> dict[str, Any]:
    return {"severity": severity, "cause": f"{topic}: {what}.", "cure": cure, "link": f"/topics/{topic}"}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

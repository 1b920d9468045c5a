"""Topics: the list of ten thousand, one of them, and creating, growing, emptying and deleting them.

The list needs the cluster's metadata and the sizes, which are kept for a moment; offsets and settings are asked for the
topics of the page alone, unless the list is sorted by records.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions, NewTopic, OffsetSpec, TopicMetadata
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tailrace.base.errors import ErrorCode, TailraceError
from tailrace.console import configs
from tailrace.console.asked import body, choice, confirmed, flag, paged, text_of, texts_of, whole_of
from tailrace.console.context import Console
from tailrace.console.kafka import KafkaCluster
from tailrace.console.limits import ANSWER_TIMEOUT_S, LISTED_PARTITIONS_MAX
from tailrace.console.problems import bad_request
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

_INTERNAL: Final = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"})
_PARTITIONS_MAX: Final = 100_000
_OFFSET_MAX: Final = (1 << 63) - 1


class Topics:
    """The addresses below /api/topics that are about topics, not about their messages."""

    def __init__(self, console: Console) -> None:
        self._kafka: KafkaCluster = console.kafka
        self._sizes = console.sizes

    def routes(self) -> list[Route]:
        """What is served."""
        one = "/api/topics/{topic}"
        return [
            Route("/api/topics", self.page, methods=["GET"]),
            Route("/api/topics", self.create, methods=["POST"]),
            Route(one, self.describe, methods=["GET"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/configs", self.alter, methods=["PATCH"]),
            Route(f"{one}/partitions", self.grow, methods=["POST"]),
            Route(f"{one}/delete-records", self.delete_records, methods=["POST"]),
        ]

    async def page(self, request: Request) -> JSONResponse:
        """A page of the topics."""
        sort = choice(request, "sort", ("name", "partitions", "records", "size", "replication", "under_replicated"))
        wanted = request.query_params.get("q", "").lower()
        shows_internal = flag(request, "internal")
        metadata, sizes = await asyncio.gather(self._kafka.metadata(), self._sizes.all())
        rows = [
            row(found, sizes.topics.get(name))
            for name, found in metadata.topics.items()
            if wanted in name.lower() and (shows_internal or not is_internal(name))
        ]
        if sort == "records":
            if sum(each["partitions"] for each in rows) > LISTED_PARTITIONS_MAX:
                raise bad_request(
                    f"Sorting by records asks at most {LISTED_PARTITIONS_MAX} partitions.", "Search for fewer topics."
                )
            await self._fill_records(rows)
        key = {"size": "size_bytes"}.get(sort, sort)
        is_descending = choice(request, "order", ("asc", "desc")) == "desc"
        rows.sort(key=lambda each: each["name"])
        rows.sort(key=lambda each: -1 if each[key] is None else each[key], reverse=is_descending)
        shown = paged(request, rows)
        if sort != "records":
            await self._fill_records(shown["items"])
        await self._fill_policies(shown["items"])
        return JSONResponse(shown)

    async def describe(self, request: Request) -> JSONResponse:
        """One topic with its partitions and settings."""
        name = request.path_params["topic"]
        found = await self._kafka.topic(name)
        places = [(name, number) for number in sorted(found.partitions)]
        sizes, begins, ends, described, topic_id = await asyncio.gather(
            self._sizes.all(),
            self._kafka.offsets(places, OffsetSpec.earliest()),
            self._kafka.offsets(places, OffsetSpec.latest()),
            configs.describe(self._kafka, configs.Resource.TOPIC, name),
            self._topic_id(name),
        )
        shown = row(found, sizes.topics.get(name))
        shown["records"] = _records(places, begins, ends)
        shown["topic_id"] = topic_id
        shown["cleanup_policy"] = next((each["value"] for each in described if each["name"] == "cleanup.policy"), None)
        shown["partitions"] = [
            {
                "partition": number,
                "leader": each.leader if each.leader >= 0 else None,
                "replicas": list(each.replicas),
                "isr": list(each.isrs),
                "begin_offset": begins.get((name, number)),
                "end_offset": ends.get((name, number)),
                "size_bytes": sizes.partitions.get((name, number)),
                "is_under_replicated": len(each.isrs) < len(each.replicas),
                "is_offline": each.leader < 0,
            }
            for number, each in sorted(found.partitions.items())
        ]
        return JSONResponse({**shown, "configs": described})

    async def create(self, request: Request) -> JSONResponse:
        """Create a topic, or find out whether it could be."""
        asked = await body(request)
        name = text_of(asked, "name")
        partitions = whole_of(asked, "partitions", 1, _PARTITIONS_MAX)
        replication = whole_of(asked, "replication", 1, 1000)
        wanted = NewTopic(
            name,
            num_partitions=partitions or -1,
            replication_factor=replication or -1,
            config=texts_of(asked, "configs"),
        )
        validates = bool(asked.get("validate_only"))
        admin = await self._kafka.admin()
        futures = await self._kafka.call(
            lambda: admin.create_topics([wanted], validate_only=validates, request_timeout=ANSWER_TIMEOUT_S)
        )
        await self._kafka.answer(futures[name], "The topic was not created")
        self._changed()
        if partitions is None and not validates:
            partitions = len((await self._kafka.topic(name)).partitions)
        return JSONResponse({"name": name, "partitions": partitions}, status_code=200 if validates else 201)

    async def delete(self, request: Request) -> JSONResponse:
        """Delete a topic and all it holds."""
        name = request.path_params["topic"]
        confirmed(await body(request), name)
        admin = await self._kafka.admin()
        futures = await self._kafka.call(lambda: admin.delete_topics([name], request_timeout=ANSWER_TIMEOUT_S))
        await self._kafka.answer(futures[name], "The topic was not deleted")
        self._changed()
        return JSONResponse({})

    async def alter(self, request: Request) -> JSONResponse:
        """Change a topic's settings."""
        name = request.path_params["topic"]
        asked = await body(request)
        await self._kafka.topic(name)
        await configs.alter(self._kafka, configs.Resource.TOPIC, name, asked)
        return JSONResponse({"configs": await configs.describe(self._kafka, configs.Resource.TOPIC, name)})

    async def grow(self, request: Request) -> JSONResponse:
        """Give a topic more partitions."""
        name = request.path_params["topic"]
        count = whole_of(await body(request), "count", 1, _PARTITIONS_MAX)
        if count is None:
            raise bad_request("count is missing.")
        admin = await self._kafka.admin()
        futures = await self._kafka.call(
            lambda: admin.create_partitions([NewPartitions(name, count)], request_timeout=ANSWER_TIMEOUT_S)
        )
        await self._kafka.answer(futures[name], "The topic got no more partitions")
        self._changed()
        return JSONResponse({"partitions": count})

    async def delete_records(self, request: Request) -> JSONResponse:
        """Forget the records before an offset, or all that are there."""
        name = request.path_params["topic"]
        asked = await body(request)
        confirmed(asked, name)
        found = await self._kafka.topic(name)
        before = asked.get("before")
        if before == "end":
            ends = await self._kafka.offsets([(name, number) for number in found.partitions], OffsetSpec.latest())
            wanted = {number: offset for (_, number), offset in ends.items()}
        elif isinstance(before, dict) and before:
            wanted = {
                int(number): whole_of(before, number, 0, _OFFSET_MAX) or 0 for number in before if number.isdecimal()
            }
        else:
            raise bad_request('before is "end", or an offset for each partition.')
        places = [TopicPartition(name, number, offset) for number, offset in sorted(wanted.items())]
        admin = await self._kafka.admin()
        futures = await self._kafka.call(lambda: admin.delete_records(places, request_timeout=ANSWER_TIMEOUT_S))
        done = []
        for place, future in futures.items():
            told = await self._kafka.answer(future, f"The records of partition {place.partition} were not deleted")
            done.append({"partition": place.partition, "begin_offset": told.low_watermark})
        self._changed()
        return JSONResponse({"partitions": sorted(done, key=lambda each: int(each["partition"]))})

    def _changed(self) -> None:
        self._kafka.changed()
        self._sizes.changed()

    async def _fill_records(self, rows: list[dict[str, Any]]) -> None:
        topics = (await self._kafka.metadata()).topics
        places = [(each["name"], number) for each in rows if each["name"] in topics
                  for number in topics[each["name"]].partitions]  # fmt: skip
        begins, ends = await asyncio.gather(
            self._kafka.offsets(places, OffsetSpec.earliest()), self._kafka.offsets(places, OffsetSpec.latest())
        )
        by_topic: dict[str, list[tuple[str, int]]] = {}
        for place in places:
            by_topic.setdefault(place[0], []).append(place)
        for each in rows:
            each["records"] = _records(by_topic.get(each["name"], []), begins, ends)

    async def _fill_policies(self, rows: list[dict[str, Any]]) -> None:
        try:
            found = await configs.describe_many(self._kafka, [each["name"] for each in rows], ["cleanup.policy"])
        except TailraceError:
            return
        for each in rows:
            each["cleanup_policy"] = found.get(each["name"], {}).get("cleanup.policy")

    async def _topic_id(self, name: str) -> str | None:
        try:
            request = MetadataRequest([MetadataRequestTopic(name=name)], allow_auto_topic_creation=False)
            answer = await self._kafka.ask(ApiKey.METADATA, request)
        except TailraceError:
            return None
        found = next((each for each in answer.topics if each.error_code == ErrorCode.NONE), None)
        return None if found is None else str(found.topic_id)


def row(found: TopicMetadata, size_bytes: int | None) -> dict[str, Any]:
    """One topic in a list; what has to be asked for is None yet."""
    partitions = list(found.partitions.values())
    name = str(found.topic)
    return {
        "name": name,
        "is_internal": is_internal(name),
        "partitions": len(partitions),
        "replication": max((len(each.replicas) for each in partitions), default=0),
        "under_replicated": sum(len(each.isrs) < len(each.replicas) for each in partitions),
        "offline": sum(each.leader < 0 for each in partitions),
        "size_bytes": size_bytes,
        "records": None,
        "cleanup_policy": None,
    }


def is_internal(name: str) -> bool:
    """Whether a topic is one that the brokers keep for themselves."""
    return name in _INTERNAL


def _records(
    places: list[tuple[str, int]], begins: dict[tuple[str, int], int], ends: dict[tuple[str, int], int]
) -> int | None:
    if any(place not in begins or place not in ends for place in places):
        return None
    return sum(ends[place] - begins[place] for place in places)

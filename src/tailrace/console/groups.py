"""Groups of all types: the list, one of them, resetting its offsets with a preview, and deleting."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tailrace.base.errors import TailraceError
from tailrace.console.asked import body, choice, confirmed, list_of, paged, whole
from tailrace.console.context import Console
from tailrace.console.group_listing import ListedGroup, list_groups
from tailrace.console.group_questions import (
    GROUP_KEY,
    GroupFacts,
    Place,
    Places,
    bounds,
    committed_offsets,
    coordinator_of,
    describe_group,
    describe_share_group,
    lag_of,
    last_rebalance,
    move_offsets,
)
from tailrace.console.group_reset import Move, plan_moves
from tailrace.console.limits import ANSWER_TIMEOUT_S, CONSUMERS_ASKED_MAX, LAG_KEPT_MS
from tailrace.console.problems import Problem, bad_request, not_found, of_code
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)

_RESETTABLE: Final = ("Empty", "Dead")
_HAS_MEMBERS: Final = "The group has members; stop them first."


class Groups:
    """The addresses below /api/groups, and who consumes a topic."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kafka = console.kafka

    def routes(self) -> list[Route]:
        """What is served."""
        one = "/api/groups/{group}"
        return [
            Route("/api/groups", self.page, methods=["GET"]),
            Route(one, self.describe, methods=["GET"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/lag", self.lag, methods=["GET"]),
            Route(f"{one}/reset", self.reset, methods=["POST"]),
            Route(f"{one}/offsets", self.delete_offsets, methods=["DELETE"]),
            Route("/api/topics/{topic}/consumers", self.consumers, methods=["GET"]),
        ]

    async def page(self, request: Request) -> JSONResponse:
        """A page of the groups, with their lags."""
        self._console.lags.wanted()
        sort = choice(request, "sort", ("name", "state", "type"))
        wanted = request.query_params.get("q", "").lower()
        kind, state = request.query_params.get("type", ""), request.query_params.get("state", "")
        found = [
            each
            for each in await list_groups(self._kafka)
            if wanted in each.group.lower()
            and kind.lower() in ("", each.kind)
            and state.lower() in ("", each.state.lower())
        ]
        found.sort(key=lambda each: {"name": each.group, "state": each.state, "type": each.kind}[sort],
                   reverse=choice(request, "order", ("asc", "desc")) == "desc")  # fmt: skip
        shown = paged(request, found)
        facts = await asyncio.gather(*(self._facts(each) for each in shown["items"]))
        places = {place for each in facts if each is not None for place in each.committed}
        _, ends = await bounds(self._kafka, places)
        shown["items"] = [_row(each, own, ends) for each, own in zip(shown["items"], facts, strict=True)]
        return JSONResponse(shown)

    async def describe(self, request: Request) -> JSONResponse:
        """One group."""
        self._console.lags.wanted()
        group = request.path_params["group"]
        listed, facts = await self._one(group)
        owners = {place: member for member in facts.members for place in member.places}
        places = sorted(facts.committed.keys() | owners.keys())
        (begins, ends), rebalance = await asyncio.gather(
            bounds(self._kafka, places), last_rebalance(self._kafka, group)
        )
        offsets = []
        for place in places:
            owner = owners.get(place)
            offset = facts.committed.get(place)
            offsets.append(
                {
                    "topic": place[0],
                    "partition": place[1],
                    "offset": offset,
                    "begin_offset": begins.get(place),
                    "end_offset": ends.get(place),
                    "lag": _lag(facts, place, ends),
                    "metadata": None,
                    "member_id": owner.member_id if owner else None,
                    "client_id": owner.client_id if owner else None,
                }
            )
        lags = [each["lag"] for each in offsets if each["lag"] is not None]
        can_reset = not facts.members and facts.state in _RESETTABLE
        return JSONResponse(
            {
                "group": group,
                "type": listed.kind,
                "state": listed.state or facts.state,
                "protocol_type": listed.protocol_type,
                "assignor": facts.assignor,
                "coordinator": facts.coordinator,
                "members": [_member(each) for each in facts.members],
                "offsets": offsets,
                "lag": sum(lags) if lags else None,
                "last_rebalance": rebalance,
                "can_reset": can_reset,
                "cannot_reset_why": None if can_reset else _HAS_MEMBERS,
            }
        )

    async def lag(self, request: Request) -> JSONResponse:
        """Lag of the last hour."""
        self._console.lags.wanted()
        window_ms = whole(request, "window_ms", LAG_KEPT_MS, 1, LAG_KEPT_MS)
        return JSONResponse(self._console.lags.told(request.path_params["group"], window_ms))

    async def reset(self, request: Request) -> JSONResponse:
        """What a reset would change; or the reset, to exactly what was previewed."""
        group = request.path_params["group"]
        asked = await body(request)
        _, facts = await self._one(group)
        if asked.get("apply"):
            confirmed(asked, group)
            if facts.members or facts.state not in _RESETTABLE:
                raise Problem(409, "NON_EMPTY_GROUP", _HAS_MEMBERS, "Then preview again.")
            targets = _expected(asked.get("expected"))
            await move_offsets(self._kafka, group, facts.kind, targets)
            begins, ends = await bounds(self._kafka, targets)
            moves = [Move(place, facts.committed.get(place), to) for place, to in sorted(targets.items())]
        else:
            moves, begins, ends = await plan_moves(self._kafka, facts.committed, asked)
        changes = [
            {
                "topic": each.place[0],
                "partition": each.place[1],
                "from": each.before,
                "to": each.to,
                "begin_offset": begins.get(each.place),
                "end_offset": ends.get(each.place),
                "lag_after": None if each.place not in ends else max(0, ends[each.place] - each.to),
            }
            for each in moves
        ]
        return JSONResponse({"applied": bool(asked.get("apply")), "changes": changes})

    async def delete(self, request: Request) -> JSONResponse:
        """Delete a group that has no members."""
        group = request.path_params["group"]
        confirmed(await body(request), group)
        admin = await self._kafka.admin()
        futures = await self._kafka.call(
            lambda: admin.delete_consumer_groups([group], request_timeout=ANSWER_TIMEOUT_S)
        )
        await self._kafka.answer(futures[group], "The group was not deleted")
        return JSONResponse({})

    async def delete_offsets(self, request: Request) -> JSONResponse:
        """Forget a group's offsets of some topics."""
        group = request.path_params["group"]
        asked = await body(request)
        confirmed(asked, group)
        topics = list_of(asked, "topics")
        committed = await committed_offsets(self._kafka, group)
        wanted = [
            OffsetDeleteRequestTopic(topic, [OffsetDeleteRequestPartition(number) for name, number in sorted(committed)
                                             if name == topic])
            for topic in topics
        ]  # fmt: skip
        if not any(each.partitions for each in wanted):
            raise not_found("The group has committed nothing there.")
        _, address = await coordinator_of(self._kafka, group, GROUP_KEY)
        answer = await self._kafka.ask(ApiKey.OFFSET_DELETE, OffsetDeleteRequest(group, wanted), address)
        codes = [answer.error_code, *(each.error_code for topic in answer.topics for each in topic.partitions)]
        refused = next((code for code in codes if code), None)
        if refused is not None:
            raise of_code(refused, "The offsets were not deleted")
        return JSONResponse({})

    async def consumers(self, request: Request) -> JSONResponse:
        """The groups that have offsets of a topic, or members that have its partitions."""
        topic = request.path_params["topic"]
        await self._kafka.topic(topic)
        listed = await list_groups(self._kafka)
        asked = listed[:CONSUMERS_ASKED_MAX]
        facts = await asyncio.gather(*(self._facts(each) for each in asked))
        found = [
            (each, own, sorted(place for place in _places(own) if place[0] == topic))
            for each, own in zip(asked, facts, strict=True)
            if own is not None
        ]
        _, ends = await bounds(self._kafka, {place for _, _, places in found for place in places})
        items = [
            {
                "group": each.group,
                "type": each.kind,
                "state": each.state,
                "members": len(own.members),
                "lag": lag_of(places, own.committed, ends),
            }
            for each, own, places in found
            if places
        ]
        return JSONResponse({"items": items, "asked": len(asked), "total": len(listed)})

    async def _one(self, group: str) -> tuple[ListedGroup, GroupFacts]:
        listed = next((each for each in await list_groups(self._kafka) if each.group == group), None)
        if listed is None:
            raise Problem(
                404, "GROUP_ID_NOT_FOUND", f'There is no group "{group}".', "The list of groups shows those there are."
            )
        if listed.kind == "share":
            return listed, await describe_share_group(self._kafka, group)
        return listed, await describe_group(self._kafka, group)

    async def _facts(self, listed: ListedGroup) -> GroupFacts | None:
        """Facts for a list: None where they cannot be had."""
        try:
            if listed.kind == "share":
                return await describe_share_group(self._kafka, listed.group)
            return await describe_group(self._kafka, listed.group)
        except TailraceError:
            return None


def _row(listed: ListedGroup, facts: GroupFacts | None, ends: Places) -> dict[str, Any]:
    lag = None
    if facts is not None:
        lag = sum(facts.lags.values()) if facts.lags else lag_of(list(facts.committed), facts.committed, ends)
    return {
        "group": listed.group,
        "type": listed.kind,
        "state": listed.state,
        "protocol": listed.protocol_type,
        "members": None if facts is None else len(facts.members),
        "lag": lag,
        "topics": None if facts is None else len({topic for topic, _ in _places(facts)}),
        "coordinator": listed.coordinator,
    }


def _places(facts: GroupFacts) -> set[Place]:
    return set(facts.committed) | {place for member in facts.members for place in member.places}


def _lag(facts: GroupFacts, place: Place, ends: Places) -> int | None:
    if facts.lags is not None:
        return facts.lags.get(place)
    return lag_of([place], facts.committed, ends)


def _member(member: Any) -> dict[str, Any]:
    assignment: dict[str, list[int]] = {}
    for topic, number in sorted(member.places):
        assignment.setdefault(topic, []).append(number)
    return {
        "member_id": member.member_id,
        "instance_id": member.instance_id,
        "client_id": member.client_id,
        "host": member.host,
        "assignment": [{"topic": topic, "partitions": numbers} for topic, numbers in assignment.items()],
    }


def _expected(given: object) -> Places:
    """The targets that were previewed."""
    try:
        assert isinstance(given, dict)
        found = {(str(topic), int(number)): int(offset) for topic, offsets in given.items()
                 for number, offset in offsets.items()}  # fmt: skip
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise bad_request('expected is {"topic": {"partition": offset}}.', "Preview first.") from error
    if not found or any(offset < 0 for offset in found.values()):
        raise bad_request("expected names no offset.", "Preview first.")
    return found

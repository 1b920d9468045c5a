"""Profiles of Tailrace's brokers, fetched from their /debug/pprof and folded into a tree for a flame graph."""

from __future__ import annotations

import heapq
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tailrace.console.asked import whole, whole_or_none
from tailrace.console.context import Console
from tailrace.console.figures import broker_of
from tailrace.console.limits import FIGURES_MAX_BYTES, FIGURES_WAIT_S, FLAME_NODES_MAX, PROFILE_SECONDS_MAX
from tailrace.console.live import read_metrics
from tailrace.console.problems import Problem, not_found
from tailrace.observe.pprof import ProfileFormatError, decode
from tailrace.observe.profile import Frame, Profile

_SECONDS: Final = 5
_PAGES: Final = {"cpu": "profile", "heap": "heap", "allocs": "allocs"}
_SMALLER: Final = "(smaller)"
_CURES: Final = {
    409: "Wait until the profile that is being taken has ended.",
    404: "The broker may be older.",
}


class Profiles:
    """The addresses below /api/profiles."""

    def __init__(self, console: Console) -> None:
        self._kafka = console.kafka

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/api/profiles/tasks", self.tasks, methods=["GET"]),
            Route("/api/profiles/heap/stop", self.stop_heap, methods=["POST"]),
            Route("/api/profiles/{kind}", self.profile, methods=["GET"]),
        ]

    async def profile(self, request: Request) -> JSONResponse:
        """A profile as a tree."""
        kind = request.path_params["kind"]
        if kind not in _PAGES:
            raise not_found(f"There is no profile {kind}; there are {', '.join(_PAGES)} and tasks.")
        seconds = whole(request, "seconds", _SECONDS, 1, PROFILE_SECONDS_MAX)
        base = await self._base(request)
        query = "" if kind == "heap" else f"?seconds={seconds}"
        body = await self._kafka.read(_get, f"{base}/debug/pprof/{_PAGES[kind]}{query}", seconds + FIGURES_WAIT_S * 2)
        try:
            return JSONResponse(await self._kafka.call(told, kind, decode(body)))
        except ProfileFormatError as error:
            raise Problem(502, "FAILED", f"{base} does not answer with a profile: {error}.") from error

    async def tasks(self, request: Request) -> JSONResponse:
        """What each thread and task waits for."""
        body = await self._kafka.call(_get, f"{await self._base(request)}/debug/pprof/tasks", FIGURES_WAIT_S)
        return JSONResponse({"text": body.decode("utf-8", "replace")})

    async def stop_heap(self, request: Request) -> JSONResponse:
        """End the trace that a look at the heap began, and its cost."""
        await self._kafka.call(_get, f"{await self._base(request)}/debug/pprof/heap?stop=1", FIGURES_WAIT_S)
        return JSONResponse({})

    async def _base(self, request: Request) -> str:
        """The HTTP listener of the broker that is asked for; the first one's when none is."""
        known = self._kafka.options.metrics
        if not known:
            raise Problem(
                501,
                "NOT_SUPPORTED",
                "This console knows no HTTP listener of a Tailrace.",
                "Start it with --metrics http://HOST:9080.",
            )
        broker = whole_or_none(request, "broker")
        if broker is None or len(known) == 1:
            return known[0]
        for each in known:
            try:
                if broker_of(await self._kafka.call(read_metrics, each)) == broker:
                    return each
            except OSError:
                continue
        raise not_found(f"None of the HTTP listeners given is broker {broker}'s.")


def _get(address: str, timeout_s: float) -> bytes:
    """A page of a broker. Blocks. Raises Problem."""
    try:
        with urlopen(address, timeout=timeout_s) as answer:
            body: bytes = answer.read(FIGURES_MAX_BYTES)
            return body
    except HTTPError as error:
        words = error.read(1000).decode("utf-8", "replace").strip()
        raise Problem(error.code, "REFUSED", words[:1].upper() + words[1:] + ".", _CURES.get(error.code)) from error
    except (OSError, HTTPException) as error:
        raise Problem(503, "UNREACHABLE", f"{address} does not answer: {error}.", "Is the broker running?") from error


def told(kind: str, profile: Profile) -> dict[str, Any]:
    """A profile as the API tells it: the values of its last type, which are bytes or nanoseconds."""
    column = next((index for index, each in enumerate(profile.sample_types) if each.type == profile.default_type),
                  len(profile.sample_types) - 1)  # fmt: skip
    root = Node("all")
    for sample in profile.samples:
        value = sample.values[column]
        if value > 0:
            root.add([*reversed(sample.stack)], value)
    unit = profile.sample_types[column].unit if profile.sample_types else ""
    return {
        "kind": kind,
        "unit": "ns" if unit.startswith("nano") else unit,
        "total": root.value,
        "duration_ms": profile.duration_ns // 1_000_000,
        "samples": len(profile.samples),
        "note": " ".join(profile.comments) or None,
        "root": root.as_json(smallest_shown(root)),
    }


class Node:
    """A function called from where its parent stands."""

    __slots__ = ("children", "file", "line", "name", "own", "value")

    def __init__(self, name: str, file: str = "", line: int = 0) -> None:
        self.name = name
        self.file = file
        self.line = line
        self.value = 0
        self.own = 0
        self.children: dict[tuple[str, str], Node] = {}

    def add(self, stack: list[Frame], value: int) -> None:
        """Count `value` for a stack whose root comes first."""
        node = self
        node.value += value
        for frame in stack:
            key = frame.name, frame.file
            child = node.children.get(key)
            if child is None:
                child = node.children[key] = Node(frame.name, frame.file, frame.first_line or frame.line)
            child.value += value
            node = child
        node.own += value

    def as_json(self, smallest: int) -> dict[str, Any]:
        """The tree, with what is smaller than `smallest` joined."""
        shown = [each for each in self.children.values() if each.value >= smallest]
        shown.sort(key=lambda each: -each.value)
        children = [each.as_json(smallest) for each in shown]
        hidden = sum(each.value for each in self.children.values()) - sum(each.value for each in shown)
        if hidden:
            children.append(_json(_SMALLER, hidden, []) | {"self": hidden})
        return _json(self.name, self.value, children) | {
            "self": self.own,
            "file": self.file or None,
            "line": self.line or None,
        }


def smallest_shown(root: Node) -> int:
    """The value below which nodes are joined, so that about FLAME_NODES_MAX are left."""
    values: list[int] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        values.append(node.value)
        waiting += node.children.values()
    largest = heapq.nlargest(FLAME_NODES_MAX // 2, values)  # each may have one beside it for what is smaller
    return largest[-1] if len(values) > FLAME_NODES_MAX // 2 else 1


def _json(name: str, value: int, children: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "value": value, "self": 0, "file": None, "line": None, "children": children}

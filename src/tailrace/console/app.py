"""The console as an ASGI application: the API's addresses, the pages, the guard before them.

A failure anywhere becomes {"error", "cause", "cure"}; one that is our own fault is logged and told as such.
Not its business: listening; see `serving` and `beside`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from confluent_kafka import KafkaException
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tailrace.base.clock import Clock
from tailrace.base.errors import TailraceError
from tailrace.base.rand import Random
from tailrace.console.brokers import Brokers
from tailrace.console.context import Console
from tailrace.console.decoding import Decoder
from tailrace.console.groups import Groups
from tailrace.console.guard import Guard
from tailrace.console.kafka import KafkaCluster
from tailrace.console.lag_history import LagHistory
from tailrace.console.live import Live
from tailrace.console.messages import Messages
from tailrace.console.options import ConsoleOptions
from tailrace.console.overview import Overview
from tailrace.console.pages import page_routes
from tailrace.console.problems import Problem, not_found, of_exception
from tailrace.console.producing import Producing
from tailrace.console.profiles import Profiles
from tailrace.console.schemas import Schemas
from tailrace.console.sizes import Sizes
from tailrace.console.topics import Topics
from tailrace.console.transactions import Transactions

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_log = logging.getLogger("tailrace.console")


class _Part(Protocol):
    def routes(self) -> list[Route]: ...


def console_app(options: ConsoleOptions, clock: Clock, random: Random, others: Sequence[BaseRoute] = ()) -> Starlette:
    """The application. To be made inside the loop that serves it. `others`: addresses that come before the pages'."""
    kafka = KafkaCluster(options, clock)
    schemas = None if options.schema_registry is None else Schemas(options.schema_registry, clock)
    console = Console(
        options, clock, kafka, Sizes(kafka, clock), Decoder(schemas), LagHistory(kafka, clock), random.uuid().hex
    )
    parts: list[_Part] = [
        Overview(console), Live(console), Topics(console), Messages(console), Producing(console), Groups(console),
        Transactions(console), Brokers(console), Profiles(console),
    ]  # fmt: skip
    routes: list[BaseRoute] = [route for part in parts for route in part.routes()]
    routes += [Route("/api/{path:path}", _nothing, methods=_METHODS), *others, *page_routes()]

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        yield
        console.lags.close()
        await kafka.close()

    async def on_failure(request: Request, error: Exception) -> Response:
        problem = of_exception(error, options.bootstrap)
        if problem is None:
            _log.critical("%s %s failed", request.method, request.url.path, exc_info=error)
            problem = Problem(500, "FAILED", "This is a bug of the console.", "Its log says more; please report it.")
        return JSONResponse(problem.as_json(), problem.status)

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, options=options, token=console.token)],
        exception_handlers={HTTPException: _on_http, **dict.fromkeys(_FORESEEN, on_failure), Exception: on_failure},
        lifespan=living,
    )


_FORESEEN = (TailraceError, KafkaException, TimeoutError)


async def _nothing(request: Request) -> Response:
    raise not_found("There is no such address.", "docs/formats/console-api.md lists those there are.")


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    name = "NOT_FOUND" if error.status_code == 404 else "BAD_REQUEST"
    problem = Problem(error.status_code, name, f"{request.method} {request.url.path}: {error.detail}.")
    return JSONResponse(problem.as_json(), problem.status, error.headers)

"""The console on the broker's HTTP listener: who asks for what has no page here is given to a thread beside the broker.

    http.console   auto       on when http.listen is loopback, read-only otherwise
                   on, read-only, off

Nothing of it is imported before somebody asks, and then in its own thread. A connection that was given away may later
ask for /metrics and the like: those are asked of the broker's loop, and answered over there.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from tailrace.base.pending import Pending
from tailrace.http.message import HttpAnswer, HttpRequest
from tailrace.http.routes import Routes
from tailrace.net.address import Address
from tailrace.net.loopback import is_loopback
from tailrace.node.observed import Observed

if TYPE_CHECKING:
    from tailrace.console.beside import Beside

PACKAGES: Final = ("starlette", "uvicorn")
NOTE: Final = "/ is the console where its packages are installed: pip install 'tailrace[console]'"
NATIVE_PATHS: Final = ("/metrics", "/healthz", "/readyz", "/debug", "/debug/{path:path}")


def add_console(routes: Routes, observed: Observed, listened: Address) -> Beside | None:
    """Have the console take what is asked for at `listened` and has no page; None when it is off or not installed."""
    mode = observed.services.settings.text("http.console")
    if mode == "off" or observed.kafka.path is not None:
        return None
    if any(find_spec(each) is None for each in PACKAGES):
        routes.note = NOTE
        return None
    # memory: the console's options come with it, and most brokers are only scraped
    from tailrace.console.beside import Beside
    from tailrace.console.options import ConsoleOptions

    options = ConsoleOptions(
        str(_dialled(observed.kafka)),
        listen=str(listened),
        is_read_only=mode == "read-only" or (mode == "auto" and not is_loopback(listened.host)),
        metrics=(f"http://{_dialled(listened)}",),
        is_inside_broker=True,
    )
    beside = Beside(options, lambda: _native_routes(routes, observed), _serve)
    routes.take_over = beside.take
    return beside


def _serve(beside: Beside) -> None:
    # in its thread: importing takes some hundred ms, and the broker's loop must not wait for it
    from tailrace.console.beside_serving import serve_beside

    serve_beside(beside)


def _dialled(address: Address) -> Address:
    """Where this process finds itself: a wildcard is no address to connect to."""
    if address.host in ("", "0.0.0.0"):
        return Address("127.0.0.1", address.port)
    return Address("::1", address.port) if address.host == "::" else address


def _native_routes(routes: Routes, observed: Observed) -> list[Any]:
    """The broker's own pages, for connections that were given away. Called in the console's thread."""
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def native(request: Request) -> Response:
        asked = HttpRequest(request.method, request.url.path, dict(request.query_params), dict(request.headers))
        told = await asyncio.wrap_future(_asked(routes, observed, asked))
        return Response(told.body, told.status, dict(told.headers), told.content_type)

    return [Route(path, native, methods=["GET"]) for path in NATIVE_PATHS]


def _asked(routes: Routes, observed: Observed, request: HttpRequest) -> Any:
    """A concurrent future of the answer that the broker's loop gives."""
    from concurrent.futures import Future  # with the console alone

    future: Future[HttpAnswer] = Future()

    def deliver(answer: HttpAnswer) -> None:
        if not future.cancelled():
            future.set_result(answer)

    def ask() -> None:
        answer = routes.answer(request)
        if isinstance(answer, Pending):
            answer.on_complete(deliver)
        else:
            deliver(answer)

    observed.engine.call_soon_threadsafe(ask)
    return future

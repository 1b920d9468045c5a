"""The socket of the HTTP listener: bound at start, and all behind it imported when the first client comes.

http.listen given, and taken or not to be had    the broker does not start; one sentence with the cure
the default address is taken                     the broker starts without, and says so: a second one on a machine
empty                                            no listener
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from tailrace.base.errors import ConfigError, TailraceError
from tailrace.cluster.settings import BrokerSettings
from tailrace.http.limits import HTTP_CONNECTIONS_MAX, HTTP_RECEIVE_MAX_BYTES
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.handler import ConnectionOptions, ListenOptions, StreamHandler
from tailrace.net.loop import Engine
from tailrace.node.observed import Observed

if TYPE_CHECKING:
    from tailrace.console.beside import Beside
    from tailrace.http.routes import Routes

_OPTIONS: Final = ListenOptions(
    max_connections=HTTP_CONNECTIONS_MAX, connection=ConnectionOptions(receive_max_bytes=HTTP_RECEIVE_MAX_BYTES)
)
_CURE: Final = "choose another address with --set http.listen=HOST:PORT, or none with --set http.listen="

_log = logging.getLogger("tailrace.http")


class HttpListening:
    """The listener. `address` is where it is, with its port; set by `listen_for_http`."""

    address: Address

    def __init__(self, engine: Engine, observed: Observed, host: str) -> None:
        """`host` is what http.listen names."""
        self._engine = engine
        self._observed = observed
        self._host = host
        self._routes: Routes | None = None
        self._console: Beside | None = None

    def accept(self, connection: Connection) -> StreamHandler:
        """Serve a connection."""
        # start-up time: most starts are over before anybody looks
        from tailrace.http.connection import HttpConnection
        from tailrace.node.console_page import add_console
        from tailrace.node.pages import routes_of

        if self._routes is None:
            self._routes = routes_of(self._observed, self._host)
            self._console = add_console(self._routes, self._observed, self.address)
        return HttpConnection(connection, self._routes, self._engine.timers)

    def end(self) -> None:
        """End the console, if anybody opened it. Blocks: some hundred ms, a few seconds at most."""
        if self._console is not None:
            self._console.stop()


def listen_for_http(engine: Engine, settings: BrokerSettings, observed: Observed) -> HttpListening | None:
    """Listen at `http.listen`; None without a listener. Raises TailraceError."""
    text = settings.text("http.listen")
    if not text:
        return None
    try:
        address = Address.parse(text)
    except ValueError as error:
        raise ConfigError("http.listen", f"http.listen {text!r} is not an address: {error}") from error
    listening = HttpListening(engine, observed, address.host)
    try:
        listening.address = engine.listen(address, listening.accept, _OPTIONS).address
    except OSError as error:
        why = "is taken by another process" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        if settings.is_given("http.listen"):
            raise TailraceError(f"http.listen {text} {why}; {_CURE}.") from error
        _log.warning("no metrics are served: %s, the default of http.listen, %s; %s", text, why, _CURE)
        return None
    return listening

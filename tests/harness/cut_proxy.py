"""A TCP proxy on loopback that can be cut: connections end at once, or nothing passes and they stay."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


class CutProxy:
    """Passes bytes between a port of its own and `target_port`, both ways."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._refuses = False
        self._passing = threading.Event()
        self._passing.set()
        self.delay_s = 0.0
        """How long each piece of bytes is held back."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection, and each new one at once."""
        self._refuses = True
        self._end_all()

    def hold(self) -> None:
        """Pass nothing, and end nothing: a peer that is gone without a word."""
        self._passing.clear()

    def mend(self) -> None:
        """Pass again."""
        self._refuses = False
        self._passing.set()

    def close(self) -> None:
        """End it."""
        self.cut()
        self._passing.set()
        self._listener.close()

    def _end_all(self) -> None:
        open_sockets, self._open = self._open, []
        for each in open_sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._refuses:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(self._target, timeout=2)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                if self.delay_s:
                    time.sleep(self.delay_s)
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

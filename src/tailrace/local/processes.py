"""A process of a local cluster: started, killed, stopped, paused; what it writes goes to a file.

Invariants: it ends with the process that started it (`child`); it is reaped; every wait is bounded.
A process has a session of its own, so that Ctrl-C in the terminal reaches its parent alone, which ends it in order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Final, TypeVar

from tailrace.base.clock import SystemClock
from tailrace.base.errors import TailraceError

START_TIMEOUT_MS: Final = 60_000
"""Longest wait for a broker to be ready: recovery after a kill, on a busy machine."""
STOP_TIMEOUT_S: Final = 30.0
"""Longest wait for a clean stop (`base.limits.STOP_LIMIT_MS`). Then it is killed."""
LOOK_S: Final = 0.01
TAIL_BYTES: Final = 2000

Result = TypeVar("Result")
InThread = Callable[[Callable[[], "subprocess.Popen[bytes]"]], "subprocess.Popen[bytes]"]
"""Runs a function in a thread that lives as long as its processes may, and gives its result."""


class StartFailed(TailraceError):
    """A process did not become ready; the words are its last."""


class Process:
    """One process, over its lives. `ready`: what it writes when it is ready."""

    def __init__(self, name: str, arguments: Sequence[str], log_path: Path, ready: bytes) -> None:
        """`arguments` are those of `tailrace.local.child`."""
        self.name = name
        self.log_path = log_path
        self.is_paused = False
        self._arguments = arguments
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begin = 0

    @property
    def is_running(self) -> bool:
        """Whether it was started, and has not ended, by itself or otherwise."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its number while it runs."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def exit_status(self) -> int | None:
        """How it ended by itself; negative: of that signal. None while it runs, and after `kill` and `stop`."""
        return None if self._process is None else self._process.poll()

    def begin(self, order: bytes, in_thread: InThread) -> None:
        """Start the process; `wait_ready` tells when it serves. Does nothing when it runs."""
        if self.is_running:
            return
        self._end()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)

        def spawn() -> subprocess.Popen[bytes]:
            with self.log_path.open("ab") as log:
                self._log_begin = log.tell()
                return subprocess.Popen(
                    [sys.executable, "-P", "-m", "tailrace.local.child", *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=child_environment(),
                    start_new_session=True,
                )

        self._process = in_thread(spawn)
        self.is_paused = False
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(order)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: `wait_ready` says so

    def wait_ready(self) -> None:
        """Return when it serves. Raises StartFailed, and then it does not run."""
        clock = SystemClock()
        until_ms = clock.monotonic_ms() + START_TIMEOUT_MS
        while self._ready not in self._written():
            if not self.is_running or clock.monotonic_ms() > until_ms:
                self.kill()
                raise StartFailed(f"{self.name} did not start: {self.tail() or 'it wrote nothing'}")
            Event().wait(LOOK_S)

    def kill(self) -> None:
        """SIGKILL, and wait for the end. Does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def stop(self) -> None:
        """SIGTERM, and wait for the end; one that is paused is resumed for it.

        Raises TimeoutError when it had to be killed in the end.
        """
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{self.name} did not stop within {STOP_TIMEOUT_S:g} s and was killed") from None
        finally:
            self._end()

    def ask_to_stop(self) -> None:
        """SIGTERM, without a wait."""
        if self.is_running:
            self.resume()
            self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: it holds everything and does nothing."""
        self._signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """End `pause`."""
        self._signal(signal.SIGCONT)
        self.is_paused = False

    def tail(self) -> str:
        """The last of what this life wrote."""
        return self._written()[-TAIL_BYTES:].decode(errors="replace").strip()

    def _signal(self, number: int) -> None:
        if self._process is None or not self.is_running:
            raise RuntimeError(f"{self.name} does not run")
        self._process.send_signal(number)

    def _written(self) -> bytes:
        with self.log_path.open("rb") as log:
            log.seek(self._log_begin)
            return log.read()

    def _end(self) -> None:
        process, self._process = self._process, None
        self.is_paused = False
        if process is not None:
            process.wait(STOP_TIMEOUT_S)
            if process.stdin is not None:
                process.stdin.close()


def child_environment() -> dict[str, str]:
    """That of this process, with this tailrace first on the path: what a child is started with."""
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

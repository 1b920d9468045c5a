"""`tailrace serve`: settings in, one broker until a signal, an exit status out.

The ready line is printed when, and only when, the broker answers requests. SIGTERM and SIGINT stop it cleanly; what
cannot be stopped within `Server.stop_max_ms` is left to the next start's recovery. Everything that can be wrong at
start is one sentence on stderr and exit status 1.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tailrace.base.clock import SystemClock
from tailrace.base.descriptors import raise_descriptor_limit
from tailrace.base.disk import RealDisk
from tailrace.base.errors import StorageError, TailraceError
from tailrace.net.loop import new_event_loop, running_engine
from tailrace.net.network import Network
from tailrace.node.server import Server, ServerConfig
from tailrace.node.settings import load_settings
from tailrace.node.start_errors import start_error_words
from tailrace.node.watching import Watching
from tailrace.observe.log_lines import lines_of, redacted


class ServeOptions(NamedTuple):
    """What the command line says. `settings` are NAME=VALUE pairs, which win over the file; `listen` over both.

    `network`: where connections come from, the kernel when None. `worker` is the number of one of several workers of a
    host, which all listen on `shared_listen` besides; its log lines bear it. 0 and None: it is the only one.
    """

    listen: str | None = None
    data_dir: Path = Path("./tailrace-data")
    config_file: Path | None = None
    settings: dict[str, str] | None = None
    network: Network | None = None
    shared_listen: str | None = None
    worker: int = 0


def serve(options: ServeOptions) -> int:
    """Run a broker until SIGTERM or SIGINT; returns the exit status, 0 for a clean stop."""
    started_ms = process_start_ms()
    logging.basicConfig(level=logging.WARNING)
    write_lines("text", options.worker)
    logging.getLogger("tailrace.groups").setLevel(logging.INFO)  # a line for each rebalance: why it happened
    logging.getLogger("tailrace.cluster").setLevel(logging.INFO)  # a line for each change of who may lead
    logging.getLogger("tailrace.cleaner").setLevel(logging.INFO)  # a line for each compaction, to see it works
    raise_descriptor_limit()
    loop = new_event_loop(network=options.network)
    try:
        return exit_status(lambda: loop.run_until_complete(_serve(options, started_ms)))
    finally:
        loop.close()


def exit_status(run: Callable[[], int]) -> int:
    """What `run` returns; 1, and why in a sentence on stderr, where it raises what a user can do something about."""
    try:
        return run()
    except (StorageError, OSError) as error:
        print(f"tailrace: {redacted(start_error_words(error))}", file=sys.stderr)
    except TailraceError as error:
        print(f"tailrace: {redacted(str(error))}", file=sys.stderr)
    return 1


async def _serve(options: ServeOptions, started_ms: float) -> int:
    settings = load_settings(options.config_file, options.settings or {})
    write_lines(settings.get("log.format", "text"), options.worker)
    server = Server(ServerConfig(options.listen, options.data_dir, settings, options.shared_listen))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    address = await server.start()
    gc.freeze()  # What a start made stays. With 10,000 logs recovered, going through it stalls the loop for 200 ms.
    took_ms = SystemClock().wall_ms() - started_ms
    data = options.data_dir.resolve()
    http = f" http={server.http_address}" if server.http_address is not None else ""
    print(f"tailrace ready kafka={address} data={data}{http} in {took_ms:.0f} ms", flush=True)
    watching = Watching(running_engine(), server.services.settings, server.services.clock, RealDisk())
    watching.start()
    await stopped.wait()
    watching.stop()
    try:
        await asyncio.wait_for(server.stop(), server.stop_max_ms / 1000)
    except TimeoutError:
        print("tailrace: the disk did not finish in time; the next start will recover", file=sys.stderr, flush=True)
        os._exit(0)  # a thread still waits for the disk, and an ordinary exit would wait for the thread
    return 0


def write_lines(name: str, worker: int = 0) -> None:
    """Have the log written in one of `log_lines.FORMATS`."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(lines_of(name, worker))


def process_start_ms() -> float:
    """When this process began, so that the ready line counts the interpreter's own start; now where /proc is absent."""
    now_ms = SystemClock().wall_ms()
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return now_ms
    ticks = int(fields[19])  # field 22, starttime, in clock ticks since boot
    return now_ms - (uptime_s - ticks / os.sysconf("SC_CLK_TCK")) * 1000

"""`tailrace cluster start`: a whole cluster in the foreground: started, shown, watched, and stopped in order.

Order of the end: brokers from the highest number down, each handing over what it leads to those that remain; then the
metadata. A second Ctrl-C kills what is left: what was acknowledged is recovered by the next start.
A broker that ends by itself is told of, with how; nothing is started again by itself.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Final, NamedTuple

import click

from tailrace.base.clock import SystemClock
from tailrace.base.errors import TailraceError
from tailrace.cli.failure import CommandFailed, ExitCode
from tailrace.cli.output import note, plural, print_table
from tailrace.cluster.settings import check_static
from tailrace.local.cluster import METADATA_FILE, LocalCluster, LocalOptions
from tailrace.local.etcd_process import ETCD_DIRECTORY, etcd_program

LOOK_S: Final = 0.2
"""How often it is looked whether every process is there."""


class StartOptions(NamedTuple):
    """What the command line says."""

    brokers: int
    data_dir: Path
    host: str
    port: int
    store: str | None
    settings: dict[str, str]


class _Again(Exception):
    """A second signal: stop now."""


def run_cluster(options: StartOptions) -> ExitCode:
    """Run it until a signal. Raises CommandFailed, one sentence, when it does not start or all of it ended."""
    began_ms = SystemClock().wall_ms()
    store, why = _choose_store(options)
    try:
        settings = {name: check_static(name, value) for name, value in options.settings.items()}
        local = LocalCluster(
            LocalOptions(options.brokers, options.data_dir.resolve(), settings, store, options.host, options.port)
        )
    except TailraceError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    with _signals() as signalled:
        click.echo(f"{plural(options.brokers, 'broker')}, metadata in {why}")
        try:
            local.open()
        except TailraceError as error:
            raise CommandFailed(f"the cluster did not start: {error}") from error
        _show(local, SystemClock().wall_ms() - began_ms)
        try:
            return _watch(local, signalled)
        finally:
            _stop(local)


def _choose_store(options: StartOptions) -> tuple[str, str]:
    """The store, and words for it: what is asked for, else what the directory holds, else etcd where there is one."""
    held = _held_store(options.data_dir)
    if options.store is not None and held not in (None, options.store):
        raise CommandFailed(f"the cluster in {options.data_dir} has its metadata in {held}, not in {options.store}.")
    program = etcd_program()
    store = options.store or held or ("etcd" if program else "sqlite")
    if store == "sqlite":
        missing = "" if options.store or held else ", for etcd is not installed"
        return store, f"SQLite ({options.data_dir / METADATA_FILE}){missing}"
    if program is None:
        why = f"the metadata in {options.data_dir} is etcd's" if held else "--store sqlite needs none"
        raise CommandFailed(f"no program `etcd` is on the path; {why}.")
    return store, f"etcd ({program})"


def _held_store(data_dir: Path) -> str | None:
    """Where the metadata of the cluster in a directory is; None: there is no cluster in it."""
    if (data_dir / METADATA_FILE).exists():
        return "sqlite"
    return "etcd" if (data_dir / ETCD_DIRECTORY).exists() else None


@contextmanager
def _signals() -> Iterator[Event]:
    """An event that the first SIGINT or SIGTERM sets; the second raises `_Again`. Main thread only."""
    signalled = Event()

    def on_signal(number: int, frame: object) -> None:
        if signalled.is_set():
            raise _Again
        signalled.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signalled
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _show(local: LocalCluster, took_ms: float) -> None:
    host = local.options.host
    name = f"[{host}]" if ":" in host else host
    addresses = {node_id: f"{name}:{port}" for node_id, port in local.ports.items()}
    rows: list[list[object]] = [
        [node_id, address, local.broker(node_id).pid, local.data_dir(node_id)] for node_id, address in addresses.items()
    ]
    print_table(["broker", "address", "pid", "data"], rows)
    click.echo(f"tailrace cluster ready bootstrap={','.join(addresses.values())} in {took_ms:.0f} ms")


def _watch(local: LocalCluster, signalled: Event) -> ExitCode:
    told: set[int] = set()
    while not signalled.wait(LOOK_S):
        for node_id in local.node_ids:
            broker = local.broker(node_id)
            if node_id not in told and not broker.is_running:
                told.add(node_id)
                how = _words(broker.exit_status)
                note(f"broker {node_id} ended ({how}) and is not started again: {broker.log_path}")
        if local.etcd is not None and not local.etcd.is_running:
            raise CommandFailed(f"etcd ended ({_words(local.etcd.exit_status)}): {local.etcd.log_path}")
        if len(told) == len(local.node_ids):
            raise CommandFailed("every broker has ended.")
    return ExitCode.DONE


def _words(exit_status: int | None) -> str:
    if exit_status is None:
        return "how is not known"
    return signal.Signals(-exit_status).name if exit_status < 0 else f"exit status {exit_status}"


def _stop(local: LocalCluster) -> None:
    try:
        local.close(is_clean=True)
    except _Again:
        local.close(is_clean=False)
    except TimeoutError as error:
        note(f"tailrace: {error}; the next start will recover")
    click.echo("stopped")

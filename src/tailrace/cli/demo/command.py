"""The command: start a broker, start the traffic, show it until told to stop, sum up."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import click

import tailrace
from tailrace.base.clock import Clock, SystemClock
from tailrace.base.errors import TailraceError
from tailrace.base.rand import SystemRandom
from tailrace.cli.demo.figures import MemberFigures, Snapshot, snapshot
from tailrace.cli.demo.shop import TOPICS
from tailrace.cli.demo.traffic import Traffic
from tailrace.cli.failure import CommandFailed, unwind_on_sigterm
from tailrace.cli.output import note, print_json

DRAW_INTERVAL_S: Final = 0.25
LINE_INTERVAL_S: Final = 1.0
DRAIN_S: Final = 5.0
"""Longest wait at the end for the group to read what has been sent."""


class View(Protocol):
    """Shows the figures while the demo runs."""

    interval_s: float

    def show(self, members: list[MemberFigures], now: Snapshot, before: Snapshot | None) -> None: ...


@click.command
@click.option("--seconds", type=click.FloatRange(min=0.5), help="Stop after so long; without it, at Ctrl-C.")
@click.option("--rate", default=300, show_default=True, type=click.IntRange(1, 20_000), help="Events a second.")
@click.option("--members", default=2, show_default=True, type=click.IntRange(1, 8), help="Members of the group.")
@click.option("--json", "as_json", is_flag=True, help="Only the closing figures, as one JSON object.")
def demo(seconds: float | None, rate: int, members: int, as_json: bool) -> None:
    """Start a broker and watch a live event feed go through it.

    A web shop's clicks, orders, payments and shipments go through a broker in this process, by a real Kafka producer
    and a real consumer group. Nothing is kept.
    """
    clock = SystemClock()
    began_ms = clock.monotonic_ms()
    try:
        broker = tailrace.Broker(topics=TOPICS).start()
    except (TailraceError, OSError) as failure:
        raise CommandFailed(f"the broker did not start: {failure}") from failure
    try:
        if not as_json:
            note(f"broker ready at {broker.bootstrap_servers} in {clock.monotonic_ms() - began_ms:.0f} ms; Ctrl-C ends")
        last = _run(broker.bootstrap_servers, rate, members, seconds, clock, as_json=as_json)
    finally:
        broker.stop()
    if as_json:
        print_json(last.as_json())
    else:
        click.echo(
            f"{last.records:,} records in {last.elapsed_s:.1f} s, latency p50 {last.latency_p50_ms:.1f} ms, "
            f"p99 {last.latency_p99_ms:.1f} ms; the shop took {last.revenue_total:,.2f}"
        )


def _run(address: str, rate: int, members: int, seconds: float | None, clock: Clock, *, as_json: bool) -> Snapshot:
    traffic = Traffic(address, rate, members, clock, SystemRandom())
    began_ms = clock.monotonic_ms()

    def look() -> Snapshot:
        return snapshot(traffic.figures, (clock.monotonic_ms() - began_ms) / 1000)

    traffic.start()
    try:
        with unwind_on_sigterm(), _view(address, as_json=as_json) as view:
            before: Snapshot | None = None
            while traffic.failure is None and (seconds is None or look().elapsed_s < seconds):
                _sleep(view.interval_s if seconds is None else min(view.interval_s, seconds))
                now = look()
                view.show(traffic.figures, now, before)
                before = now
    except KeyboardInterrupt:
        pass  # the ordinary end
    finally:
        traffic.stop(DRAIN_S)
    if traffic.failure is not None:
        raise CommandFailed(f"the demo's traffic stopped: {traffic.failure}") from traffic.failure
    return look()


@contextmanager
def _view(address: str, *, as_json: bool) -> Iterator[View]:
    if as_json:
        yield _Silent()
    elif not sys.stdout.isatty():
        yield _Lines()
    else:
        from rich.live import Live  # start-up time: only a terminal pays for rich

        from tailrace.cli.demo.screen import draw

        with Live(refresh_per_second=4, transient=False) as live:

            class Screen:
                interval_s = DRAW_INTERVAL_S

                def show(self, members: list[MemberFigures], now: Snapshot, before: Snapshot | None) -> None:
                    live.update(draw(address, members, now, before))

            yield Screen()


class _Silent:
    interval_s = LINE_INTERVAL_S

    def show(self, members: list[MemberFigures], now: Snapshot, before: Snapshot | None) -> None:
        pass


class _Lines:
    """A line a second, for a pipe or a log."""

    interval_s = LINE_INTERVAL_S

    def show(self, members: list[MemberFigures], now: Snapshot, before: Snapshot | None) -> None:
        topics = "  ".join(f"{topic} {count:,}" for topic, count in now.by_topic.items())
        click.echo(f"{now.elapsed_s:5.1f} s  {now.records:,} records  p99 {now.latency_p99_ms:.1f} ms  {topics}")
        for topic, line in now.feed[-3:]:
            click.echo(f"         {topic}  {line}")
        sys.stdout.flush()


def _sleep(seconds: float) -> None:
    threading.Event().wait(seconds)

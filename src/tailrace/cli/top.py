"""`tailrace top`: what a broker does at this moment, a line an interval, read from its /metrics.

Lines, not a screen: they go through pipes, and what was before stays in sight. Rates are differences of two readings,
so the first line comes after one interval. Exit code 1 when the address does not answer.
"""

from __future__ import annotations

import re
import time
from http.client import HTTPException
from typing import Final
from urllib.request import urlopen

import click

from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import print_json

ANSWER_MAX_S: Final = 30
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})? (\S+)(?: .*)?")
_RATES: Final = {
    "cpu %": ("process_cpu_seconds_total", 100.0),
    "busy %": ("tailrace_loop_busy_seconds_total", 100.0),
    "turns/s": ("tailrace_loop_turns_total", 1.0),
    "records in/s": ("kafka_server_brokertopicmetrics_messagesin_total", 1.0),
    "kB in/s": ("kafka_server_brokertopicmetrics_bytesin_total", 0.001),
    "kB out/s": ("kafka_server_brokertopicmetrics_bytesout_total", 0.001),
}
_LEVELS: Final = {
    "clients": ("kafka_server_socketservermetrics_connection_count", 1.0),
    "rss MB": ("process_resident_memory_bytes", 1e-6),
}


@click.command
@click.option("--http", "address", default="127.0.0.1:9080", show_default=True, help="The broker's http.listen.")
@click.option("-i", "--interval", type=click.FloatRange(min=0.1, max=3600), default=2.0, show_default=True,
              help="Seconds between lines.")  # fmt: skip
@click.option("--once", is_flag=True, help="One line, then end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def top(address: str, interval: float, once: bool, as_json: bool) -> None:
    """Show a broker's processor time, loop, traffic, clients and memory, until Ctrl-C."""
    before, before_s = read_figures(address), time.monotonic()
    if not as_json:
        click.echo("  ".join(name.rjust(_width(name)) for name in (*_RATES, *_LEVELS)))
    while True:
        time.sleep(interval)
        after, after_s = read_figures(address), time.monotonic()
        row = figures_row(before, after, after_s - before_s)
        if as_json:
            print_json(row)
        else:
            click.echo("  ".join(f"{value:{_width(name)}.1f}" for name, value in row.items()))
        if once:
            return
        before, before_s = after, after_s


def _width(name: str) -> int:
    return max(len(name), 8)


def figures_row(before: dict[str, float], after: dict[str, float], passed_s: float) -> dict[str, float]:
    """Rates between two readings and levels of the second. A counter that went back, after a restart, counts from 0."""
    row = {}
    for name, (metric, factor) in _RATES.items():
        now, then = after.get(metric, 0.0), before.get(metric, 0.0)
        row[name] = (now - then if now >= then else now) * factor / passed_s
    return row | {name: after.get(metric, 0.0) * factor for name, (metric, factor) in _LEVELS.items()}


def read_figures(address: str) -> dict[str, float]:
    """Every metric of a broker, added up over its labels."""
    try:
        with urlopen(f"http://{address}/metrics", timeout=ANSWER_MAX_S) as answer:
            text = answer.read().decode()
    except (OSError, HTTPException, ValueError) as error:
        raise CommandFailed(f"cannot read http://{address}/metrics: {error}.") from error
    return sums(text)


def sums(text: str) -> dict[str, float]:
    """Samples of the text format added up by name; comments left out."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is not None and not line.startswith("#"):
            found[sample[1]] = found.get(sample[1], 0.0) + float(sample[2])
    return found

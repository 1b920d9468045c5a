"""Medians and spread of the rounds, and the page and pictures made of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from . import goals
from .workloads import ENTRIES

Rounds = list[dict[str, float]]

# figure: (heading, digits after the point)
HEADINGS = {
    "mb_per_s": ("MB/s", 0),
    "requests_per_s": ("requests/s", 0),
    "cpu_s_per_gb": ("CPU s/GB", 2),
    "cpu_us_per_request": ("CPU us/request", 1),
    "cpu_percent": ("CPU, % of a core", 1),
    "busy_before_s": ("until at rest, s", 0),
    "peak_mb": ("peak MB", 0),
    "ack_p50_ms": ("acknowledged p50 ms", 2),
    "ack_p99_ms": ("p99", 2),
    "ack_p99.9_ms": ("p99.9", 2),
    "end_to_end_p50_ms": ("end to end p50 ms", 2),
    "end_to_end_p99_ms": ("p99", 2),
    "end_to_end_p99.9_ms": ("p99.9", 2),
    "most_per_s": ("most records/s", 0),
    "asked_per_s": ("asked for, records/s", 0),
    "formed_ms": ("until each member had its share, ms", 0),
    "copied": ("bytes copied between process and kernel, for each byte of records", 2),
    "in_place": ("handed on in place (sendfile)", 2),
    "first_record_ms": ("start to first acknowledged record, ms", 0),
    "rest_mb": ("resident at rest, MB", 0),
    "rest_cpu_percent": ("CPU at rest, %", 1),
}
PICTURES = {
    "produce-cpu": ("produce", "cpu_s_per_gb", "Produce: CPU seconds of the broker for each GB"),
    "fetch-cpu": ("fetch", "cpu_s_per_gb", "Fetch from the page cache: CPU seconds for each GB"),
    "requests-cpu": ("requests-50", "cpu_us_per_request", "One-record requests, 50 connections: CPU us each"),
    "start": ("start", "first_record_ms", "Start to the first acknowledged record, ms"),
}
BAR_PX, LINE_PX, LABEL_PX, WIDTH_PX = 420, 26, 110, 640


def medians(rounds: Rounds) -> dict[str, float]:
    """The median of each figure."""
    names = {name for found in rounds for name in found}
    return {name: statistics.median(found[name] for found in rounds if name in found) for name in sorted(names)}


def summary(runs: Mapping[str, Mapping[str, Rounds]]) -> dict[str, dict[str, dict[str, float]]]:
    """workload -> broker -> medians."""
    return {
        workload: {broker: medians(rounds) for broker, rounds in brokers.items() if rounds}
        for workload, brokers in runs.items()
    }


def page(result: Mapping[str, Any], pictures: Sequence[str] = ()) -> str:  # Any: the JSON of peers.py
    """The page for people."""
    parts = result["parts"]
    lines = ["# Beside other brokers"]
    for part in parts:
        lines += ["", f"`{part['command']}`", "", *([_which(part)] if len(parts) > 1 else []), _machine(part)]
    lines += ["", "| broker | version | keeps records |"]
    lines += ["|---|---|---|"]
    lines += [f"| {name} | {each['version']} | {each['keeps']} |" for name, each in result["brokers"].items()]
    if result["missing"]:
        lines += ["", "Not measured: " + "; ".join(f"{name}: {why}" for name, why in result["missing"].items()) + "."]
    lines += ["", _how(parts), ""]
    lines += [f"![{PICTURES[name][2]}](images/bench-{name}.svg)" for name in pictures]
    reached = goals.lines(result["runs"], result["failures"])
    lines += ["", "## Goals", "", *reached] if reached else []
    for workload, brokers in result["runs"].items():
        words = "how a broker starts, and rests" if workload == "start" else ENTRIES[workload].words
        lines += ["", f"## {workload}", "", f"{words[0].upper()}{words[1:]}.", "", *table(brokers)]
        failures = result["failures"].get(workload, {})
        lines += ["", *(_failure(name, why, brokers) for name, why in failures.items())] if failures else []
    return "\n".join(lines) + "\n"


def _failure(name: str, why: str, brokers: Mapping[str, Rounds]) -> str:
    """Why there is no figure, or fewer than of the others."""
    rounds = len(brokers.get(name, ()))
    return f"{name}{f', in another round than the {rounds} above' if rounds else ''}: {why.rstrip('.')}."


def table(brokers: Mapping[str, Rounds]) -> list[str]:
    """A row a broker: the median of each figure and, from lowest to highest, its rounds."""
    present = [name for name in HEADINGS if any(name in found for rounds in brokers.values() for found in rounds)]
    if not present:
        return ["Not measured."]
    lines = ["| | " + " | ".join(HEADINGS[name][0] for name in present) + " |", "|---" * (len(present) + 1) + "|"]
    for broker, rounds in brokers.items():
        if rounds:
            lines.append(f"| {broker} | " + " | ".join(_cell(rounds, name) for name in present) + " |")
    return lines


def picture(title: str, values: Mapping[str, float]) -> str:
    """A bar for each broker, as SVG."""
    height, longest = 44 + LINE_PX * len(values), max(values.values(), default=0.0) or 1.0
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{height}" font-family="sans-serif">']
    parts.append(f'<rect width="{WIDTH_PX}" height="{height}" fill="white"/>')
    parts.append(f'<text x="12" y="22" font-size="14">{escape(title)}</text>')
    for row, (name, value) in enumerate(values.items()):
        top, width = 36 + row * LINE_PX, max(1.0, value / longest * BAR_PX)
        colour = {"tailrace": "#1b7f5c", "floor": "#999999"}.get(name, "#4878a8")
        parts.append(f'<text x="{LABEL_PX - 8}" y="{top + 14}" font-size="12" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LABEL_PX}" y="{top}" width="{width:.1f}" height="18" fill="{colour}"/>')
        parts.append(f'<text x="{LABEL_PX + width + 6:.1f}" y="{top + 14}" font-size="12">{value:,.3g}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def pictures(runs: Mapping[str, Mapping[str, Rounds]]) -> dict[str, str]:
    """The pictures that the workloads at hand allow, by name."""
    found = {}
    for name, (workload, figure, title) in PICTURES.items():
        values = {
            broker: middle[figure] for broker, middle in summary(runs).get(workload, {}).items() if figure in middle
        }
        if values:
            found[name] = picture(title, values)
    return found


def _cell(rounds: Rounds, name: str) -> str:
    values = sorted(found[name] for found in rounds if name in found)
    if not values:
        return ""
    digits = HEADINGS[name][1]
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({values[0]:,.{digits}f} to {values[-1]:,.{digits}f})"


def _which(part: Mapping[str, Any]) -> str:
    """What of the page is of this run: later ones replace what they have measured as well."""
    return f"Tailrace {part['versions'].get('tailrace', 'was not measured')}; {', '.join(part['workloads'])}."


def _machine(part: Mapping[str, Any]) -> str:
    machine = part["machine"]
    shared = (
        "something else ran, or had just ended, so compare within a table" if machine["shared"] else "nothing else ran"
    )
    done, asked = part["rounds_done"], part["rounds"]
    interrupted = "" if done == asked else f" Interrupted when {done} of {asked} rounds were whole."
    return (
        f"{machine['processor']}, {machine['cpus']} cores, {machine['memory_gb']:.0f} GB, Linux {machine['kernel']}, "
        f"Python {machine['python']}, librdkafka {machine['librdkafka']}. "
        f"Load average {machine['load_before']:.1f} before and {machine['load_after']:.1f} after: {shared}."
        f"{interrupted}"
    )


def _how(parts: Sequence[Mapping[str, Any]]) -> str:
    machine = parts[-1]["machine"]
    rounds = " or ".join(str(number) for number in sorted({part["rounds"] for part in parts}))
    pinned = f"Broker on core {machine['broker_core']}, load on core {machine['load_core']}"
    return (
        f"{pinned if machine['broker_core'] is not None else 'Not pinned'}; "
        f"brokers in turn, rounds: {rounds}, a fresh process and fresh data in each, every workload on a "
        "topic of its own. A figure is the median, with the lowest and highest round in brackets. CPU and memory are "
        "the broker process's own; `floor` is the bare system calls for the same bytes. Throughput is bounded by the "
        "load as well, which has one core."
    )

"""The demo on a terminal, drawn by rich: topics, group, shop and the feed of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tailrace.cli.demo.figures import MemberFigures, Snapshot
from tailrace.cli.demo.shop import CLICKS, ORDERS, PAYMENTS, SHIPMENTS, TOPICS
from tailrace.cli.output import size_text

COLOURS: Final = {CLICKS: "cyan", ORDERS: "green", PAYMENTS: "yellow", SHIPMENTS: "magenta"}


def draw(address: str, members: Sequence[MemberFigures], now: Snapshot, before: Snapshot | None) -> RenderableType:
    """One frame. Rates are over the time since `before`."""
    tables = Columns([_topics(now, before), _group(members), _shop(now)], padding=(0, 3))
    return Group(_heading(address, now, before), tables, _feed(now))


def _heading(address: str, now: Snapshot, before: Snapshot | None) -> Text:
    span_s = now.elapsed_s - before.elapsed_s if before else now.elapsed_s
    moved = now.record_bytes - (before.record_bytes if before else 0)
    return Text.assemble(
        ("tailrace demo", "bold"), f"  {address}  {now.elapsed_s:5.1f} s  {now.records:,} records  ",
        f"{size_text(moved / max(span_s, 1e-3))}/s  latency ",
        (f"p50 {now.latency_p50_ms:.1f} ms  p99 {now.latency_p99_ms:.1f} ms", "bold"),
    )  # fmt: skip


def _topics(now: Snapshot, before: Snapshot | None) -> Table:
    table = Table("TOPIC", box=None, pad_edge=False, header_style="bold")
    table.add_column("RECORDS", justify="right")
    table.add_column("PER S", justify="right")
    span_s = max(now.elapsed_s - (before.elapsed_s if before else 0), 1e-3)
    for topic in TOPICS:
        count = now.by_topic.get(topic, 0)
        earlier = before.by_topic.get(topic, 0) if before else 0
        table.add_row(Text(topic, COLOURS[topic]), f"{count:,}", f"{(count - earlier) / span_s:,.0f}")
    return table


def _group(members: Sequence[MemberFigures]) -> Table:
    table = Table("GROUP MEMBER", box=None, pad_edge=False, header_style="bold")
    table.add_column("PARTITIONS", justify="right")
    table.add_column("READ", justify="right")
    for member in members:
        table.add_row(member.name, str(len(member.partitions)), f"{member.records:,}")
    return table


def _shop(now: Snapshot) -> Table:
    table = Table("SHOP", "", box=None, pad_edge=False, header_style="bold")
    table.add_row("revenue", f"{now.revenue_total:,.2f}")
    table.add_row("declined", f"{now.declined:,}")
    table.add_row("best market", next(iter(now.revenue), "-"))
    table.add_row("most viewed", now.top_views[0][0] if now.top_views else "-")
    return table


def _feed(now: Snapshot) -> Panel:
    lines = [
        Text.assemble((f"{topic.removeprefix('shop.'):10}", COLOURS[topic]), line, no_wrap=True, overflow="ellipsis")
        for topic, line in now.feed
    ]
    return Panel(Group(*lines), title="latest events, as the group reads them", title_align="left", border_style="dim")

"""Where to read from: the words of the command line, and what they mean in a given partition.

earliest | latest      the first offset kept | the end
an integer             that offset; -N means the last N records
a time                 the first record stamped then or later; the end when there is none
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import click

from tailrace.base.clock import Clock, SystemClock

RELATIVE_UNIT_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
RELATIVE_TIME: Final = re.compile(r"-(\d{1,9})([smhd])")

PositionKind = Literal["earliest", "latest", "offset", "time", "shift"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place to read from. `number` is the offset, the milliseconds since 1970, or the shift; 0 for the others."""

    kind: PositionKind
    number: int = 0


def parse_time(text: str, clock: Clock | None = None) -> int:
    """Milliseconds since 1970 of: that number itself, an ISO 8601 time (UTC unless it says), or `-90s`, `-2h`, `-1d`.

    Raises:
        ValueError: it is none of these.
    """
    if text.isdecimal():
        return int(text)
    relative = RELATIVE_TIME.fullmatch(text)
    if relative:
        return (clock or SystemClock()).wall_ms() - int(relative[1]) * RELATIVE_UNIT_MS[relative[2]]
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def format_time(timestamp_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds, such as 2024-05-01T12:00:00.000Z."""
    moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TimeType(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4; older ones must do
    """A time on the command line (see `parse_time`)."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_time(str(value))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a time: give milliseconds since 1970, an ISO time such as 2024-05-01T12:00:00Z, "
                "or an age such as -2h",
                param,
                ctx,
            )


class OffsetType(click.ParamType):  # type: ignore[type-arg]  # see TimeType
    """`earliest`, `latest`, an offset, or -N for the last N records."""

    name = "offset"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Position:
        if isinstance(value, Position):
            return value
        if value == "earliest" or value == "latest":
            return Position(value)
        try:
            return Position("offset", int(str(value)))
        except ValueError:
            self.fail(f"{value!r} is not an offset: give a number, -N for the last N, earliest or latest", param, ctx)

"""Why groups rebalance: one line for people when a rebalance is decided, and the last one of each group to ask for.

    because(reason) ... because(reason) ──> begun(generation): "group g rebalances: generation 5, a joined; b left"

Not in the log of the group: after a restart nobody knows, until the group rebalances again. Not its business: what is
decided, and where the line goes. Shared by all groups of a coordinator; both kinds of group tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from tailrace.base.clock import Clock
from tailrace.coordinator.limits import REASON_MAX_CHARS, REASONS_SHOWN_MAX, REBALANCES_REMEMBERED_MAX

LAST_REBALANCE: Final = "tailrace.last.rebalance"
"""Not a setting, but told as one of a group (DescribeConfigs) to who asks for this name: when and why it last
rebalanced, as JSON. So no client is told what it does not know, and any can ask."""


class Rebalanced(NamedTuple):
    """One rebalance: when (wall-clock milliseconds), into which generation or group epoch, and why."""

    at_ms: int
    generation: int
    reason: str


class _Reasons:
    """Reasons of a rebalance that is not decided yet: the first few, and how many."""

    __slots__ = ("count", "first")

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []


class Rebalances:
    """Of the groups of one coordinator."""

    __slots__ = ("_clock", "_last", "_reasons", "_tell", "count")

    def __init__(self, clock: Clock, tell: Callable[[str], None]) -> None:
        self._clock = clock
        self._tell = tell
        self.count = 0
        """Rebalances since the start."""
        self._last: dict[str, Rebalanced] = {}
        self._reasons: dict[str, _Reasons] = {}

    def because(self, group_id: str, reason: str) -> None:
        """A reason for the group's next generation."""
        reasons = self._reasons.get(group_id)
        if reasons is None:
            reasons = self._reasons[group_id] = _Reasons()
        reasons.count += 1
        if len(reasons.first) < REASONS_SHOWN_MAX:
            reasons.first.append(_one_line(reason))

    def begun(self, group_id: str, generation: int) -> None:
        """The group has its next generation. Without a reason it is not a rebalance."""
        reasons = self._reasons.pop(group_id, None)
        if reasons is None:
            return
        self.count += 1
        more = reasons.count - len(reasons.first)
        reason = "; ".join(reasons.first) + (f"; and {more} more" if more else "")
        self._last.pop(group_id, None)
        self._last[group_id] = Rebalanced(self._clock.wall_ms(), generation, reason)
        if len(self._last) > REBALANCES_REMEMBERED_MAX:
            del self._last[next(iter(self._last))]
        self._tell(f"group {_one_line(group_id)} rebalances: generation {generation}, {reason}")

    def last(self, group_id: str) -> Rebalanced | None:
        """The last rebalance of a group; None when there was none since the start."""
        return self._last.get(group_id)

    def tell(self, text: str) -> None:
        """Something else that people want to know of a group."""
        self._tell(_one_line(text))

    def forget(self, group_id: str) -> None:
        """The group is gone, or another broker's."""
        self._last.pop(group_id, None)
        self._reasons.pop(group_id, None)


def _one_line(text: str) -> str:
    """Clients choose ids and reasons: no line of a log is theirs to break."""
    return "".join(char if char.isprintable() else "?" for char in text[:REASON_MAX_CHARS])

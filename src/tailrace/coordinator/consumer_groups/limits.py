"""Bounds of consumer groups that are not Kafka settings: the number, its reason, what happens at it."""

from __future__ import annotations

from typing import Final

BALANCE_ROUNDS_MAX: Final = 20
"""Passes of the uniform assignor over all partitions where subscriptions differ. Each pass brings the loads nearer; two
or three are the rule. At it: the assignment is taken as it is, valid and a little uneven."""

ASSIGNMENT_CHEAP_MS: Final = 5.0
"""An assignment that took less is never waited for: below it are all groups but very large ones, and what a busy
machine adds. With 100 members and 1,000 partitions one takes 1 to 2 ms."""

ASSIGNMENT_PAUSE_FACTOR: Final = 20
"""Pause after an assignment, as a multiple of what it took: a group that never rests takes a twentieth of the broker's
time. 1,000 members and 10,000 partitions take 10 to 20 ms, which makes a pause of 0.2 to 0.4 s."""

REGEX_MAX_CHARS: Final = 1024
"""Longest pattern of a subscription. At it: INVALID_REGULAR_EXPRESSION."""

REGEX_MAX_WORK: Final = 300_000
"""Most states that are looked at to find a subscription's topics: some tenths of a second. `orders-.*` over 10,000
topics needs some hundreds. At it: INVALID_REGULAR_EXPRESSION."""

"""Bounds of consumer groups that are not Kafka settings: the number, its reason, what happens at it."""

from __future__ import annotations

from typing import Final

BALANCE_ROUNDS_MAX: Final = 20
"""Passes of the uniform assignor over all partitions where subscriptions differ. Each pass brings the loads nearer; two
or three are the rule. At it: the assignment is taken as it is, valid and a little uneven."""

REGEX_MAX_CHARS: Final = 1024
"""Longest pattern of a subscription. At it: INVALID_REGULAR_EXPRESSION."""

REGEX_REPEATS_MAX: Final = 8
"""Most repetitions without an upper bound in one pattern. Python's engine goes back over each; topic names have 249
characters at most, so this many, none within another, stay cheap. At it: INVALID_REGULAR_EXPRESSION."""

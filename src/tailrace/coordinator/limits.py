"""Bounds of the coordinators that are not Kafka settings: the number, its reason, what happens at it."""

from __future__ import annotations

from typing import Final

NEW_MEMBER_JOIN_TIMEOUT_MS: Final = 5 * 60 * 1000
"""How long a member that never held an assignment may wait in a join. Kafka's constant: such a member cannot send
heartbeats, so a client that gave up and came back would leave a ghost for ever. At it: removed, UNKNOWN_MEMBER_ID."""

EMPTY_GROUP_RETRY_MS: Final = 5_000
"""Pause before the record of an emptied group is tried again after a failed append: Kafka's commit timeout."""

QUEUE_MAX_OPERATIONS: Final = 10_000
"""Most operations that wait for one append of a group or a transactional id. Above any real group's member count, so
only a stuck log fills it. At it: COORDINATOR_NOT_AVAILABLE."""

HASHED_KEYS_MAX: Final = 4096
"""Group ids and transactional ids whose hash is remembered: every heartbeat needs it, and in Python it costs as much as
the rest of one. Half a megabyte at most; beyond it the least used is computed again."""

RECORDS_PER_STEP: Final = 50
"""Records that a coordinator loads between two looks at the clock: half a millisecond. The loop's turns are of some."""

MARKER_RETRY_MS: Final = 100
"""Pause before a transaction marker that could not be written is tried again: Kafka's request retry back-off. There is
no limit to how often: a transaction that is decided must end, and only its own partitions wait for it."""

REASONS_SHOWN_MAX: Final = 3
"""Reasons of one rebalance that are kept word for word: of a thousand members that joined, the first say what happens.
Beyond it they are counted."""

REASON_MAX_CHARS: Final = 500
"""Longest reason, or group id, that is shown: clients choose them. Beyond it the rest is left out."""

REBALANCES_REMEMBERED_MAX: Final = 10_000
"""Groups whose last rebalance can be asked for. Some 5 MB. Beyond it the one that is longest ago is forgotten."""

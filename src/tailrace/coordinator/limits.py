"""Bounds of the coordinators that are not Kafka settings: the number, its reason, what happens at it."""

from __future__ import annotations

from typing import Final

NEW_MEMBER_JOIN_TIMEOUT_MS: Final = 5 * 60 * 1000
"""How long a member that never held an assignment may wait in a join. Kafka's constant: such a member cannot send
heartbeats, so a client that gave up and came back would leave a ghost for ever. At it: removed, UNKNOWN_MEMBER_ID."""

EMPTY_GROUP_RETRY_MS: Final = 5_000
"""Pause before the record of an emptied group is tried again after a failed append: Kafka's commit timeout."""

GROUP_QUEUE_MAX_OPERATIONS: Final = 10_000
"""Most operations that wait for one group's append. Above any real group's member count, so only a stuck log fills it.
At it: COORDINATOR_NOT_AVAILABLE."""

HASHED_GROUPS_MAX: Final = 4096
"""Group ids whose hash is remembered: every heartbeat needs it, and in Python it costs as much as the rest of one.
Half a megabyte at most; beyond it the least used is computed again."""

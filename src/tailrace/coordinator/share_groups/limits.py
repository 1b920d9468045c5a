"""Bounds of share groups that are not public Kafka settings: the number, its reason, what happens at it."""

from __future__ import annotations

from typing import Final

INITIALIZE_RETRY_MS: Final = 30_000
"""How long a partition's state may be on its way to being made before a heartbeat asks for it again. Kafka's internal
default."""

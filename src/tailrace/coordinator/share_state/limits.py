"""Bounds of the share coordinator that are not public Kafka settings: the number, its reason, what happens at it."""

from __future__ import annotations

from typing import Final

PRUNE_INTERVAL_MS: Final = 5 * 60 * 1000
"""How often what no state needs any more is deleted from the topic. Kafka's internal default."""

COLD_SNAPSHOT_MS: Final = 5 * 60 * 1000
"""A state without a snapshot for so long gets one, once, so that it does not hold back what may be deleted. Kafka's
internal default."""

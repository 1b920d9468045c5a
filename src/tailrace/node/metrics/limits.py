"""Bounds of /metrics: every label's values are few, whatever clients do."""

from __future__ import annotations

from typing import Final

TOPICS_SHOWN_MAX: Final = 200
"""Most topics that are shown by their names, the first that came; the others are summed up as OTHER. A Prometheus keeps
each of a topic's dozen series for weeks."""

GROUPS_SHOWN_MAX: Final = 200
"""Most groups that are shown by their names, the first that came; the others are summed up as OTHER."""

OTHER: Final = "other"
"""The label of what is not shown by its name. A topic that is really called so is added to it."""

STEP_COUNT: Final = 256
"""Partitions, or offsets, looked at between two looks at the clock."""

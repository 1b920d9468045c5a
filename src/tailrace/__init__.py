"""Tailrace: a Kafka-compatible broker written in Python.

`tailrace.Broker` starts one inside this process, `tailrace.Cluster` several in processes of their own; `tailrace serve`
starts one on its own. The names exported here are the public interface; everything else is internal and layered as
docs/ARCHITECTURE.md draws it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailrace.embedded import Broker
    from tailrace.embedded.cluster import Cluster

__all__ = ["Broker", "Cluster", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """What is exported is imported when it is first asked for: `tailrace serve` needs none of it and starts faster."""
    if name == "Broker":
        from tailrace.embedded import Broker  # start-up time

        return Broker
    if name == "Cluster":
        from tailrace.embedded.cluster import Cluster  # start-up time

        return Cluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

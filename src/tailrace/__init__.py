"""Tailrace: a Kafka-compatible broker written in Python.

`tailrace.Broker` starts one inside this process; `tailrace serve` starts one on its own. The names exported here
are the public interface; everything else is internal and layered as docs/ARCHITECTURE.md draws it.
"""

from __future__ import annotations

__version__ = "0.1.0"

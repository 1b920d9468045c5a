"""A broker inside this process: `tailrace.Broker`. Stands beside the command line, above `node`.

Start with `broker`, the public class. `host` runs a server on a thread of its own; `admin` is the small Kafka client,
over a real socket, with which the embedded broker seeds topics and records and reads them back.
"""

from __future__ import annotations

from tailrace.embedded.broker import Broker
from tailrace.embedded.seeds import SeedRecord, StoredRecord

__all__ = ["Broker", "SeedRecord", "StoredRecord"]

"""Settings that Apache Kafka does not have: rows of the tables in `broker_configs` and `topic_configs`.

They are set, checked, described and stored like Kafka's; comparisons with Kafka leave them out by these names.
"""

from __future__ import annotations

from typing import Final

Row = tuple[str, str, str | None, object, str, int]

OWN_BROKER_ROWS: Final[tuple[Row, ...]] = (
    ("cluster.url", "STRING", "", None, "high", 0),
    ("etcd.password", "PASSWORD", "", None, "medium", 0),
    ("etcd.tls.ca.file", "STRING", "", None, "medium", 0),
    ("etcd.tls.certificate.file", "STRING", "", None, "medium", 0),
    ("etcd.tls.key.file", "STRING", "", None, "medium", 0),
    ("etcd.user", "STRING", "", None, "medium", 0),
    ("http.console", "STRING", "auto", ("auto", "on", "read-only", "off"), "medium", 0),
    ("http.listen", "STRING", "127.0.0.1:9080", None, "medium", 0),
    ("log.dir.reserved.bytes", "LONG", "-1", (-1, None), "medium", 2),
    ("log.dirs.forget.missing", "BOOLEAN", "false", None, "low", 0),
    ("log.flush.before.ack", "BOOLEAN", "false", None, "high", 2),
    ("log.format", "STRING", "text", ("text", "json"), "medium", 0),
    ("log.open.files.max", "INT", "0", (0, None), "medium", 0),
    ("log.reader.threads", "INT", "0", (0, 1024), "medium", 0),
    ("loop.stall.report.ms", "INT", "1000", (0, None), "low", 0),
    ("profile.dump.dir", "STRING", "", None, "low", 0),
)

OWN_TOPIC_ROWS: Final[tuple[Row, ...]] = (("flush.before.ack", "BOOLEAN", "false", None, "medium", 2),)

OWN_CONFIGS: Final = frozenset(row[0] for row in OWN_BROKER_ROWS + OWN_TOPIC_ROWS)
"""Their names."""

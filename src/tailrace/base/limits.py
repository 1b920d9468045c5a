"""Every bound in the system that is not a Kafka setting: its number, the reason for it, and what happens at it.

Kafka settings (`socket.request.max.bytes` and the like) are bounded where they are defined, in `cluster`.
Each name carries its unit.
"""

from __future__ import annotations

from typing import Final

INFLATED_BATCH_MAX_BYTES: Final = 100 * 1024 * 1024
"""Most bytes one compressed batch may grow to when it must be inflated: the default of `socket.request.max.bytes`, a
hundred times `max.message.bytes`. Enough for any honest batch; a bomb costs no more memory than the largest request.
Beyond it: CORRUPT_MESSAGE."""

REQUEST_DECODED_MAX_BYTES: Final = 100 * 1024 * 1024
"""Most memory that reading one request may take beside its own bytes: `socket.request.max.bytes`'s default again. The
codec reckons it, never too low, at 512 bytes for each array element: that allows 204,800 of them, many times the
partitions of one broker, in about 0.3 s. Beyond it: the connection is closed."""

FETCH_SESSION_EVICTION_MS: Final = 120_000
"""A fetch session unused for this long may lose its place to a new one when the cache is full. Kafka's number."""

REQUESTS_IN_FLIGHT_MAX: Final = 100
"""Requests of one connection that may wait for their answers. Clients pipeline 5 by default; 100 leaves room for those
that are told to do more. At it the connection is not read until an answer has gone out."""


BACKGROUND_THREADS: Final = 4
"""Threads for work that waits for the disk. Flushes of one disk gain nothing from more; four keep one slow deletion
from holding up the checkpoints. Work beyond them queues."""

CLEANER_THREADS_MAX: Final = 8
"""Most logs that are compacted at once, whatever `log.cleaner.threads` says: compaction computes, and there is one
interpreter. Settings above it count as this."""

STOP_MAX_MS: Final = 4_500
"""How long a clean stop may take before the process ends anyway. Supervisors and users expect an end within 5 s; what
was not flushed by then is recovered by the next start."""

STOP_DRAIN_MS: Final = 1_000
"""How long a clean stop waits for answers that are on their way to slow clients."""

DOWN_CONVERTED_MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes after which a conversion for Fetch v0-v3 takes no further batch. Those clients ask for a few MiB at a time; a
compressed fetch must not grow without bound. The batch that passes it is still whole: the client asks on from there."""

OPEN_LOG_FILES_SHARE: Final = 0.5
"""Part of the process's descriptors that .log files may hold. The other half is for connections, for files that are
still being sent to slow readers after their segment let go of them, and for what is open only while it is written. At
it the longest open file is closed; it opens again when asked for."""

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

LEASE_THREADS: Final = 1
"""Threads in which a broker of a cluster renews its lease, apart from changes: a slow one must not cost the lease."""

METADATA_THREADS: Final = 1
"""Threads in which changes of the metadata wait for their store: they are made one at a time."""

SYNC_THREADS: Final = 8
"""Threads for the syncs that answers wait for: each log has one running at most, so this many logs are synced at once.
A journalling file system commits them together."""

RESERVED_MAX_BYTES: Final = 256 * 1024 * 1024
"""Most free space that a log directory keeps to itself unless `log.dir.reserved.bytes` says otherwise; one percent of a
small volume. A second of the fastest producer fits between the bound and the end of the disk, and the look at it comes
once a second. Below it: producing is refused."""

RESERVE_FILE_MAX_BYTES: Final = 1024 * 1024
"""Bytes kept in a file for the day the volume is full, 1/64 of a small one: checkpoints, epochs and metadata of 10,000
partitions fit. At it: what is deleted then is remembered late."""

SPACE_CHECK_MIN_MS: Final = 1_000
SPACE_CHECK_MAX_MS: Final = 30_000
"""How often free space is looked at, by how much there is: as often as a producer of 1 GB/s could use it up. A look is
one statvfs, some 5 µs."""

FIRST_SPACE_CHECK_MS: Final = 50
"""When free space is looked at first, and the reserve written: before anybody can have filled a disk."""

STOP_MAX_MS: Final = 4_500
"""How long a clean stop may take before the process ends anyway: a dead disk must not hold it. Supervisors and users
expect an end within 5 s; what was not flushed by then is recovered by the next start."""

STOP_LOG_MS: Final = 2
"""What each open log adds to that: its end makes three files, a millisecond on a slow file system."""

STOP_LIMIT_MS: Final = 25_000
"""The most that it comes to, with 10,000 open logs. Kubernetes kills after 30 s, systemd after 90 s; Docker after 10 s,
unless told otherwise."""

VOLUME_SYNC_MIN_LOGS: Final = 64
"""Logs with something to flush from which on a stop syncs the whole volume instead of each file. A log's files cost
some milliseconds, a volume as much as other processes have written to it."""

STOP_DRAIN_MS: Final = 1_000
"""How long a clean stop waits for answers that are on their way to slow clients."""

DOWN_CONVERTED_MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes after which a conversion for Fetch v0-v3 takes no further batch. Those clients ask for a few MiB at a time; a
compressed fetch must not grow without bound. The batch that passes it is still whole: the client asks on from there."""

OPEN_LOG_FILES_SHARE: Final = 0.5
"""Part of the process's descriptors that .log files may hold. The other half is for connections, for files that are
still being sent to slow readers after their segment let go of them, and for what is open only while it is written. At
it the longest open file is closed; it opens again when asked for."""

LOADED_INDEXES_MAX_BYTES: Final = 128 * 1024 * 1024
"""Most memory for the indexes of sealed segments that somebody has searched: some sixty full segments of 1 GiB at once.
At it the one read longest ago goes, and is read again when asked for, in 2 ms. Retention forgets them all."""

RESIDENCY_STRIDE_BYTES: Final = 256 * 1024
"""How far apart the samples lie that tell whether a range of a file is in memory. A sample costs a microsecond, a MiB
five. A hole that lies between two is waited for in the loop: one disk read."""

RECENT_BYTES: Final = 8 * 1024 * 1024
"""Where the system cannot tell what is in memory (macOS, some network file systems): bytes so near to the end of a file
count as being there. What is older goes through a reader thread each time."""

LOAD_MAX_BYTES: Final = 1024 * 1024
"""Most bytes a reader thread reads at once. Times `log.reader.threads` it is what reading the past has in flight."""

READ_AHEAD_BYTES: Final = 4 * 1024 * 1024
"""How far ahead of a consumer that reads the past in order the log is brought into memory: at 500 MB/s it is 8 ms, the
time of one fetch and its answer."""

READ_AHEAD_STREAMS_MAX: Final = 256
"""Readers of the past whose place is remembered for reading ahead. Times READ_AHEAD_BYTES it is the memory they may
occupy, 1 GiB, all of which the kernel may take back. Beyond it the one idle longest reads without it."""

COLD_WAIT_MAX_MS: Final = 500
"""How long a fetch waits for the disk beyond its own `max_wait_ms` before it is answered with what is in memory: a
client that does not want to wait still wants its records, a hanging disk must not hold the partitions of another."""

READER_IDLE_MS: Final = 5_000
"""After so long without work a reader thread ends."""

READER_STOP_MS: Final = 1_000
"""How long a stop waits for reader threads: one that hangs in a dead disk is left behind."""

INLINE_MAX_BYTES: Final = 16 * 1024
"""Record data of a fetch up to this size is read and sent with the rest of its answer; more goes from the file to the
socket. Copying it costs less than the second system call."""

INLINE_TOTAL_MAX_BYTES: Final = 256 * 1024
"""Most record data of one answer that is read so, for slow clients keep it in memory. Beyond it all goes from files."""

READERS_PER_DISK: Final = 32
"""Reader threads for each disk when `log.reader.threads` does not say. With 32 cold random reads of
4 to 64 KiB are within 10 % of the best number; beyond 64 threads of Python get into each other's way
(docs/performance.md)."""

READER_THREADS_MAX: Final = 128
"""Most reader threads that are chosen by themselves, however many disks there are."""

ROUND_TURN_MS: Final = 4
"""How long a round over all logs (retention, flushes, checkpoints), or the making of many, may hold the loop before it
lets requests in: what a large request takes. A single step may take longer: a checkpoint of 10,000 logs is copied in
2 ms, a log that retention looks at for the first time is opened in 0.3 ms."""

ROUND_PAUSE_MS: Final = 4
"""Pause between two turns of a round: half of the loop's time at most goes into it."""

FETCH_FILES_MAX: Final = 64
"""Most files that the answer to one Fetch is sent from: each is a descriptor for as long as the client takes. With the
1 MiB a partition that clients ask for, they hold more than `fetch.max.bytes` allows anyway. Partitions beyond it are
answered without records, as they are beyond that size; a fetch session lets them go first next time."""

SLOW_LANE_TURN_MS: Final = 2
"""How much of a turn of the loop goes into requests to group coordinators: some ten commits. Those beyond it wait for
the next turn, so that nobody else waits for a whole group."""

SLOW_LANE_MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of requests that wait for that: 100,000 commits of ten partitions. Beyond it: the oldest are run at once."""

FOLLOWER_HIGH_WATERMARK_DELAY_MS: Final = 10
"""How long a high watermark that has moved may wait for records to travel with, before a follower is told of it alone:
telling each would cost a round for each produce request. A follower that is elected knows it this much later, and who
reads from a follower sees records this much later."""

FOLLOWER_SWEEP_MS: Final = 500
FOLLOWER_SWEEP_PARTITIONS: Final = 200
"""How often a leader looks at partitions that its follower did not name and of which nothing was told, and at how many
in turn, some 6 µs each: 10,000 within 25 s. What such a look finds is where a log starts since retention
shortened it."""

MARKER_TROUBLES_MAX: Final = 1000
"""Transaction markers that could not be written and whose trouble was told, so that it is told once. At it: forgotten,
and those that are still tried are told of again."""

MARKERS_PER_REQUEST_MAX: Final = 1000
"""Transactions whose markers go to another broker in one request: at a hundred bytes each far below the largest. Beyond
it they go with the next."""

QUESTIONS_PER_REQUEST_MAX: Final = 1000
"""Transactions that another broker's coordinator is asked about in one request, likewise."""

MARKER_WAIT_MAX_MS: Final = 5_000
"""How long a broker that asked for markers waits until they are replicated: as for a commit of offsets. Then it
hears REQUEST_TIMED_OUT and asks again, so that one partition that stands still does not keep the others' answers."""

LEAVE_MAX_MS: Final = 2_000
"""How long a clean stop waits for others to lead what this broker led. Then it stops, and they find out."""

UNFENCE_MAX_MS: Final = 10_000
"""How long a start waits until the broker may lead. Then it answers, fenced, and says so when asked."""

WORKERS_MAX: Final = 64
"""Workers of one host (`serve --workers`). Each is a process of some 33 MB; more than there are cores are no use."""

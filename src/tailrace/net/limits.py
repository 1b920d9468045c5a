"""Bounds of the network engine: the number, its reason, and what happens at it. Each name carries its unit."""

from __future__ import annotations

from typing import Final

EVENT_BATCH_SIZE: Final = 128
"""Most events one wait returns (the Go runtime's netpoller takes as many). The rest are reported by the next wait,
so a turn stays short and timers are looked at between batches."""

WAIT_MAX_MS: Final = 1_000_000_000
"""Longest single wait, about 11.5 days: beyond it the kernel's int timeout would overflow. The loop waits again."""

SCRATCH_BYTES: Final = 256 * 1024
"""Receive buffer shared by the connections of one engine, and so the most one quiet connection reads in a turn.
Big enough that a busy producer is read in few calls, small enough to stay in a second-level cache."""

SMALL_LEFTOVER_BYTES: Final = 16 * 1024
"""An unfinished frame up to this size is kept as plain bytes and copied in front of the next receive: about a
microsecond. A longer one gets a buffer of its own, so a peer that trickles bytes cannot make us copy quadratically."""

SCRATCH_FRAME_BYTES: Final = SCRATCH_BYTES // 2
"""A frame announced (`Connection.want`) above this size is received into a buffer of its own, never through the
scratch."""

READ_TURN_BYTES: Final = 1024 * 1024
"""Most bytes one connection receives in a turn; the level-triggered poller reports the rest in the next."""

WRITE_TURN_BYTES: Final = 4 * 1024 * 1024
"""Most bytes one connection sends in a turn, file ranges included. The rest waits for the next turn's EPOLLOUT."""

RANGE_CHECK_BYTES: Final = 1024 * 1024
"""Most bytes of a file range sent between two looks whether they are in memory, and most that are loaded at once."""

LOOK_VALID_MS: Final = 1000
"""For how long what was found in memory is taken to be there. A MiB leaves in several turns, and to look each time cost
more than a twentieth of sending it; a peer that takes longer than this is slow enough for another look."""

LOAD_WINDOW_BYTES: Final = 4 * 1024 * 1024
"""How far into a connection's queue ranges that are not in memory are loaded. Enough to keep a fast disk busy with one
client's answer of many small ranges; times the connections it is what their cold answers may occupy."""

WRITE_PARTS: Final = 512
"""Most buffers handed to one sendmsg. IOV_MAX is 1024 on Linux and may be smaller elsewhere."""

RECEIVE_MAX_BYTES: Final = 128 * 1024 * 1024
"""Most unconsumed bytes a connection may hold. Above `socket.request.max.bytes`'s default of 100 MiB, which handlers
enforce with a better answer. Beyond it the connection is closed with EMSGSIZE."""

SPARE_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Receive buffers kept for reuse by one engine. Mapping and faulting in a fresh megabyte costs more than receiving
into it; one producer's frames fit. Beyond it buffers go back to the kernel."""

HIGH_WATER_BYTES: Final = 1024 * 1024
"""Default: above so many unsent bytes a connection is no longer read from, until the peer reads."""

LOW_WATER_BYTES: Final = 256 * 1024
"""Default: at or below so many unsent bytes reading goes on and `on_writable` is called."""

WRITE_QUEUE_MAX_BYTES: Final = 256 * 1024 * 1024
"""Most unsent bytes held in memory for one connection, file ranges not counted. Requests already received when the high
water mark was passed may still be answered up to here. Beyond it the connection is closed with ENOBUFS."""

ACCEPT_BATCH_SIZE: Final = 32
"""Most connections one listener accepts in a turn, so that a connection storm does not starve the connected."""

ACCEPT_PAUSE_MS: Final = 100
"""How long a listener rests when the process or host is out of descriptors or memory. Without it a level-triggered
poller would report the same waiting peer for ever."""

BACKLOG_SIZE: Final = 1024
"""Connections the kernel queues for one listener; it cuts the number to net.core.somaxconn."""

CONNECTIONS_MAX: Final = 2**31 - 1
"""Default bound of connections of one listener: Kafka's `max.connections`, which is none. At it accepting stops until
one closes."""

SLOW_TURN_MS: Final = 1.0
"""Turns of the loop longer than this are counted by their length; of others there are too many for it to be free."""

TICK_MS: Final = 5
"""Resolution of the engine's timers. Every deadline of the Kafka protocol is tens of milliseconds or more."""

TIMER_TURN_COUNT: Final = 512
"""Most timers looked at in a turn: a hundred thousand that end at once are worked off in slices of a few
milliseconds."""

TIMER_DELAY_MAX_MS: Final = 100 * 366 * 86_400_000
"""Longest delay of a timer, a hundred years. Kafka writes "never" as 2**63 - 1 ms; such a timer is put here."""

FLUSH_STALL_MS: Final = 10_000
"""How long a closing connection waits for its peer to take the next byte, if no write deadline was set. Then it is
closed with TimeoutError: a peer that stopped reading would hold it for ever."""

CONNECT_TIMEOUT_MS: Final = 10_000
"""Default: how long one address is tried. Kafka's `socket.connection.setup.timeout.ms`."""

MEMORY_WINDOW_BYTES: Final = 64 * 1024
"""Most bytes one end of an in-memory stream takes before the other has read them: TCP's window without scaling.
Small, so that partial writes happen in tests."""

HTTP_BODY_MAX_BYTES: Final = 64 * 1024 * 1024
"""Longest answer, or line of one, that `http_client` reads. etcd's own requests are bounded by 1.5 MiB; an answer holds
several values."""

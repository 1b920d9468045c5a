"""Bounds of the HTTP listener: the number, its reason, and what happens at it. Each name carries its unit."""

from __future__ import annotations

from typing import Final

HTTP_HEAD_MAX_BYTES: Final = 16 * 1024
"""Longest request line and headers together, as with most servers. Beyond it: 431, and the connection ends."""

HTTP_HEADERS_MAX: Final = 100
"""Most header lines of a request. Browsers send some 20. Beyond it: 431."""

HTTP_QUERY_FIELDS_MAX: Final = 100
"""Most fields of a query. Beyond it: 400."""

HTTP_CONNECTIONS_MAX: Final = 128
"""Connections served at once: a few scrapers, and browsers with six each. At it accepting stops until one ends."""

HTTP_HEAD_MAX_MS: Final = 10_000
"""Longest time from a connection's opening, or a request's first byte, to the end of its head, however the bytes
trickle. Then: 408, and the connection ends."""

HTTP_IDLE_MAX_MS: Final = 150_000
"""How long a connection is kept for another request, and how long an answer may take to leave. Longer than twice a
scraper's minute. Then it is closed."""

HTTP_SEND_STALL_MS: Final = 10_000
"""How long a client may take none of an answer's bytes. Then it is closed."""

HTTP_RECEIVE_MAX_BYTES: Final = 512 * 1024
"""Most bytes held for a connection whose request is being answered: what one receive brings, twice. A client that
sends more without waiting is closed."""

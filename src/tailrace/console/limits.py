"""Bounds of the console's server: the number, its reason, and what happens at it. Each name carries its unit."""

from __future__ import annotations

from typing import Final

REQUEST_MAX_BYTES: Final = 4 << 20
"""Longest body of a request: a record of a megabyte in base64, with room. Beyond it: 413."""

ANSWER_TIMEOUT_S: Final = 10.0
"""How long the cluster may take to answer a question. Then: 504, or 503 when no broker could be reached."""

ASKED_AGAIN_MS: Final = 1_000
"""A question that fails sooner is asked once more: its connection had been closed while nobody used it."""

METADATA_KEPT_MS: Final = 1_000
"""How long the cluster's metadata is used again. With 10,000 topics asking takes a few hundred ms."""

METADATA_KEPT_FACTOR: Final = 5
"""It is kept longer where asking took long: so many times as long."""

METADATA_KEPT_MAX_MS: Final = 10_000
"""But no longer than this: what others make shows by then, and one slow answer is not kept for minutes."""

SLOW_METADATA_S: Final = 30.0
"""How long a cluster that is there may take to tell its topics, when it did not at once."""

SIZES_KEPT_MS: Final = 10_000
"""How long the sizes of logs are used again: asking 10,000 topics' is work for every broker."""

CALLS_MAX: Final = 8
"""Questions that wait in threads at once; others wait for a thread."""

READS_MAX: Final = 16
"""Tails, searches and looks at messages at once: each has a thread and a consumer. Beyond it: 429."""

PER_PAGE: Final = 50
PER_PAGE_MAX: Final = 500
"""Items of one page of a list."""

LISTED_PARTITIONS_MAX: Final = 2_000
"""Most partitions whose offsets are asked to sort topics by their records. Beyond it: 400.

10,000 take librdkafka more than 12 s."""

MESSAGES_MAX: Final = 500
"""Most messages of one answer, and hits of one search."""

MESSAGES_TIME_MAX_MS: Final = 5_000
"""How long a look at messages takes at most; what was found by then is answered."""

READ_RECORDS_MAX: Final = 20_000
"""Records that one look reads over all partitions at a time, so that a topic of many partitions costs no more."""

READ_BYTES_MAX: Final = 64 << 20
"""Bytes of keys and values that one look holds. At it reading stops, and the answer says it is not complete."""

SHOWN_CHARACTERS_MAX: Final = 4_096
"""Characters of a key, a value or a header in a list. The rest is cut and can be asked for."""

SHOWN_WHOLE_MAX: Final = 1 << 20
"""Characters of a value that is shown whole. Longer ones are downloaded."""

PARSED_JSON_MAX_BYTES: Final = 256 * 1024
"""Longest text that is tried as JSON to see whether it is. Longer ones are shown as text."""

HEADERS_SHOWN_MAX: Final = 100
"""Headers of a message that are shown; Kafka has no bound of its own."""

SEARCH_RECORDS: Final = 100_000
SEARCH_RECORDS_MAX: Final = 10_000_000
"""Records that a search reads."""

SEARCH_TIME_MS: Final = 30_000
SEARCH_TIME_MAX_MS: Final = 300_000
"""How long a search lasts."""

SEARCHED_CHARACTERS_MAX: Final = 64 * 1024
"""How much of one key, value or header an expression is held against."""

SEARCH_SLICE_MS: Final = 1_000
"""A search reads slices that grow until one takes so long: hits of a slice backwards are told at its end."""

SEARCH_TURN_RECORDS: Final = 500
"""Records that a search takes at once before it lets other threads run."""

PROGRESS_INTERVAL_MS: Final = 500
"""Time between a search's reports."""

TAIL_INTERVAL_MS: Final = 250
"""Time between a tail's events."""

TAIL_MESSAGES_MAX: Final = 100
"""Messages of one event of a tail: more cannot be read by people. Older ones are left out and counted."""

STREAM_EVENTS_MAX: Final = 32
"""Events that wait for a slow browser. Then the producer of a stream waits, or leaves out."""

PRODUCED_MAX_BYTES: Final = 1 << 20
"""Longest key and value together that can be produced from the console."""

PRODUCED_COPIES_MAX: Final = 1_000
"""How often one request may produce the same record."""

PROBLEMS_MAX: Final = 100
"""Problems told by the overview."""

CONSUMERS_ASKED_MAX: Final = 200
"""Groups that are asked who consumes a topic."""

LAG_INTERVAL_MS: Final = 10_000
LAG_KEPT_MS: Final = 3_600_000
LAG_GROUPS_MAX: Final = 500
LAG_SERIES_MAX: Final = 2_000
"""Lag is kept for so long, of so many groups, and of so many partitions of all together: 360 points of 16 bytes each,
12 MB at most. Beyond it the sums of groups are kept alone."""

LAG_IDLE_MS: Final = 300_000
"""Lag is no longer asked for when nobody has used the console for so long: a forgotten tab costs, no tab does not."""

LIVE_INTERVAL_MS: Final = 1_000
LIVE_PAST: Final = 300
"""Live figures: an event a second, and how many are kept for who opens the page."""

LIVE_TOPICS_MAX: Final = 10
"""Busiest topics in an event."""

LIVE_OFFSETS_PARTITIONS_MAX: Final = 2_000
"""Partitions whose ends are asked each second where there are no metrics. Of more, the first so many."""

LIVE_PLACES_KEPT_MS: Final = 10_000
"""How long the list of these partitions is used again."""

OPEN_TRANSACTIONS_PARTITIONS_MAX: Final = 5_000
"""Partitions that are asked for open transactions."""

LARGEST_PARTITIONS_MAX: Final = 50
"""Partitions told of one log directory."""

PROFILE_SECONDS_MAX: Final = 60
FLAME_NODES_MAX: Final = 5_000
"""Nodes of a flame graph; smaller ones are joined, as nobody can see them."""

SCHEMAS_MAX: Final = 1_000
"""Schemas that are kept. Then the oldest is forgotten."""

SCHEMA_WAIT_S: Final = 3.0
"""How long a schema registry may take to answer; without an answer the bytes are shown."""

SCHEMA_RETRY_MS: Final = 30_000
"""How long a schema that could not be had is not asked for again."""

FIGURES_WAIT_S: Final = 5.0
"""How long a broker may take to tell its metrics."""

FIGURES_MAX_BYTES: Final = 64 << 20
"""Longest page of metrics that is read."""

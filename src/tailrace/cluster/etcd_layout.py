"""The keys of one cluster in etcd, and what stands in them. `docs/formats/metadata.md` says the same for people.

    <prefix>/version                       how many batches were appended, a decimal
    <prefix>/batches/<version, 16 hex>     one batch
    <prefix>/snapshot                      JSON {"version": …, "chunks": …}: what replaces the batches up to it
    <prefix>/snapshots/<version>/<chunk>   its records, in pieces of SNAPSHOT_CHUNK_RECORDS
    <prefix>/leases/<name>                 who holds it; goes with its etcd lease
                                           HOLDER, or for a short one HOLDER;short, and HOLDER;short;ending

A value of records is the token of who wrote it, a line feed, and the text of `records.encode_records`, which is
deflated (zlib) above DEFLATED_FROM_BYTES: etcd takes requests up to 1.5 MiB, in which the gateway sees base64.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from tailrace.base.errors import TailraceError
from tailrace.cluster.records import Record, decode_records, encode_records

DEFLATED_FROM_BYTES: Final = 4096
VALUE_MAX_BYTES: Final = 1024 * 1024
"""Longest value that is written, well below etcd's bound for a request (`--max-request-bytes`, 1.5 MiB)."""
TEXT_MAX_BYTES: Final = 64 * 1024 * 1024
"""Longest text that is inflated: what is longer was not written by a broker."""
SNAPSHOT_CHUNK_RECORDS: Final = 5000
_LINE_FEED: Final = b"\n"
_DEFLATED: Final = 0x78
"""First byte of what zlib writes; a JSON array begins with a bracket."""


class LeaseState(Enum):
    """What stands beside the holder of a lease."""

    PLAIN = b""
    """It ends when etcd says so."""
    SHORT = b";short"
    """It ends sooner, when a broker finds that it was not renewed."""
    ENDING = b";short;ending"
    """A broker is about to find that. Its holder has to take it anew."""


def lease_value(holder: str, *, is_short: bool, is_ending: bool = False) -> bytes:
    """What stands in the key of a lease."""
    state = LeaseState.ENDING if is_ending else LeaseState.SHORT if is_short else LeaseState.PLAIN
    return holder.encode() + state.value


def lease_values(holder: str) -> list[bytes]:
    """Everything that can stand there while it is `holder`'s."""
    return [holder.encode() + state.value for state in LeaseState]


def parse_lease_value(value: bytes) -> tuple[str, LeaseState]:
    """Who holds a lease, and how. What a later version adds counts as plain."""
    holder, mark, rest = value.partition(b";")
    states = [state for state in LeaseState if state.value == mark + rest]
    return holder.decode(), states[0] if states else LeaseState.PLAIN


class BatchTooLarge(TailraceError):
    """A change of the metadata does not fit into one request to etcd."""


class Layout(NamedTuple):
    """Keys under one prefix."""

    prefix: str

    @property
    def root(self) -> bytes:
        """What every key of the cluster begins with."""
        return f"{self.prefix}/".encode()

    @property
    def version(self) -> bytes:
        return self.root + b"version"

    @property
    def snapshot(self) -> bytes:
        return self.root + b"snapshot"

    @property
    def batches(self) -> bytes:
        return self.root + b"batches/"

    @property
    def leases(self) -> bytes:
        return self.root + b"leases/"

    def batch(self, version: int) -> bytes:
        return self.batches + b"%016x" % version

    def version_of(self, batch_key: bytes) -> int:
        """The version in the key of a batch."""
        return int(batch_key[len(self.batches) :], 16)

    def lease(self, name: str) -> bytes:
        return self.leases + name.encode()

    def chunks(self, version: int) -> bytes:
        """What the keys of a snapshot's chunks begin with."""
        return self.root + b"snapshots/%016x/" % version

    def chunk(self, version: int, index: int) -> bytes:
        return self.chunks(version) + b"%08x" % index


def encode_value(token: str, records: Sequence[Record]) -> bytes:
    """A value of records. Raises BatchTooLarge."""
    text = encode_records(records).encode()
    body = zlib.compress(text, 6) if len(text) > DEFLATED_FROM_BYTES else text
    if len(body) > VALUE_MAX_BYTES or len(text) > TEXT_MAX_BYTES:
        raise BatchTooLarge(f"a change of {len(records)} records, {len(body)} bytes, is too large for etcd")
    return token.encode() + _LINE_FEED + body


def token_of(value: bytes) -> str:
    """Who wrote a value of records."""
    return value.partition(_LINE_FEED)[0].decode()


def decode_value(value: bytes) -> list[Record]:
    """The records of a value. TailraceError for what this version does not know or was not written by a broker."""
    body = value.partition(_LINE_FEED)[2]
    try:
        if body[:1] == bytes([_DEFLATED]):
            inflater = zlib.decompressobj()
            body = inflater.decompress(body, TEXT_MAX_BYTES)
            if inflater.unconsumed_tail:
                raise ValueError(f"more than {TEXT_MAX_BYTES} bytes")
        return decode_records(body.decode())
    except (ValueError, zlib.error) as error:
        raise TailraceError(f"the metadata in etcd cannot be read: {error}") from error

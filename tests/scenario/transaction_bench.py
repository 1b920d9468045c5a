"""A broker without sockets for the traces of transactions: real logs and coordinators, requests in their wire form.

Its logs lie on three disks that can be told to fail: `__consumer_offsets-0` on the first, `__transaction_state-0` on
the second, and what is made after them on the third, the first, and so on.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from tests.support.breakable_disk import BreakableDisk
from tests.unit.broker.broker_bench import Bench

from tailrace.base.pending import Pending
from tailrace.base.rand import SeededRandom
from tailrace.broker.services import CloseConnection
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.settings import BrokerSettings
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import (
    decode_request,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
)

SETTINGS = {"offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1"}


class TransactionBench:
    """One broker, and its next lives."""

    def __init__(self, directory: Path, **settings: str) -> None:
        """`settings`: Kafka's names with underscores, beside SETTINGS."""
        self.disk = BreakableDisk()
        self._settings = SETTINGS | {name.replace("_", "."): value for name, value in settings.items()}
        self._directories = [directory / str(number) for number in range(3)]
        self.bench = Bench(*self._directories, settings=self._settings, disk=self.disk)
        for topic in ("__consumer_offsets", "__transaction_state"):
            self.bench.services.auto_create(topic)

    def restart(self) -> None:
        """The process is killed and started again; the clock goes on."""
        old = self.bench
        old.logs.abandon()
        metadata = Metadata(old.metadata._store, 1, BrokerSettings(self._settings), SeededRandom(8))
        self.bench = Bench(*self._directories, settings=self._settings, disk=self.disk, metadata=metadata)
        self.bench.clock.advance(old.clock.wall_ms() - self.bench.clock.wall_ms())
        self.bench.advance(0)

    def ask(self, key: ApiKey, version: int, request: Any) -> Any:
        """The answer, after its way over the wire and back; None when there is none yet."""
        found = api(key)
        assert found is not None
        frame = bytearray(encode_request(found, version, 5, "trace", request))[4:]
        header = decode_request_header(memoryview(frame))
        _, received = decode_request(found, header, memoryview(frame))
        handler = import_module(f"tailrace.broker.handlers.{key.name.lower()}")
        try:
            answer = handler.handle(self.bench.services, self.bench.context(key, version), received)
        except CloseConnection:
            return None
        if isinstance(answer, Pending):
            waited = 0
            while not answer.done and waited < 1000:
                self.bench.advance(10)
                waited += 10
            answer = answer.value
        if key == ApiKey.FETCH:
            return answer
        sent = encode_response(found, version, 5, answer)
        return decode_response(found, version, memoryview(sent)[4:])[1]

"""A whole broker on a disk that does not answer: who reads from memory never notices."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.served import RawClient
from node.test_serve import create, produce
from support.cold_cache import ColdCache
from tailrace.net.loop import new_event_loop
from tailrace.node.server import Server, ServerConfig
from tailrace.records.batch import iter_whole_batches
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic

VALUE = b"v" * 300_000
COUNT = 12


class HeldBroker:
    """A broker in a thread of this process, on a page cache that the test empties."""

    def __init__(self, data_dir: Path, settings: dict[str, str] | None = None) -> None:
        self.cache = ColdCache()
        self._settings = {"http.listen": "", "log.segment.bytes": "1048576", **(settings or {})}
        self.data_dir = data_dir
        self.address = ("", 0)
        self._started = threading.Event()
        self._loop = new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self._thread.start()
        assert self._started.wait(20), "the broker did not start"

    async def _serve(self) -> None:
        server = Server(ServerConfig("127.0.0.1:0", self.data_dir, self._settings), self.cache)
        served = await server.start()
        self.address = (served.host, served.port)
        self._started.set()
        await self._over.wait()
        await server.stop()

    def stop(self) -> None:
        self.cache.release()
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()

    def make_cold(self, topic: str) -> None:
        """Nothing of the topic is in memory but its active segment."""
        logs = sorted((self.data_dir / f"{topic}-0").glob("*.log"))
        assert len(logs) > 3
        for path in logs[:-1]:
            self.cache.evict(path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[HeldBroker]:
    made = HeldBroker(tmp_path)
    with RawClient(made.address) as client:
        for topic in ("cold", "hot"):
            create(client, topic)
        for _ in range(COUNT):
            produce(client, "cold", VALUE)
    made.make_cold("cold")
    yield made
    made.stop()


def ask(topic: str, offset: int = 0) -> FetchRequest:
    partition = FetchPartition(0, fetch_offset=offset, partition_max_bytes=2_000_000)
    topics = [FetchTopic(topic, partitions=[partition])]
    return FetchRequest(max_wait_ms=10_000, min_bytes=1, max_bytes=2_000_000, session_epoch=-1, topics=topics)


def values(response: FetchResponse) -> list[bytes | None]:
    data = response.responses[0].partitions[0]
    assert data.error_code == 0
    raw = memoryview(bytearray(data.records or b""))
    return [record.value for batch in iter_whole_batches(raw) for record in batch.records()]


def test_hot_clients_go_on_while_the_disk_hangs(broker: HeldBroker) -> None:
    broker.cache.hold()
    with RawClient(broker.address) as cold, RawClient(broker.address) as asking, RawClient(broker.address) as hot:
        cold.send(ApiKey.FETCH, 12, ask("cold"))
        topics = [ListOffsetsTopic("cold", [ListOffsetsPartition(0, -1, 1)])]
        asking.send(ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest(-1, 0, topics))
        while len(broker.cache.loads) < 2:
            threading.Event().wait(0.001)
        for index in range(50):
            assert produce(hot, "hot", b"%d" % index) == index
            assert values(hot.ask(ApiKey.FETCH, 12, ask("hot", index))) == [b"%d" % index]
        assert values(hot.ask(ApiKey.FETCH, 12, ask("cold", COUNT - 1))) == [VALUE], "the newest are in memory"
        cold.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            cold.socket.recv(1)
        cold.socket.setblocking(True)
        broker.cache.release()
        assert cold.receive(ApiKey.FETCH, 12) is not None
        assert asking.receive(ApiKey.LIST_OFFSETS, 7)[1].topics[0].partitions[0].offset == 0


def test_a_consumer_that_catches_up_gets_every_record_and_is_read_ahead_of(broker: HeldBroker) -> None:
    seen = 0
    with RawClient(broker.address) as client:
        while seen < COUNT:
            found = values(client.ask(ApiKey.FETCH, 12, ask("cold", seen)))
            assert found and set(found) == {VALUE}
            seen += len(found)
    assert seen == COUNT and broker.cache.loads


def test_answers_keep_their_order_behind_a_cold_one(broker: HeldBroker) -> None:
    broker.cache.hold()
    with RawClient(broker.address) as client:
        produce(client, "hot", b"h")
        sent = [client.send(ApiKey.FETCH, 12, ask(topic)) for topic in ("cold", "hot", "cold", "hot")]
        broker.cache.release()
        answers = [client.receive(ApiKey.FETCH, 12) for _ in sent]
    assert [correlation_id for correlation_id, _ in answers] == sent
    assert [values(answer)[0] for _, answer in answers] == [VALUE, b"h", VALUE, b"h"]


def test_a_client_that_leaves_while_its_records_are_loaded_leaves_nothing(broker: HeldBroker) -> None:
    broker.cache.hold()
    for _ in range(3):
        with RawClient(broker.address) as client:
            client.send(ApiKey.FETCH, 12, ask("cold"))
            before = len(broker.cache.loads)
            while len(broker.cache.loads) == before and before < 1:
                threading.Event().wait(0.001)
    broker.cache.release()
    with RawClient(broker.address) as client:
        assert set(values(client.ask(ApiKey.FETCH, 12, ask("cold")))) == {VALUE}

"""Who looks: where partitions start and end, what is committed, and at the end, everything that is there."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.history.model import Bounds, Committed, DeleteRecords, Key, Outcome, Read
from tests.history.process import Process, Recorder, Run
from tests.history.readers import records_of
from tests.history.topics import COMMON, KEYS, SHORT_TIMEOUT_S, TIMEOUT_S
from tests.history.view import FINAL

STABLE_TIMEOUT_S = 5.0
"""After twice the time that a transaction may last, the coordinator has by then aborted all that nobody ends."""


class Observer:
    """Asks where partitions start and end, what is committed, and reads whole partitions."""

    def __init__(self, address: str, recorder: Recorder, process: str) -> None:
        self._config = {**COMMON, "bootstrap.servers": address}
        self._recorder = recorder
        self._process = process
        self._admin = AdminClient(self._config)
        self._reading = {
            is_committed: self._new_consumer("observer", is_committed=is_committed) for is_committed in (True, False)
        }

    def _new_consumer(self, group: str, *, is_committed: bool = True) -> Consumer:
        level = "read_committed" if is_committed else "read_uncommitted"
        reading = {"enable.auto.commit": False, "fetch.wait.max.ms": 50, "enable.partition.eof": True}
        return Consumer({**self._config, **reading, "group.id": group, "isolation.level": level})

    def bounds(self, key: Key, timeout_s: float = SHORT_TIMEOUT_S) -> Bounds:
        """Note where the partition starts and ends. Raises KafkaException."""
        invoked = time.monotonic()
        # cached=False asks the broker; the stable end first, so that what it must not pass is of then or later.
        _, stable = self._reading[True].get_watermark_offsets(TopicPartition(*key), timeout_s, cached=False)
        low, high = self._reading[False].get_watermark_offsets(TopicPartition(*key), timeout_s, cached=False)
        found = Bounds(key, low, high, stable)
        self._recorder.add(self._process, [found], Outcome.OK, invoked)
        return found

    def delete_before(self, key: Key, offset: int) -> None:
        """Delete records, and note how it went."""
        invoked = time.monotonic()
        step = DeleteRecords(key, offset)
        future = self._admin.delete_records([TopicPartition(*key, offset)], request_timeout=SHORT_TIMEOUT_S)
        try:
            for each in future.values():
                each.result(SHORT_TIMEOUT_S + 1)
        except KafkaException as error:
            self._recorder.add(self._process, [step], Outcome.INFO, invoked, str(error))
        else:
            self._recorder.add(self._process, [step], Outcome.OK, invoked)

    def committed(self, group: str, timeout_s: float = TIMEOUT_S) -> None:
        """Note what a group has committed. Raises KafkaException."""
        consumer = self._new_consumer(group)
        try:
            invoked = time.monotonic()
            found = consumer.committed([TopicPartition(*key) for key in KEYS], timeout_s)
            steps = [Committed(group, Key(each.topic, each.partition), max(each.offset, -1)) for each in found]
            self._recorder.add(self._process, steps, Outcome.OK, invoked)
        finally:
            consumer.close()

    def wait_stable(self, transaction_timeout_ms: int) -> None:
        """Wait until no transaction is open, and note it; for as long as the coordinator may take, and no longer."""
        deadline = time.monotonic() + 2 * transaction_timeout_ms / 1000 + STABLE_TIMEOUT_S
        for key in KEYS:
            found = self._bounds_at_last(key)
            while found.stable_end != found.log_end and time.monotonic() < deadline:
                time.sleep(0.1)
                found = self._bounds_at_last(key)
            self._recorder.add(FINAL, [found], Outcome.OK, time.monotonic())

    def _bounds_at_last(self, key: Key) -> Bounds:
        """The bounds once the broker tells them: it may lead nothing yet just after a start. Raises KafkaException."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return self.bounds(key, TIMEOUT_S)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def read_all(self, *, is_committed: bool) -> None:
        """Read every partition from its start to its end, as the last word on it."""
        consumer = self._new_consumer("final", is_committed=is_committed)
        consumer.assign([TopicPartition(*key, OFFSET_BEGINNING) for key in KEYS])
        invoked = time.monotonic()
        found: dict[Key, list[tuple[int, str]]] = {key: [] for key in KEYS}
        left = set(KEYS)
        while left and time.monotonic() < invoked + TIMEOUT_S:
            for message in consumer.consume(2000, 0.05):
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    left.discard(Key(message.topic(), message.partition()))
                for key, offset, name in records_of([message]):
                    found[key].append((offset, name))
        consumer.close()
        if left:
            self._recorder.fatal.append(f"{sorted(left)} were not read to their ends in {TIMEOUT_S} s")
        steps = [Read(key, tuple(records), is_committed) for key, records in found.items()]
        self._recorder.add(FINAL, steps, Outcome.OK, invoked)

    def close(self) -> None:
        for consumer in self._reading.values():
            consumer.close()


class AdminProcess(Process):
    """Trims the topic that is trimmed, and looks where partitions start and end and what is committed."""

    def __init__(self, run: Run, groups: Sequence[str]) -> None:
        super().__init__("admin", run)
        self._observer = Observer(run.address, run.recorder, self.name)
        self._groups = groups

    def work(self) -> None:
        trimmed = Key("trimmed", 0)
        while not self.stopped.wait(self.random.random() / 2):
            group = self.random.choice(self._groups)
            try:
                for key in KEYS:
                    end = self._observer.bounds(key).log_end
                    if key == trimmed and end > 20:
                        self._observer.delete_before(key, self.random.randrange(end - 20, end))
                self._observer.committed(group, SHORT_TIMEOUT_S)
            except KafkaException:
                continue  # the broker is not there, or does not answer
        self._observer.close()

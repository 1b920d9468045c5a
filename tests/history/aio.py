"""The clients of aiokafka in one loop each: an idempotent producer, a member of a group, transactions, a copier.

The copier is assigned its partitions and goes back to what is committed by hand: aiokafka says no generation when it
commits in a transaction, so with a group alone nothing would keep it from copying what a rebalance gave to another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from tests.history.model import Commit, Incarnation, Key, Op, Outcome, Read, Reposition, Send
from tests.history.process import Process, Run
from tests.history.readers import ends_of, reading_steps
from tests.history.topics import (
    COMPACTED_KEY_COUNT,
    LEDGER,
    SENT_TO,
    SESSION_TIMEOUT_MS,
    TIMEOUT_S,
    TOPICS,
    decode_value,
    encode_value,
)

UNANSWERED_MAX = 100
TRANSACTION_RECORDS = 6
END_TIMEOUT_S = 15.0
ERRORS = (KafkaError, TimeoutError, asyncio.TimeoutError, OSError)
COMMON: dict[str, Any] = {"retry_backoff_ms": 20, "request_timeout_ms": 20_000, "metadata_max_age_ms": 2_000}


class AioProcess(Process):
    """A process whose work is a coroutine in a loop of its own."""

    def work(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        # aiokafka leaves failed futures of its own behind; what it tells us comes as exceptions.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await self.work_async()

    async def work_async(self) -> None:
        raise NotImplementedError

    def now(self) -> float:
        return time.monotonic()


class AioSender(AioProcess):
    """An idempotent producer."""

    begins_connected = True

    async def work_async(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.address, enable_idempotence=True, linger_ms=2, **COMMON, client_id=self.name
        )
        await producer.start()
        self.begun.set()
        pending: set[asyncio.Task[None]] = set()
        number = 0
        while not self.stopped.is_set():
            key = self.random.choice(SENT_TO)
            record_key = f"k{self.random.randrange(COMPACTED_KEY_COUNT)}"
            invoked = self.now()
            name = f"{self.name}.{number}"
            number += 1
            try:
                future = await producer.send(key.topic, encode_value(name), record_key.encode(), key.partition)
            except ERRORS as error:
                self.recorder.add_refusal(self.name, Send(key, name), invoked, repr(error))
                continue
            task = asyncio.ensure_future(self._note(future, Send(key, name, None, record_key), invoked))
            pending.add(task)
            task.add_done_callback(pending.discard)
            await asyncio.sleep(self.random.random() * 0.02)
            while len(pending) > UNANSWERED_MAX and not self.stopped.is_set():
                await asyncio.sleep(0.02)
        if pending:
            _, late = await asyncio.wait(pending, timeout=TIMEOUT_S)
            if late:
                self.recorder.fatal.append(f"{self.name}: {len(late)} records were neither acknowledged nor refused")
        await leave(producer)

    async def _note(self, future: asyncio.Future[Any], send: Send, invoked: float) -> None:
        try:
            told = await future
        except ERRORS as error:
            self.recorder.add_refusal(self.name, send, invoked, repr(error))
        else:
            offset = told.offset if told.offset >= 0 else None
            self.recorder.add(self.name, [send._replace(offset=offset)], Outcome.OK, invoked)


class AioGroupReader(AioProcess, ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of a group."""

    begins_connected = True

    def __init__(self, name: str, run: Run) -> None:
        super().__init__(name, run)
        self._moved: set[Key] = set()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._moved.update(Key(*each) for each in revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._moved.update(Key(*each) for each in assigned)

    async def work_async(self) -> None:
        consumer = new_consumer(self.address, self.name)
        consumer.subscribe(list(TOPICS), listener=self)
        await consumer.start()
        self.begun.set()
        while not self.stopped.is_set():
            invoked = self.now()
            try:
                records = await poll(consumer, 100)
                if not records and not self._moved:
                    continue
                moved, self._moved = self._moved, set()
                self.recorder.add(self.name, reading_steps(records, moved), Outcome.OK, invoked)
                await self._commit(
                    consumer, {key: offset for key, offset in ends_of(records).items() if key not in moved}
                )
            except ERRORS:
                await asyncio.sleep(0.05)
        await leave(consumer)

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[Key, int]) -> None:
        if not offsets:
            return
        invoked = self.now()
        steps = [Commit(self.name, key, offset) for key, offset in offsets.items()]
        try:
            await consumer.commit({TopicPartition(*key): offset for key, offset in offsets.items()})
        except ERRORS as error:
            self.recorder.add(self.name, steps, Outcome.INFO, invoked, repr(error))
        else:
            self.recorder.add(self.name, steps, Outcome.OK, invoked)


class AioTransactional(AioProcess):
    """Producers of one transactional id, one after the other; any error makes the next."""

    def __init__(self, name: str, run: Run) -> None:
        super().__init__(name, run)
        self._incarnations = 0
        self._values = 0
        self._transaction_timeout_ms = run.transaction_timeout_ms
        self._end_timeout_s = run.end_timeout_s(END_TIMEOUT_S)

    async def work_async(self) -> None:
        while not self.stopped.is_set():
            producer = AIOKafkaProducer(
                bootstrap_servers=self.address,
                transactional_id=self.name,
                transaction_timeout_ms=self._transaction_timeout_ms,
                **COMMON,
            )
            try:
                own = await self._begin(producer)
                await self.live(producer, own)
            except ERRORS:
                await asyncio.sleep(0.05)
            finally:
                await leave(producer)

    async def live(self, producer: AIOKafkaProducer, own: Incarnation) -> None:
        """Until it is stopped, or an error."""
        while not self.stopped.is_set():
            keys = [self.random.choice(LEDGER) for _ in range(self.random.randint(1, TRANSACTION_RECORDS))]
            is_commit = self.random.random() < 0.75
            op = self.new_transaction(own)
            await self.transact(producer, op, [Send(key, self.new_value()) for key in keys], is_commit)

    def new_transaction(self, own: Incarnation) -> Op:
        return Op(self.name, [own], Outcome.FAIL, self.now(), is_transaction=True, decided=float("inf"))

    def new_value(self) -> str:
        self._values += 1
        return f"{self.name}.{self._values}"

    async def _begin(self, producer: AIOKafkaProducer) -> Incarnation:
        self._incarnations += 1
        own = Incarnation(self.name, self._incarnations)
        invoked = self.now()
        try:
            await asyncio.wait_for(producer.start(), self._end_timeout_s)
        except ERRORS as error:
            self.recorder.add(self.name, [own], Outcome.INFO, invoked, repr(error))
            raise
        self.recorder.add(self.name, [own], Outcome.OK, invoked)
        return own

    async def transact(
        self,
        producer: AIOKafkaProducer,
        op: Op,
        sends: Sequence[Send],
        is_commit: bool,
        offsets: tuple[str, dict[Key, int]] | None = None,
    ) -> None:
        """Send, commit the offsets of a group, end. Notes what came of it; raises what went wrong."""
        try:
            async with asyncio.timeout(self._end_timeout_s):
                await producer.begin_transaction()
                futures = [
                    await producer.send(send.key.topic, encode_value(send.value), partition=send.key.partition)
                    for send in sends
                ]
                if offsets is not None:
                    group, ends = offsets
                    op.steps += [Commit(group, key, offset) for key, offset in ends.items()]
                    named = {TopicPartition(*key): offset for key, offset in ends.items()}
                    await producer.send_offsets_to_transaction(named, group)
                told = await asyncio.gather(*futures)
                sends = [
                    send._replace(offset=each.offset if each.offset >= 0 else None)
                    for send, each in zip(sends, told, strict=True)
                ]
                if is_commit:
                    op.outcome, op.decided = Outcome.INFO, self.now()
                    await producer.commit_transaction()
                    op.outcome = Outcome.OK
                else:
                    await producer.abort_transaction()
        except ERRORS as error:
            op.error = repr(error)
            raise
        finally:
            op.steps += sends
            self.recorder.add_transaction(op)


class AioCopier(AioTransactional):
    """Copies the ledger, as `transactional.Copier` does."""

    async def live(self, producer: AIOKafkaProducer, own: Incarnation) -> None:
        group = "copiers"
        consumer = new_consumer(self.address, group)
        consumer.assign([TopicPartition(*key) for key in LEDGER])
        try:
            await asyncio.wait_for(consumer.start(), END_TIMEOUT_S)
            await self._rewind(consumer)
            while not self.stopped.is_set():
                is_commit = self.random.random() < 0.85
                op = self.new_transaction(own)
                records = await poll(consumer, TRANSACTION_RECORDS)
                if not records:
                    continue
                ends = ends_of(records)
                op.steps += [Read(key, tuple((o, n) for k, o, n in records if k == key)) for key in ends]
                sends = [
                    Send(Key("copied", key.partition), self.new_value(), origin=origin) for key, _, origin in records
                ]
                await self.transact(producer, op, sends, is_commit, (group, ends))
                if not is_commit:
                    await self._rewind(consumer)
        finally:
            await leave(consumer)

    async def _rewind(self, consumer: AIOKafkaConsumer) -> None:
        self.recorder.add(self.name, [Reposition(tuple(LEDGER))], Outcome.OK, self.now())
        for key in LEDGER:
            partition = TopicPartition(*key)
            consumer.seek(partition, await asyncio.wait_for(consumer.committed(partition), END_TIMEOUT_S) or 0)


def new_consumer(address: str, group: str) -> AIOKafkaConsumer:
    """A read_committed consumer that commits only when it is told to."""
    return AIOKafkaConsumer(
        bootstrap_servers=address,
        group_id=group,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=300,
        fetch_max_wait_ms=50,
        **COMMON,
    )


async def poll(consumer: AIOKafkaConsumer, count: int) -> list[tuple[Key, int, str]]:
    """(partition, offset, name) of each record, in order."""
    batches = await consumer.getmany(timeout_ms=100, max_records=count)
    return [
        (Key(*partition), message.offset, decode_value(message.value))
        for partition, messages in batches.items()
        for message in messages
    ]


async def leave(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop a client that may have failed; it is of no more use, whatever happens."""
    try:
        await asyncio.wait_for(client.stop(), END_TIMEOUT_S)
    except (*ERRORS, asyncio.CancelledError):  # its own tasks, that it cancels and then waits for
        pass

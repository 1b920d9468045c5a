"""The language of `transactions/*.txt`: one command a line, what comes of it below, a blank line between.

init T                        InitProducerId; T is the transactional id
----
T init: ok P0/0               producer P0, epoch 0

init T as=P0/0                with the id and epoch of a producer that goes on
add T t-0 t-1                 AddPartitionsToTxn, v3       (verify T t-0: as a partition's leader asks)
write T t-0 a b v=12          Produce; v12 adds the partition itself. seq=, epoch=, id= say something wrong
group T g                     AddOffsetsToTxn
offsets T g t-0=5             TxnOffsetCommit, v=3 or v=5
end T commit v=5              EndTxn
read t-0                      what read_committed gets, and where it ends
committed g t-0               OffsetFetch, stable or not
describe T, list, markers T t-0 abort, advance MS, expire, restart, log, delete-topic t
disk full t-0                 no write succeeds on the disk that t-0 lies on   (disk breaks t-0: nothing at all does)
disk forgets t-0              no flush succeeds there
disk works                    all of them work again, and have room
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Callable
from typing import Any

from tests.scenario.transaction_bench import TransactionBench
from tests.support.breakable_disk import GROWS

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.transactions.records import read_record
from tailrace.node.cleaning import Cleaner
from tailrace.node.coordinator_log import CoordinatorLog
from tailrace.records.batch import iter_whole_batches
from tailrace.records.builder import build_batch
from tailrace.records.control import end_txn_marker
from tailrace.records.record import Record
from tailrace.replication.partition import IsolationLevel
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from tailrace.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from tailrace.wire.messages.describe_transactions import DescribeTransactionsRequest
from tailrace.wire.messages.end_txn import EndTxnRequest
from tailrace.wire.messages.init_producer_id import InitProducerIdRequest
from tailrace.wire.messages.list_transactions import ListTransactionsRequest
from tailrace.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tailrace.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tailrace.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)

Options = dict[str, str]


class TransactionTrace:
    """Interprets commands against a bench; remembers who each transactional id's producer is."""

    def __init__(self, bench: TransactionBench) -> None:
        self.bench = bench
        self.producers: dict[str, tuple[int, int]] = {}
        self.sequences: dict[tuple[str, str], int] = {}
        self._seen = 0

    def run(self, line: str) -> list[str]:
        """Do one command; what happened, a line each."""
        word, *rest = shlex.split(line)
        options = dict(part.split("=", 1) for part in rest if "=" in part and "-" not in part.split("=")[0])
        positional = [part for part in rest if not ("=" in part and "-" not in part.split("=")[0])]
        command: Callable[[list[str], Options], str | list[str] | None] = getattr(self, f"do_{word.replace('-', '_')}")
        happened = command(positional, options)
        if happened is None:
            return []
        if isinstance(happened, list):
            return happened
        return [f"{positional[0] if positional else '-'} {word}: {happened}"]

    # Producers

    def _who(self, name: str, options: Options) -> tuple[str, int, int]:
        known = self.producers.get(name, (9_999, 0))
        producer_id = int(options.get("id", known[0]))
        return name, producer_id, known[1] + int(options.get("epoch", "0"))

    def _take(self, name: str, producer_id: int, epoch: int) -> str:
        if (producer_id, epoch) != self.producers.get(name):
            self.sequences = {key: value for key, value in self.sequences.items() if key[0] != name}
        self.producers[name] = producer_id, epoch
        return f"P{producer_id}/{epoch}"

    def do_init(self, args: list[str], options: Options) -> str:
        expected = (-1, -1)
        if "as" in options:
            named, epoch = options["as"][1:].split("/")
            expected = int(named), int(epoch)
        request = InitProducerIdRequest(args[0], int(options.get("timeout", "60000")), *expected)
        answer = self.bench.ask(ApiKey.INIT_PRODUCER_ID, int(options.get("v", "4")), request)
        if answer.error_code:
            return code(answer.error_code)
        return "ok " + self._take(args[0], answer.producer_id, answer.producer_epoch)

    def do_exhaust(self, args: list[str], options: Options) -> None:
        """Use up the producer's epochs: begin anew until `left` are left."""
        last = 32_766 - int(options.get("left", "0"))
        coordinator = self.bench.bench.services.transactions
        (shard,) = coordinator._shards.values()
        shard.transactions[args[0]] = shard.transactions[args[0]]._replace(producer_epoch=last)
        self._take(args[0], self.producers[args[0]][0], last)

    def do_add(self, args: list[str], options: Options, *, verify: bool = False) -> str:
        name, producer_id, epoch = self._who(args[0], options)
        topics = _topics(args[1:])
        if verify:
            asked = [AddPartitionsToTxnTransaction(name, producer_id, epoch, True, topics)]
            answer = self.bench.ask(ApiKey.ADD_PARTITIONS_TO_TXN, 5, AddPartitionsToTxnRequest(asked))
            results = answer.results_by_transaction[0].topic_results
        else:
            request = AddPartitionsToTxnRequest([], name, producer_id, epoch, topics)
            answer = self.bench.ask(ApiKey.ADD_PARTITIONS_TO_TXN, int(options.get("v", "3")), request)
            results = answer.results_by_topic_v3_and_below
        return " ".join(
            f"{topic.name}-{each.partition_index}={code(each.partition_error_code)}"
            for topic in results
            for each in topic.results_by_partition
        )

    def do_verify(self, args: list[str], options: Options) -> str:
        return self.do_add(args, options, verify=True)

    def do_write(self, args: list[str], options: Options) -> str:
        name, place, *values = args
        _, producer_id, epoch = self._who(name, options)
        sequence = int(options.get("seq", self.sequences.get((name, place), 0)))
        topic, index = place.rsplit("-", 1)
        records = build_batch(
            [Record(at, self.bench.bench.clock.wall_ms(), None, value.encode()) for at, value in enumerate(values)],
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
            is_transactional=options.get("outside") is None,
        )
        data = [TopicProduceData(topic, partition_data=[PartitionProduceData(int(index), records)])]
        version = int(options.get("v", "9"))
        answer = self.bench.ask(ApiKey.PRODUCE, version, ProduceRequest(name, -1, 1000, data))
        (found,) = answer.responses[0].partition_responses
        if found.error_code:
            return code(found.error_code)
        self.sequences[name, place] = sequence + len(values)
        return f"ok at {found.base_offset}"

    def do_group(self, args: list[str], options: Options) -> str:
        name, producer_id, epoch = self._who(args[0], options)
        request = AddOffsetsToTxnRequest(name, producer_id, epoch, args[1])
        return code(self.bench.ask(ApiKey.ADD_OFFSETS_TO_TXN, 3, request).error_code)

    def do_offsets(self, args: list[str], options: Options) -> str:
        name, producer_id, epoch = self._who(args[0], options)
        topics = []
        for part in args[2:]:
            place, offset = part.split("=")
            topic, index = place.rsplit("-", 1)
            partition = TxnOffsetCommitRequestPartition(int(index), int(offset), -1, "")
            topics.append(TxnOffsetCommitRequestTopic(topic, partitions=[partition]))
        request = TxnOffsetCommitRequest(name, args[1], producer_id, epoch, topics=topics)
        answer = self.bench.ask(ApiKey.TXN_OFFSET_COMMIT, int(options.get("v", "3")), request)
        return " ".join(
            f"{topic.name}-{each.partition_index}={code(each.error_code)}"
            for topic in answer.topics
            for each in topic.partitions
        )

    def do_end(self, args: list[str], options: Options) -> str:
        name, producer_id, epoch = self._who(args[0], options)
        version = int(options.get("v", "3"))
        request = EndTxnRequest(name, producer_id, epoch, args[1] == "commit")
        answer = self.bench.ask(ApiKey.END_TXN, version, request)
        if answer.error_code:
            return code(answer.error_code)
        if version < 5:
            return "ok"
        return "ok " + self._take(name, answer.producer_id, answer.producer_epoch)

    def do_markers(self, args: list[str], options: Options) -> str:
        _, producer_id, epoch = self._who(args[0], options)
        topic, index = args[1].rsplit("-", 1)
        topics = [WritableTxnMarkerTopic(topic, [int(index)])]
        marker = WritableTxnMarker(
            producer_id, epoch, args[2] == "commit", topics, int(options.get("coordinator", "0"))
        )
        answer = self.bench.ask(ApiKey.WRITE_TXN_MARKERS, 1, WriteTxnMarkersRequest([marker]))
        return code(answer.markers[0].topics[0].partitions[0].error_code)

    # Looking

    def do_read(self, args: list[str], options: Options) -> str:
        """What a reader of committed records has in the end: batches below the LSO, without the aborted ones."""
        topic, index = args[0].rsplit("-", 1)
        try:
            partition = self.bench.bench.partitions.of(topic, int(index))
        except KafkaError as error:
            return error.code.name
        end = partition.last_stable_offset
        aborted = partition.log.aborted_transactions(0, end)
        shown: list[str] = []
        try:
            found = partition.read(
                partition.log_start_offset, 1 << 20, IsolationLevel.READ_COMMITTED, min_one_batch=True
            )
            data = partition.log.read_bytes(found)
        except StorageError as error:
            self.bench.bench.services.on_storage_error(error)
            return ErrorCode.KAFKA_STORAGE_ERROR.name
        for batch in iter_whole_batches(memoryview(data)):
            if batch.is_control:
                marker = end_txn_marker(batch)
                assert marker is not None
                shown.append("<commit>" if marker.is_commit else "<abort>")
            elif not any(
                each.producer_id == batch.producer_id and each.first_offset <= batch.base_offset <= each.last_offset
                for each in aborted
            ):
                shown += [(record.value or b"").decode() for record in batch.records()]
        return f"{' '.join(shown) or '-'} (stable to {end} of {partition.log_end_offset})"

    def do_committed(self, args: list[str], options: Options) -> str:
        group, *places = args
        shown = []
        for stable in (True, False):
            topics = [OffsetFetchRequestTopics(*_place(place)) for place in places]
            request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group, topics=topics)], require_stable=stable)
            answer = self.bench.ask(ApiKey.OFFSET_FETCH, 8, request)
            offsets = [
                code(each.error_code) if each.error_code else str(each.committed_offset)
                for topic in answer.groups[0].topics
                for each in topic.partitions
            ]
            shown.append(("stable " if stable else "any ") + ",".join(offsets))
        return "; ".join(shown)

    def do_describe(self, args: list[str], options: Options) -> str:
        answer = self.bench.ask(ApiKey.DESCRIBE_TRANSACTIONS, 0, DescribeTransactionsRequest(args))
        (state,) = answer.transaction_states
        if state.error_code:
            return code(state.error_code)
        places = [f"{topic.topic}-{index}" for topic in state.topics for index in topic.partitions]
        shown = f"{state.transaction_state} P{state.producer_id}/{state.producer_epoch} {' '.join(places)}"
        return shown.rstrip()

    def do_list(self, args: list[str], options: Options) -> str:
        states = [state for state in options.get("states", "").split(",") if state]
        request = ListTransactionsRequest(states, [], int(options.get("longer", "-1")), options.get("pattern"))
        answer = self.bench.ask(ApiKey.LIST_TRANSACTIONS, 2, request)
        shown = [f"{each.transactional_id}:{each.transaction_state}" for each in answer.transaction_states]
        unknown = [f"unknown {state}" for state in answer.unknown_state_filters]
        return " ".join([code(answer.error_code), *sorted(shown), *unknown])

    def do_log(self, args: list[str], options: Options) -> list[str]:
        """The records of the transaction log since the last look."""
        bench = self.bench.bench
        log = CoordinatorLog("__transaction_state", bench.partitions, bench.clock, bench.logs)
        shown = []
        for record in log.records(0):
            entry = read_record(record)  # type: ignore[arg-type]
            assert entry is not None
            known = entry.transaction
            if known is None:
                shown.append(f"{entry.transactional_id} expired")
                continue
            places = " ".join(map(str, sorted(known.partitions)))
            producer = f"P{known.producer_id}/{known.producer_epoch}"
            shown.append(f"{known.transactional_id} {known.state.title} {producer} {places}".rstrip())
        seen, self._seen = self._seen, len(shown)
        return shown[seen:]

    # The broker

    def do_disk(self, args: list[str], options: Options) -> None:
        logs, disk = self.bench.bench.logs, self.bench.disk
        if args[0] == "works":
            disk.heal()
            logs.space.check()
            return
        topic, index = args[1].rsplit("-", 1)
        path = logs.directory_of(TopicPartition(topic, int(index))).path
        if args[0] == "full":
            disk.fail(path, errno.ENOSPC, GROWS)
        elif args[0] == "forgets":
            disk.fail(path, errno.EIO, {"fsync"})
        else:
            assert args[0] == "breaks"
            disk.fail(path, errno.EIO)

    def do_topics(self, args: list[str], options: Options) -> None:
        for part in args:
            name, count = part.split(":")
            self.bench.bench.topic(name, int(count))

    def do_delete_topic(self, args: list[str], options: Options) -> None:
        self.bench.bench.delete_topic(args[0])

    def do_advance(self, args: list[str], options: Options) -> None:
        self.bench.bench.advance(int(args[0]))

    def do_expire(self, args: list[str], options: Options) -> None:
        """A week and a bit passes; ids nobody used are looked for."""
        self.bench.bench.advance(8 * 24 * 3600 * 1000)

    def do_restart(self, args: list[str], options: Options) -> None:
        self.bench.restart()

    def do_compact(self, args: list[str], options: Options) -> list[str]:
        """What the coordinators have written is compacted: entries (records and markers) before and after."""
        bench = self.bench.bench
        topics = ("__consumer_offsets", "__transaction_state")
        logs = [CoordinatorLog(topic, bench.partitions, bench.clock, bench.logs) for topic in topics]
        before = [sum(1 for _ in log.records(0)) for log in logs]
        for topic in topics:
            bench.partitions.of(topic, 0).log.roll()
        for _ in range(2):
            Cleaner(bench.logs, bench.logs._env, BrokerSettings({})).tick()
        after = [sum(1 for _ in log.records(0)) for log in logs]
        self._seen = after[1]
        return [f"{topic} {then} -> {now}" for topic, then, now in zip(topics, before, after, strict=True)]

    def do_lose_markers(self, args: list[str], options: Options) -> None:
        """Kill the broker when a Prepare record is written and no marker is: markers fail from here on."""
        self.bench.bench.services.transactions._markers._writer = _Deaf()


class _Deaf:
    """A MarkerWriter that never answers."""

    def write(self, ending: Any, partitions: Any) -> Any:
        return Pending()


def code(number: int) -> str:
    return "ok" if number == 0 else ErrorCode(number).name


def _place(text: str) -> tuple[str, Any, list[int]]:
    topic, index = text.rsplit("-", 1)
    return topic, OffsetFetchRequestTopics().topic_id, [int(index)]


def _topics(places: list[str]) -> list[AddPartitionsToTxnTopic]:
    topics: dict[str, list[int]] = {}
    for place in places:
        topic, index = place.rsplit("-", 1)
        topics.setdefault(topic, []).append(int(index))
    return [AddPartitionsToTxnTopic(topic, indexes) for topic, indexes in topics.items()]

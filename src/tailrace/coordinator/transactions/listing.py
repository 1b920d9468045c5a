"""DescribeTransactions and ListTransactions: what people see of transactional ids (KIP-664, KIP-994, KIP-1152)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tailrace.base.types import TopicPartition
from tailrace.coordinator.transactions.shard import TransactionShard
from tailrace.coordinator.transactions.transaction import Transaction


class Filters(NamedTuple):
    """Which transactional ids are asked for; what is empty, None or negative does not filter."""

    states: frozenset[str] = frozenset()
    producer_ids: frozenset[int] = frozenset()
    longer_than_ms: int = -1
    id_matches: Callable[[str], bool] | None = None

    def let_pass(self, transaction: Transaction, now_ms: int) -> bool:
        """Whether `transaction` is one of those."""
        if self.states and transaction.state.title not in self.states:
            return False
        if self.producer_ids and transaction.producer_id not in self.producer_ids:
            return False
        if self.longer_than_ms >= 0 and now_ms - transaction.start_ms <= self.longer_than_ms:
            return False
        return self.id_matches is None or self.id_matches(transaction.transactional_id)


def matching(shards: Iterable[TransactionShard], filters: Filters, now_ms: int) -> list[Transaction]:
    """The transactional ids of this coordinator that pass the filters."""
    return [
        transaction
        for shard in shards
        for transaction in shard.transactions.values()
        if filters.let_pass(transaction, now_ms)
    ]


def partitions_to_show(shard: TransactionShard, transaction: Transaction) -> list[TopicPartition]:
    """The partitions of a transaction; of one that is being ended, those without a marker."""
    return sorted(shard.unmarked.get(transaction.transactional_id, transaction.partitions))

"""Proof that a transaction's coordinator was asked about a partition, and of nothing that happened since.

Invariant: a verification belongs to one producer id and epoch, and lives from `begin` to the producer's next marker or
first batch. So an answer of the coordinator that comes after the marker it raced with is of no use (KIP-890, part 1).
With transactions v2 the marker bears a later epoch than what it ends, and what asks in that epoch outlives it: the
coordinator, which may be far away, answers when it has all markers, and not in the order in which they come here.
Source: Kafka VerificationGuard, VerificationStateEntry.
"""

from __future__ import annotations

from typing import Final, NamedTuple

VERIFICATIONS_MAX: Final = 10_000
"""Verifications a partition remembers: one a producer whose transaction is about to begin, a few hundred bytes each.
Refused ones stay until then. At it the oldest is forgotten: its producer is told INVALID_TXN_STATE and aborts."""

NONE_NEEDED: Final = 0
"""The verification of a batch whose transaction is open in the partition already."""


NO_SEQUENCE: Final = -1
"""The sequence of a batch that has none: a coordinator's."""


class _Begun(NamedTuple):
    producer_epoch: int
    number: int
    is_first_write: bool
    lowest_sequence: int


class Verifications:
    """The verifications of one partition, by producer id: one per transaction that is about to begin."""

    __slots__ = ("_begun", "_count")

    def __init__(self) -> None:
        self._begun: dict[int, _Begun] = {}
        self._count = 0

    def begin(
        self, producer_id: int, producer_epoch: int, base_sequence: int = NO_SEQUENCE, *, is_first_write: bool
    ) -> int:
        """The number of this producer's verification, never 0; one of an older epoch is void.

        `base_sequence`: of the batch that asks. `is_first_write`: the producer's request adds the partition
        (transactions v2), so it has written nothing before.
        """
        known = self._begun.get(producer_id)
        if known is None or known.producer_epoch < producer_epoch:
            self._count += 1
            known = _Begun(producer_epoch, self._count, is_first_write, base_sequence)
            self._begun[producer_id] = known
            if len(self._begun) > VERIFICATIONS_MAX:
                del self._begun[next(iter(self._begun))]
        elif base_sequence < known.lowest_sequence:
            self._begun[producer_id] = known._replace(lowest_sequence=base_sequence)
        return known.number

    def holds(self, producer_id: int, number: int) -> bool:
        """Whether that verification still lives."""
        known = self._begun.get(producer_id)
        return known is not None and known.number == number

    def is_first_write(self, producer_id: int) -> bool:
        """Whether the producer's next batch must be the first of its sequence."""
        known = self._begun.get(producer_id)
        return known is not None and known.is_first_write

    def lowest_sequence(self, producer_id: int) -> int | None:
        """The least sequence that a batch has asked with: only that one may be the first. None: nobody has."""
        known = self._begun.get(producer_id)
        return None if known is None or known.lowest_sequence == NO_SEQUENCE else known.lowest_sequence

    def end(self, producer_id: int) -> None:
        """The producer's transaction began or ended here."""
        self._begun.pop(producer_id, None)

    def end_before(self, producer_id: int, producer_epoch: int) -> None:
        """The producer's transactions of earlier epochs ended here; the next may be about to begin."""
        known = self._begun.get(producer_id)
        if known is not None and known.producer_epoch < producer_epoch:
            del self._begun[producer_id]

    def __len__(self) -> int:
        return len(self._begun)

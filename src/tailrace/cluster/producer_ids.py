"""Producer ids, handed out one by one from blocks that cost a commit each.

Invariant: no id is handed out twice, by any broker, over restarts: what is left of a block is lost with the process.
The next block is asked for before the present one ends, so that only the first id, and those after a store that
answers slowly, have to be waited for. Source: Kafka ProducerIdManager (RPCProducerIdManager).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from tailrace.base.errors import ErrorCode, KafkaError, TailraceError
from tailrace.base.pending import Pending, completed
from tailrace.cluster.controller import PRODUCER_ID_BLOCK_SIZE, decide_producer_id_block
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.proposal import Decide, Decided

PREFETCH_BELOW: Final = PRODUCER_ID_BLOCK_SIZE // 10
"""Ids left at which the next block is asked for."""

Propose: TypeAlias = Callable[[Decide[range]], Pending[range | TailraceError]]


class ProducerIds:
    """The ids of one broker."""

    def __init__(self, propose: Propose, node_id: int) -> None:
        self._propose = propose
        self._node_id = node_id
        self._ids = range(0)
        self._next_ids = range(0)
        self._asked: Pending[TailraceError | None] | None = None

    @property
    def are_ready(self) -> bool:
        """Whether there is an id to take."""
        return bool(self._ids or self._next_ids)

    def wait_ready(self) -> Pending[TailraceError | None]:
        """Completes when there is an id to take, with None; or with why no block could be had."""
        return completed(None) if self.are_ready else self._ask()

    def take(self) -> int:
        """A producer id that nobody had before. Raises COORDINATOR_LOAD_IN_PROGRESS while none is at hand."""
        if len(self._ids) + len(self._next_ids) <= PREFETCH_BELOW:
            self._ask()
        if not self._ids:
            self._ids, self._next_ids = self._next_ids, range(0)
        if not self._ids:
            raise KafkaError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, "The next producer ids are on their way.")
        producer_id = self._ids[0]
        self._ids = self._ids[1:]
        return producer_id

    def _ask(self) -> Pending[TailraceError | None]:
        """Ask for a block, unless one is on its way."""
        if self._asked is not None:
            return self._asked
        asked = self._asked = Pending()
        self._propose(self._decide).on_complete(self._on_block)
        return asked

    def _decide(self, image: MetadataImage) -> Decided[range]:
        first, records = decide_producer_id_block(image, self._node_id)
        return Decided(range(first, first + PRODUCER_ID_BLOCK_SIZE), records)

    def _on_block(self, block: range | TailraceError) -> None:
        asked, self._asked = self._asked, None
        assert asked is not None
        assert not self._next_ids, "one block at a time is asked for"
        if isinstance(block, TailraceError):
            asked.complete(block)
        else:
            self._next_ids = block
            asked.complete(None)

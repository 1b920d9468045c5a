"""ReadShareGroupState (key 84), v0: the states of partitions for those who lead them now (KIP-932)."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share_state_answers import ask_each, words
from tailrace.coordinator.share_state.ports import PartitionState
from tailrace.wire.messages.read_share_group_state import (
    PartitionResult,
    ReadShareGroupStateRequest,
    ReadShareGroupStateResponse,
    ReadStateResult,
    StateBatch,
)


def handle(
    services: Services, context: RequestContext, request: ReadShareGroupStateRequest
) -> Pending[ReadShareGroupStateResponse]:
    """Read each state, and fence the leaders before."""

    def answer(index: int, found: PartitionState | ErrorCode) -> PartitionResult:
        if isinstance(found, ErrorCode):
            return PartitionResult(index, found, words(found))
        batches = [StateBatch(*batch) for batch in found.batches]
        return PartitionResult(index, 0, None, found.state_epoch, found.start_offset, batches)

    return ask_each(
        request,
        lambda key, asked: services.share_states.read_state(key, asked.leader_epoch),
        answer,
        lambda found: ReadShareGroupStateResponse([ReadStateResult(*topic) for topic in found]),
    )

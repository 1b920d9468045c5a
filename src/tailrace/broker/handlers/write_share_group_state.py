"""WriteShareGroupState (key 85), v0-v1: what became of records, as the leaders of their partitions say (KIP-932).

Versions:  v1 how many offsets from the start offset on are done with (KIP-1226).
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share_state_answers import ask_each, words
from tailrace.coordinator.share_state.ports import SharePartitionKey, StateBatch, StateWrite
from tailrace.wire.messages.write_share_group_state import (
    PartitionData,
    PartitionResult,
    WriteShareGroupStateRequest,
    WriteShareGroupStateResponse,
    WriteStateResult,
)


def handle(
    services: Services, context: RequestContext, request: WriteShareGroupStateRequest
) -> Pending[WriteShareGroupStateResponse]:
    """Write each state."""

    def ask(key: SharePartitionKey, asked: PartitionData) -> Pending[ErrorCode | None]:
        batches = [
            StateBatch(each.first_offset, each.last_offset, each.delivery_state, each.delivery_count)
            for each in asked.state_batches
        ]
        write = StateWrite(
            asked.state_epoch, asked.leader_epoch, asked.start_offset, asked.delivery_complete_count, batches
        )
        return services.share_states.write_state(key, write)

    def answer(index: int, code: ErrorCode | None) -> PartitionResult:
        return PartitionResult(index, code or ErrorCode.NONE, words(code))

    return ask_each(
        request,
        ask,
        answer,
        lambda found: WriteShareGroupStateResponse([WriteStateResult(*topic) for topic in found]),
    )

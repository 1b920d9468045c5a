"""ReadShareGroupStateSummary (key 87), v0-v1: how far share groups have come; group coordinators ask it (KIP-932).

Versions:  v1 how many offsets from the start offset on are done with (KIP-1226).
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share_state_answers import ask_each, words
from tailrace.coordinator.share_state.ports import StateSummary
from tailrace.wire.messages.read_share_group_state_summary import (
    PartitionResult,
    ReadShareGroupStateSummaryRequest,
    ReadShareGroupStateSummaryResponse,
    ReadStateSummaryResult,
)


def handle(
    services: Services, context: RequestContext, request: ReadShareGroupStateSummaryRequest
) -> Pending[ReadShareGroupStateSummaryResponse]:
    """Summarize each state."""

    def answer(index: int, found: StateSummary | ErrorCode) -> PartitionResult:
        if isinstance(found, ErrorCode):
            return PartitionResult(index, found, words(found))
        return PartitionResult(index, 0, None, *found)

    return ask_each(
        request,
        lambda key, _: services.share_states.summary(key),
        answer,
        lambda found: ReadShareGroupStateSummaryResponse([ReadStateSummaryResult(*topic) for topic in found]),
    )

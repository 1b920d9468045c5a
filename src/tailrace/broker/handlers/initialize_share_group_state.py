"""InitializeShareGroupState (key 83), v0: make states, or make them anew; group coordinators ask it (KIP-932)."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share_state_answers import ask_each, words
from tailrace.wire.messages.initialize_share_group_state import (
    InitializeShareGroupStateRequest,
    InitializeShareGroupStateResponse,
    InitializeStateResult,
    PartitionResult,
)


def handle(
    services: Services, context: RequestContext, request: InitializeShareGroupStateRequest
) -> Pending[InitializeShareGroupStateResponse]:
    """Make each state."""

    def answer(index: int, code: ErrorCode | None) -> PartitionResult:
        return PartitionResult(index, code or ErrorCode.NONE, words(code))

    return ask_each(
        request,
        lambda key, asked: services.share_states.initialize_state(key, asked.state_epoch, asked.start_offset),
        answer,
        lambda found: InitializeShareGroupStateResponse([InitializeStateResult(*topic) for topic in found]),
    )

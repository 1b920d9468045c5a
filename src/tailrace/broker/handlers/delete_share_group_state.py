"""DeleteShareGroupState (key 86), v0: forget states; group coordinators ask it (KIP-932)."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share_state_answers import ask_each, words
from tailrace.wire.messages.delete_share_group_state import (
    DeleteShareGroupStateRequest,
    DeleteShareGroupStateResponse,
    DeleteStateResult,
    PartitionResult,
)


def handle(
    services: Services, context: RequestContext, request: DeleteShareGroupStateRequest
) -> Pending[DeleteShareGroupStateResponse]:
    """Delete each state."""

    def answer(index: int, code: ErrorCode | None) -> PartitionResult:
        return PartitionResult(index, code or ErrorCode.NONE, words(code))

    return ask_each(
        request,
        lambda key, asked: services.share_states.delete_state(key),
        answer,
        lambda found: DeleteShareGroupStateResponse([DeleteStateResult(*topic) for topic in found]),
    )

"""The answer to a request that changes the metadata: given when the change is committed and told, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tailrace.base.errors import KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.error_responses import error_response
from tailrace.wire.api import api

T = TypeVar("T")
R = TypeVar("R")


def respond_after(
    context: RequestContext, request: Any, proposed: Pending[T | KafkaError], respond: Callable[[T], R]
) -> R | Pending[R]:
    """`respond(result)`, now or later; or the refusal, for everything that the request names.

    Raises the refusal when it is there already. `request` must not lie in the connection's receive buffer.
    """
    if proposed.done:
        if isinstance(proposed.value, KafkaError):
            raise proposed.value
        return respond(proposed.value)
    later: Pending[R] = Pending()
    found = api(context.api_key)
    assert found is not None

    def answer(outcome: T | KafkaError) -> None:
        if isinstance(outcome, KafkaError):
            later.complete(error_response(found, context.api_version, request, outcome))
        else:
            later.complete(respond(outcome))

    proposed.on_complete(answer)
    return later

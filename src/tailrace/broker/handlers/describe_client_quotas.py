"""DescribeClientQuotas (key 48), v0-v1: the quotas of users, client ids and addresses.

Behaviour: there are none and none can be set, so a filter that makes sense finds nothing. One that does not is refused
    as Kafka refuses it.
Source: KIP-546, Kafka ClientQuotasImage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)

_IP: Final = "ip"
_ENTITY_TYPES: Final = frozenset({"user", "client-id", _IP})
_EXACT, _DEFAULT, _ANY = 0, 1, 2


def handle(
    services: Services, context: RequestContext, request: DescribeClientQuotasRequest
) -> DescribeClientQuotasResponse:
    """Find nothing, or refuse the filter."""
    try:
        _check(request.components)
    except KafkaError as error:
        return DescribeClientQuotasResponse(0, error.code, error.message, None)
    return DescribeClientQuotasResponse(entries=[])


def _check(components: Iterable[ComponentData]) -> None:
    """Raise INVALID_REQUEST or UNSUPPORTED_VERSION for a filter nothing could fit."""
    seen: set[str] = set()
    for component in components:
        kind = component.entity_type
        if not kind:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "Invalid empty entity type.")
        if kind in seen:
            message = f"Entity type {kind} cannot appear more than once in the filter."
            raise KafkaError(ErrorCode.INVALID_REQUEST, message)
        if kind not in _ENTITY_TYPES:
            raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"Unsupported entity type {kind}")
        seen.add(kind)
        _check_match(component)
    if _IP in seen and len(seen) > 1:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A filter by ip cannot also be one by user or client id.")


def _check_match(component: ComponentData) -> None:
    match_type = component.match_type
    if match_type not in (_EXACT, _DEFAULT, _ANY):
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown match type {match_type}")
    if (match_type == _EXACT) != (component.match is not None):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A name belongs to an exact match, and to no other.")

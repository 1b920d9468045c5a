"""What a fenced producer is told: requests of older versions know another code for it (KIP-588)."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode


def fenced_as_known(code: ErrorCode, api_version: int, known_from: int) -> ErrorCode:
    """`code`, but INVALID_PRODUCER_EPOCH for PRODUCER_FENCED where the request is older than version `known_from`."""
    if code is ErrorCode.PRODUCER_FENCED and api_version < known_from:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    return code

"""DescribeUserScramCredentials (key 50), v0: which users can log in with SCRAM.

Behaviour: there are no users and none can be made. Asked for all: none; asked for some: each is RESOURCE_NOT_FOUND, one
    asked for twice DUPLICATE_RESOURCE.
"""

from __future__ import annotations

from collections import Counter

from tailrace.base.errors import ErrorCode
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
)


def handle(
    services: Services, context: RequestContext, request: DescribeUserScramCredentialsRequest
) -> DescribeUserScramCredentialsResponse:
    """Say of each user that it is not there."""
    counts = Counter(user.name for user in request.users or ())
    results = []
    for name, count in counts.items():
        if count > 1:
            code, message = ErrorCode.DUPLICATE_RESOURCE, f"The user is in the request twice: {name}"
        else:
            code, message = ErrorCode.RESOURCE_NOT_FOUND, f"There are no SCRAM credentials of this user: {name}"
        results.append(DescribeUserScramCredentialsResult(name, code, message))
    return DescribeUserScramCredentialsResponse(results=results)

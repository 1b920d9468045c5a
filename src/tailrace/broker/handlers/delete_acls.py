"""DeleteAcls (key 31), v1-v3: no authorizer is configured, and this says so as a Kafka without one does."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.delete_acls import DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse


def handle(services: Services, context: RequestContext, request: DeleteAclsRequest) -> DeleteAclsResponse:
    """SECURITY_DISABLED for each."""
    message = "No Authorizer is configured."
    return DeleteAclsResponse(
        filter_results=[DeleteAclsFilterResult(ErrorCode.SECURITY_DISABLED, message) for _ in request.filters]
    )

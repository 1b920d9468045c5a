"""CreateAcls (key 30), v1-v3: no authorizer is configured, and this says so as a Kafka without one does."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.create_acls import AclCreationResult, CreateAclsRequest, CreateAclsResponse


def handle(services: Services, context: RequestContext, request: CreateAclsRequest) -> CreateAclsResponse:
    """SECURITY_DISABLED for each."""
    message = "No Authorizer is configured."
    return CreateAclsResponse(
        results=[AclCreationResult(ErrorCode.SECURITY_DISABLED, message) for _ in request.creations]
    )

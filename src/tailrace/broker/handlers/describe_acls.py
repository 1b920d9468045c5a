"""DescribeAcls (key 29), v1-v3: no authorizer is configured, and this says so as a Kafka without one does."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse


def handle(services: Services, context: RequestContext, request: DescribeAclsRequest) -> DescribeAclsResponse:
    """Raises SECURITY_DISABLED."""
    raise KafkaError(ErrorCode.SECURITY_DISABLED, "No Authorizer is configured on the broker")

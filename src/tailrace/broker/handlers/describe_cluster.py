"""DescribeCluster (key 60), v0-v2: the cluster's id and brokers.

Behaviour: brokers that are not heard of are fenced, and left out unless `include_fenced_brokers` asks for them.
Versions: v1 endpoint type (KIP-919): only brokers (1) are here, a wish for controllers (2) is refused; v2 fenced
    brokers.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.broker.addresses import broker_addresses
from tailrace.broker.authorized_operations import CLUSTER_OPERATIONS, NOT_ASKED
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)

_BROKERS = 1
_CONTROLLERS = 2


def handle(services: Services, context: RequestContext, request: DescribeClusterRequest) -> DescribeClusterResponse:
    """Describe the cluster."""
    if context.api_version >= 1 and request.endpoint_type != _BROKERS:
        if request.endpoint_type == _CONTROLLERS:
            message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
            return DescribeClusterResponse(error_code=ErrorCode.MISMATCHED_ENDPOINT_TYPE, error_message=message)
        message = f"Unsupported endpoint type {request.endpoint_type}"
        return DescribeClusterResponse(error_code=ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, error_message=message)
    operations = CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else NOT_ASKED
    return DescribeClusterResponse(
        cluster_id=services.metadata.image.cluster_id,
        controller_id=services.controller_id,
        brokers=[
            DescribeClusterBroker(*address)
            for address in broker_addresses(services, context, include_fenced=request.include_fenced_brokers)
        ],
        cluster_authorized_operations=operations,
    )

"""ListConfigResources (key 74), v0-v1: the resources that settings can be, or are, set on.

Behaviour: every topic and broker; groups and client-metrics subscriptions that have a setting.
Versions: v0 is ListClientMetricsResources: only those; v1 asks by type, none given means all (KIP-1142).
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.base.errors import ErrorCode
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.records import ResourceType
from tailrace.wire.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

_LISTED = (
    ResourceType.GROUP,
    ResourceType.CLIENT_METRICS,
    ResourceType.BROKER_LOGGER,
    ResourceType.BROKER,
    ResourceType.TOPIC,
)


def handle(
    services: Services, context: RequestContext, request: ListConfigResourcesRequest
) -> ListConfigResourcesResponse:
    """List the resources of the types asked for; UNSUPPORTED_VERSION when one of them is unknown, as in Kafka."""
    asked = set(request.resource_types) if context.api_version >= 1 else {int(ResourceType.CLIENT_METRICS)}
    if not asked <= set(_LISTED):
        return ListConfigResourcesResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
    resources = [
        ConfigResource(name, kind)
        for kind in _LISTED
        if not asked or kind in asked
        for name in _names(services.metadata.image, kind)
    ]
    return ListConfigResourcesResponse(config_resources=resources)


def _names(image: MetadataImage, kind: ResourceType) -> Iterable[str]:
    if kind is ResourceType.TOPIC:
        return list(image.topics)
    if kind in (ResourceType.BROKER, ResourceType.BROKER_LOGGER):
        return [str(broker_id) for broker_id in image.brokers]
    return image.resources_with_configs(kind)

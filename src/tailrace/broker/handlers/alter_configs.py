"""AlterConfigs (key 33), v0-v2: what is not named is removed.

Behaviour: each resource is altered whole or not at all, and one refused does not stop the others. A change is in force
    before the answer is sent. Topics, brokers (one, or all: ""), groups, client metrics.
"""

from __future__ import annotations

from collections import Counter

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.config_changes import decide_replace_configs
from tailrace.cluster.image import ConfigResource
from tailrace.wire.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)


def handle(services: Services, context: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse:
    """Alter each resource, or only say what would happen."""
    asked = Counter((resource.resource_type, resource.resource_name) for resource in request.resources)
    responses: dict[tuple[int, str], AlterConfigsResourceResponse] = {}
    for resource in request.resources:
        key = (resource.resource_type, resource.resource_name)
        code, message = ErrorCode.NONE, None
        try:
            if asked[key] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Each resource must appear at most once.")
            _alter(services, resource, request.validate_only)
        except KafkaError as error:
            code, message = error.code, error.message
        responses[key] = AlterConfigsResourceResponse(code, message, *key)
    return AlterConfigsResponse(responses=list(responses.values()))


def _alter(services: Services, resource: AlterConfigsResource, validate_only: bool) -> None:
    configs = [(config.name, config.value) for config in resource.configs]
    target = ConfigResource(resource.resource_type, resource.resource_name)
    records = decide_replace_configs(services.metadata.image, services.settings, target, configs)
    if not validate_only:
        services.metadata.commit(records)

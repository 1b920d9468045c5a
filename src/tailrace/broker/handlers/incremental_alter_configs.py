"""IncrementalAlterConfigs (key 44), v0-v1: set, delete, append, subtract (KIP-339).

Behaviour: each resource is altered whole or not at all, and one refused does not stop the others. A change is in force
    before the answer is sent. Topics, brokers (one, or all: ""), groups, client metrics; a broker's loggers are
    refused.
"""

from __future__ import annotations

from collections import Counter

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.config_changes import ConfigChange, decide_alter_configs
from tailrace.cluster.image import ConfigResource
from tailrace.wire.messages.incremental_alter_configs import (
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)


def handle(
    services: Services, context: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    """Alter each resource, or only say what would happen."""
    asked = Counter((resource.resource_type, resource.resource_name) for resource in request.resources)
    responses: list[AlterConfigsResourceResponse] = []
    for resource in request.resources:
        key = (resource.resource_type, resource.resource_name)
        code, message = ErrorCode.NONE, None
        try:
            if asked[key] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Each resource must appear at most once.")
            _alter(services, resource, request.validate_only)
        except KafkaError as error:
            code, message = error.code, error.message
        responses.append(AlterConfigsResourceResponse(code, message, *key))
    return IncrementalAlterConfigsResponse(responses=responses)


def _alter(services: Services, resource: AlterConfigsResource, validate_only: bool) -> None:
    changes = [ConfigChange(config.name, config.config_operation, config.value) for config in resource.configs]
    target = ConfigResource(resource.resource_type, resource.resource_name)
    records = decide_alter_configs(services.metadata.image, services.settings, target, changes)
    if not validate_only:
        services.metadata.commit(records)

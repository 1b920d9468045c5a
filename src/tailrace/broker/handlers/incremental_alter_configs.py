"""IncrementalAlterConfigs (key 44), v0-v1: set, delete, append, subtract (KIP-339).

Behaviour: each resource is altered whole or not at all, and one refused does not stop the others. A change is in force
    before the answer is sent. Topics, brokers (one, or all: ""), groups, client metrics; a broker's loggers are
    refused.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.proposed import respond_after
from tailrace.broker.services import Services
from tailrace.cluster.config_changes import ConfigChange, decide_alter_configs
from tailrace.cluster.image import ConfigResource, MetadataImage
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import ConfigRecord, Record
from tailrace.cluster.settings import BrokerSettings
from tailrace.wire.messages.incremental_alter_configs import (
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)


def handle(
    services: Services, context: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse | Pending[IncrementalAlterConfigsResponse]:
    """Alter each resource, or only say what would happen."""
    return respond_after(
        context,
        request,
        services.propose(partial(_decide, services.settings, request)),
        lambda responses: IncrementalAlterConfigsResponse(responses=responses),
    )


def _decide(
    settings: BrokerSettings, request: IncrementalAlterConfigsRequest, image: MetadataImage
) -> Decided[list[AlterConfigsResourceResponse]]:
    asked = Counter((resource.resource_type, resource.resource_name) for resource in request.resources)
    responses: list[AlterConfigsResourceResponse] = []
    records: list[Record] = []
    for resource in request.resources:
        key = (resource.resource_type, resource.resource_name)
        code, message = ErrorCode.NONE, None
        try:
            if asked[key] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Each resource must appear at most once.")
            records += _alter(image, settings, resource)
        except KafkaError as error:
            code, message = error.code, error.message
        responses.append(AlterConfigsResourceResponse(code, message, *key))
    return Decided(responses, [] if request.validate_only else records)


def _alter(image: MetadataImage, settings: BrokerSettings, resource: AlterConfigsResource) -> list[ConfigRecord]:
    changes = [ConfigChange(config.name, config.config_operation, config.value) for config in resource.configs]
    target = ConfigResource(resource.resource_type, resource.resource_name)
    return decide_alter_configs(image, settings, target, changes)

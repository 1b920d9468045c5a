"""ApiVersions (key 18), v0-v5: what this broker serves, from `dispatch.SERVED` and the codec's own ranges.

Behaviour: answered whatever else is refused. From v3 on the client names its software; a name outside
    [a-zA-Z0-9](?:[a-zA-Z0-9\\-.]*[a-zA-Z0-9])? is INVALID_REQUEST (KIP-511). An unknown version never gets here:
    dispatch answers it in v0. Features: none is finalized that is not served.
    A supported feature whose lowest version is 0 is not told before v4: older Java clients throw (KAFKA-17011).
Versions: v5 lets a client say which broker it believes it talks to (KIP-1242): another cluster or node is
    REBOOTSTRAP_REQUIRED.
"""

from __future__ import annotations

import re

from tailrace.base.errors import ErrorCode
from tailrace.broker.context import RequestContext
from tailrace.broker.served import FEATURES, SERVED
from tailrace.broker.services import Services
from tailrace.wire.api import versions
from tailrace.wire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")

_ZERO_FEATURES_FROM = 4


def handle(services: Services, context: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
    """List every served API with its versions."""
    code = _refusal(services, context, request)
    if code is not None:
        return ApiVersionsResponse(code)
    response = ApiVersionsResponse(0, _served(), finalized_features_epoch=services.metadata.image.version)
    if context.api_version >= _ZERO_FEATURES_FROM:
        response.supported_features = [SupportedFeatureKey(name, 0, highest) for name, highest in FEATURES.items()]
    response.finalized_features = [FinalizedFeatureKey(name, highest, highest) for name, highest in FEATURES.items()]
    return response


def _refusal(services: Services, context: RequestContext, request: ApiVersionsRequest) -> ErrorCode | None:
    if context.api_version < 3:
        return None
    for text in (request.client_software_name, request.client_software_version):
        if not _SOFTWARE.fullmatch(text):
            return ErrorCode.INVALID_REQUEST
    if (request.cluster_id is None) != (request.node_id == -1):
        return ErrorCode.INVALID_REQUEST
    if request.cluster_id is None:
        return None
    same = request.cluster_id == services.metadata.image.cluster_id and request.node_id == services.node_id
    return None if same else ErrorCode.REBOOTSTRAP_REQUIRED


def _served() -> list[ApiVersion]:
    listed = []
    for key in SERVED:
        found = versions(key)
        assert found is not None, f"{key.name} is served but unknown to the codec"
        listed.append(ApiVersion(key, found[0], found[1]))
    return listed

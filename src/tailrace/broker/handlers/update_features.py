"""UpdateFeatures (key 57), v0-v2: change the level of a feature.

Behaviour: each feature has the one level of `served.FEATURES`; asking for that is granted and changes nothing, any
    other is INVALID_UPDATE_VERSION, for the whole request, as Kafka does.
Versions: v1 says how far a downgrade may go, and may only ask (KIP-584); v2 has no result of each feature.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.served import FEATURES
from tailrace.broker.services import Services
from tailrace.wire.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

_UPGRADE_TYPES = (1, 2, 3)


def handle(services: Services, context: RequestContext, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse:
    """Grant what is so already. Raises INVALID_UPDATE_VERSION for everything else."""
    for update in request.feature_updates:
        why = _refusal(update, context.api_version)
        if why is not None:
            message = (
                "The update failed for all features since the following feature had an error: "
                f"Invalid update version {update.max_version_level} for feature {update.feature}. {why}"
            )
            raise KafkaError(ErrorCode.INVALID_UPDATE_VERSION, message)
    results = (
        []
        if context.api_version >= 2
        else [UpdatableFeatureResult(update.feature, ErrorCode.NONE, None) for update in request.feature_updates]
    )
    return UpdateFeaturesResponse(error_message=None, results=results)


def _refusal(update: FeatureUpdateKey, version: int) -> str | None:
    level = FEATURES.get(update.feature)
    if version >= 1 and update.upgrade_type not in _UPGRADE_TYPES:
        return "There is no such type of upgrade."
    if level is None:
        return "This broker does not know the feature."
    if update.max_version_level != level:
        return f"This broker supports level {level} alone."
    return None

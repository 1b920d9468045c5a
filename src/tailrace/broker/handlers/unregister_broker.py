"""UnregisterBroker (key 64), v0: forget a broker of the cluster.

Behaviour: a broker that is heard of is refused (`cluster.registration`); its replicas are not moved, and partitions
    name it until they are. A broker that is alone has nobody to forget but itself, and is alive.
"""

from __future__ import annotations

from functools import partial

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.proposed import respond_after
from tailrace.broker.services import Services
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.proposal import Decided
from tailrace.cluster.registration import decide_unregister
from tailrace.wire.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse


def handle(
    services: Services, context: RequestContext, request: UnregisterBrokerRequest
) -> UnregisterBrokerResponse | Pending[UnregisterBrokerResponse]:
    """Forget it. Raises BROKER_ID_NOT_REGISTERED, INVALID_REQUEST."""
    return respond_after(
        context,
        request,
        services.propose(partial(_decide, request.broker_id)),
        lambda _: UnregisterBrokerResponse(error_message=None),
    )


def _decide(broker_id: int, image: MetadataImage) -> Decided[None]:
    return Decided(None, decide_unregister(image, broker_id))

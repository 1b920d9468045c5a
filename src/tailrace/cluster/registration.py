"""How brokers of a cluster come, go and return, and who settles what those that are gone leave behind. Pure.

    registered, fenced ──> unfenced <──> fenced      a life of a broker: incarnation id, epoch (version of its record)

A broker registers itself and unfences itself, when it holds its lease and serves; the controller fences it when that
lease is gone. Whoever holds the controller's lease claims the office with a record of the next epoch. Invariants: every
decision is compared with the version it was made against, so what an old controller, or a broker that was replaced,
decides in ignorance is decided again, and refused here. Only a broker's present life changes its state.
Not its business: leases and clocks (`session`), what becomes of partitions (`elections`).
Source: Kafka ClusterControlManager, BrokerHeartbeatManager; KIP-631, KIP-841.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.elections import (
    Elections,
    RulesOf,
    active_brokers,
    active_epoch,
    decide_broker_leaves,
    decide_broker_returns,
    decide_failover,
)
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.records import BrokerRecord, BrokerStateRecord, ControllerRecord, Record, RemoveBrokerRecord

CONTROLLER_LEASE: Final = "controller"
_BROKER_LEASES: Final = "brokers/"


class Life(NamedTuple):
    """One process of a broker."""

    broker_id: int
    incarnation_id: str


def broker_lease(broker_id: int) -> str:
    """The name of a broker's lease; its incarnation id holds it."""
    return f"{_BROKER_LEASES}{broker_id}"


def decide_registration(
    image: MetadataImage, broker: BrokerRecord, rules_of: RulesOf, gone: frozenset[int] = frozenset()
) -> list[Record]:
    """Begin a life of a broker, fenced. What its last one led or was in sync with, it does not any more.

    `gone`: brokers whose leases have ended and whom nobody has fenced yet, for all were away. They leave with it: were
    they left in sync, this copy, which may be the only whole one, would not be eligible any more.
    """
    assert broker.incarnation_id
    known = image.brokers.get(broker.broker_id)
    if known == broker:
        return []
    if known is not None and known.incarnation_id == broker.incarnation_id:
        return [broker]
    return [broker, *_left(image, broker.broker_id, rules_of, gone - {broker.broker_id}).records]


def decide_unfence(image: MetadataImage, broker: BrokerRecord, rules_of: RulesOf) -> list[Record]:
    """A broker serves, at the address of its record. Partitions without a leader may have one there.

    Raises DUPLICATE_BROKER_REGISTRATION when another life of it has begun.
    """
    life = Life(broker.broker_id, broker.incarnation_id)
    epoch = _epoch_of(image, life)
    records: list[Record] = [] if image.brokers[broker.broker_id] == broker else [broker]
    if not image.is_fenced(broker.broker_id):
        return records
    active = {**active_brokers(image), broker.broker_id: epoch}
    returned = decide_broker_returns(image, broker.broker_id, active, rules_of)
    return [*records, BrokerStateRecord(broker.broker_id, epoch, is_fenced=False), *returned.records]


def decide_shut_down(image: MetadataImage, life: Life, rules_of: RulesOf) -> list[Record]:
    """A broker is about to stop: others lead what it leads, where others are in sync."""
    epoch = _epoch_of(image, life)
    state = BrokerStateRecord(life.broker_id, epoch, image.is_fenced(life.broker_id), is_shutting_down=True)
    return [state, *_left(image, life.broker_id, rules_of).records]


def is_in_office(image: MetadataImage, life: Life) -> bool:
    """Whether `life` is the controller."""
    return (image.controller.broker_id, image.controller.incarnation_id) == life


def decide_claim(image: MetadataImage, life: Life) -> list[Record]:
    """The holder of the controller's lease takes office; nothing when it has it."""
    if is_in_office(image, life):
        return []
    return [ControllerRecord(life.broker_id, image.controller.epoch + 1, life.incarnation_id)]


def decide_unregister(image: MetadataImage, broker_id: int) -> list[Record]:
    """Forget a broker that is not there any more.

    Raises BROKER_ID_NOT_REGISTERED, and INVALID_REQUEST for one that is heard of and does not stop, which Kafka would
    cut off.
    """
    if broker_id not in image.brokers:
        raise KafkaError(ErrorCode.BROKER_ID_NOT_REGISTERED, f"Broker ID {broker_id} is not currently registered")
    if active_epoch(image, broker_id) is not None:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Broker {broker_id} is alive. Stop it first.")
    return [RemoveBrokerRecord(broker_id)]


class Fenced(NamedTuple):
    """What the controller settles; for the log, who was fenced and which elections may have lost records."""

    records: list[Record]
    brokers: list[int]
    unclean: list[tuple[str, int]]


def live_lives(image: MetadataImage) -> list[Life]:
    """The brokers of the cluster that are not fenced: those whose leases are to be looked at."""
    return [
        Life(broker_id, broker.incarnation_id)
        for broker_id, broker in image.brokers.items()
        if broker.incarnation_id and not image.is_fenced(broker_id)
    ]


def without_lease(lives: Iterable[Life], leases: Mapping[str, str]) -> frozenset[Life]:
    """Those of `lives` that `leases`, lease -> holder, do not show. The lives must be older than the look at the
    leases: a broker holds its lease before it is unfenced."""
    return frozenset(life for life in lives if leases.get(broker_lease(life.broker_id)) != life.incarnation_id)


def decide_fence(image: MetadataImage, controller: Life, dead: frozenset[Life], rules_of: RulesOf) -> Fenced:
    """Fence those of `dead` that are not yet, and settle what nobody leads or is not in sync any more.

    Raises NOT_CONTROLLER when `controller` is not in office.
    """
    if not is_in_office(image, controller):
        raise KafkaError(ErrorCode.NOT_CONTROLLER)
    gone = [life.broker_id for life in live_lives(image) if life in dead]
    settled = decide_failover(image, active_brokers(image, without=gone), rules_of)
    states = (BrokerStateRecord(each, image.broker_states[each].epoch, is_fenced=True) for each in gone)
    return Fenced([*states, *settled.records], gone, settled.unclean)


def _epoch_of(image: MetadataImage, life: Life) -> int:
    known = image.brokers.get(life.broker_id)
    if known is None or known.incarnation_id != life.incarnation_id:
        raise KafkaError(ErrorCode.DUPLICATE_BROKER_REGISTRATION, f"Broker {life.broker_id} was registered again.")
    return image.broker_states[life.broker_id].epoch


def _left(image: MetadataImage, broker_id: int, rules_of: RulesOf, gone: frozenset[int] = frozenset()) -> Elections:
    others = active_brokers(image, without=(broker_id, *gone))
    return decide_broker_leaves(image, broker_id, others, rules_of, gone)

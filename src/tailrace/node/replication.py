"""The replication of one broker: fetchers for what it follows, and what its leaders need. Made with the first
replicated partition; a broker without any never loads this module.

    image says: follow broker 2 ──> Fetcher for 2 (one a leader) ──> BrokerClient ──> Fetch
    a leader proposes other in-sync replicas ──> Metadata.propose(decide_alter_partition)

A leader's proposal is decided here, against the shared store's latest version, and not asked of the controller: the
store refuses what was decided against an older one, so the outcome is the same with a round trip less.
Not its business: which partitions are led or followed (`leadership`), the rules (`replication`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.types import TopicPartition
from tailrace.client.broker_client import BrokerClient, ClientOptions, Refusal
from tailrace.cluster.alter_partition import AlterPartition, decide_alter_partition
from tailrace.cluster.elections import (
    UNKNOWN_BROKER_EPOCH,
    ElectionRules,
    active_brokers,
    active_epoch,
    decide_broker_returns,
    decide_records_lost,
    decide_replicas_offline,
)
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.proposal import Decided
from tailrace.cluster.settings import BrokerSettings
from tailrace.net.address import Address
from tailrace.net.loop import Engine
from tailrace.net.timers import Timer
from tailrace.replication.fetcher import Fetcher, FetcherOptions, FetcherPorts
from tailrace.replication.follower_role import FollowerRole
from tailrace.replication.leader_role import LeaderRole
from tailrace.replication.partition import Partition
from tailrace.replication.partitions import Partitions
from tailrace.replication.ports import ReplicationEnvironment, Told
from tailrace.replication.throttle import Throttle, ThrottleLimits, names_replica
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.fetch import FetchRequest, FetchResponse

_log = logging.getLogger("tailrace.node")

RESPONSE_OVERHEAD_BYTES: Final = 16 << 20
"""By how much a Fetch response may be larger than `replica.fetch.response.max.bytes`: its first batch is always whole,
and each partition costs some bytes."""


class ReplicationSurroundings(NamedTuple):
    """What the replication of a broker is given to work with."""

    metadata: Metadata
    partitions: Partitions
    engine: Engine
    clock: Clock
    on_storage_error: Callable[[StorageError], object]


class Replication:
    """Roles and fetchers. One owner, the loop's thread."""

    def __init__(self, around: ReplicationSurroundings) -> None:
        self._around = around
        self._settings: BrokerSettings = around.metadata.settings
        self._fetchers: dict[int, tuple[Fetcher, BrokerClient]] = {}
        self._leader_of: dict[tuple[Any, int], int] = {}
        """(topic id, partition) -> the leader whose fetcher has it."""
        self._laggard_timer: Timer | None = None
        self._throttles = {
            side: Throttle(around.clock, partial(self._limits, f"{side}.replication.throttled.rate"))
            for side in ("leader", "follower")
        }
        self._troubles: dict[int, str] = {}
        """Leaders that cannot be fetched from, and why: each said once."""
        self._is_closed = False
        self.environment = ReplicationEnvironment(
            around.metadata.node_id,
            around.clock,
            self,
            self._active_epoch,
            self._min_insync_replicas,
            lambda: self._settings.integer("replica.lag.time.max.ms"),
            partial(self._throttle_of, "leader"),
        )

    def give_up_in_sync(self) -> None:
        """After an unclean end: be in sync with no other replica until this one has caught up again, for it may lack
        what others count on. Waits; only before the broker serves."""
        metadata, node_id = self._around.metadata, self._around.metadata.node_id

        def lose(image: MetadataImage) -> Decided[None]:
            others = active_brokers(image, without=(node_id,))
            lost = decide_records_lost(image, node_id, others, self._around.metadata.election_rules).records
            return Decided(None, [record for record in lost if len(record.replicas) > 1])

        def come_back(image: MetadataImage) -> Decided[None]:
            return Decided(
                None,
                decide_broker_returns(
                    image, node_id, active_brokers(image), self._around.metadata.election_rules
                ).records,
            )

        metadata.settle(lose)
        metadata.settle(come_back)

    def give_up_replicas(self, partitions: list[TopicPartition]) -> None:
        """The logs of these are offline: have others lead them, and go on without this replica."""
        node_id = self._around.metadata.node_id

        def decide(image: MetadataImage) -> Decided[None]:
            settled = decide_replicas_offline(
                image, node_id, partitions, active_brokers(image), self._around.metadata.election_rules
            )
            return Decided(None, settled.records)

        def answer(outcome: object) -> None:
            if outcome is not None:
                _log.error("%d replicas that are offline are still counted on: %s", len(partitions), outcome)

        self._around.metadata.propose(decide).on_complete(answer)

    def close(self) -> None:
        """Follow nothing any more."""
        self._is_closed = True
        if self._laggard_timer is not None:
            self._laggard_timer.cancel()
        for fetcher, client in self._fetchers.values():
            fetcher.close()
            client.close()
        self._fetchers.clear()
        self._leader_of.clear()

    # -- what roles ask --------------------------------------------------------------------------------------------

    def _active_epoch(self, broker_id: int) -> int | None:
        return active_epoch(self._around.metadata.image, broker_id)

    def _own_epoch(self) -> int:
        """Of this life, fenced or not: a leader must be able to tell its fetches from those of the next."""
        state = self._around.metadata.image.broker_states.get(self._around.metadata.node_id)
        return UNKNOWN_BROKER_EPOCH if state is None else state.epoch

    def _min_insync_replicas(self, topic: str) -> int:
        found = self._around.metadata.topic_configs(topic)["min.insync.replicas"]
        assert isinstance(found, int)
        return found

    def alter_partition(self, asked: AlterPartition, told: Told) -> None:
        """PartitionChanges: decide it when its turn comes, against the image as it is then."""

        def decide(image: MetadataImage) -> Decided[None]:
            topic = image.topic_by_id(asked.topic_id)
            rules = ElectionRules() if topic is None else self._around.metadata.election_rules(topic.name)
            return Decided(None, decide_alter_partition(image, asked, active_brokers(image), rules))

        def answer(outcome: object) -> None:
            if outcome is None or isinstance(outcome, KafkaError):
                told(None if outcome is None else outcome.code)
            else:  # the store failed: it may have happened
                told(ErrorCode.REQUEST_TIMED_OUT)

        self._around.metadata.propose(decide).on_complete(answer)

    # -- throttles -------------------------------------------------------------------------------------------------

    def _limits(self, rate_setting: str) -> ThrottleLimits:
        number = self._settings.integer
        return ThrottleLimits(
            number(rate_setting),
            number("replication.quota.window.num"),
            number("replication.quota.window.size.seconds"),
        )

    def _throttle_of(self, side: str, topic_partition: TopicPartition) -> Throttle | None:
        """What holds a replica of this broker back, on the side of its leader or of its follower."""
        name, index = topic_partition
        throttled = self._around.metadata.topic_configs(name)[f"{side}.replication.throttled.replicas"]
        is_named = names_replica(throttled, index, self._around.metadata.node_id)
        return self._throttles[side] if is_named else None

    def apply_settings(self) -> None:
        """Topics may name other replicas that are throttled. Leaders learn it as they learn of other in-sync ones."""
        for fetcher, _ in self._fetchers.values():
            for role in fetcher.roles:
                role.throttle = self._throttle_of("follower", role.partition.topic_partition)

    # -- leading ---------------------------------------------------------------------------------------------------

    def leader_role(self, partition: Partition, image: PartitionImage) -> LeaderRole:
        """What a leader of followers needs, from the log's present end on."""
        if self._laggard_timer is None and not self._is_closed:
            self._laggard_timer = self._around.engine.timers.schedule(self._laggard_check_ms, self._drop_laggards)
        return LeaderRole(
            self.environment, partition.topic_partition, partition.topic_id, image, partition.log_end_offset
        )

    @property
    def _laggard_check_ms(self) -> float:
        return self._settings.integer("replica.lag.time.max.ms") / 2

    def _drop_laggards(self) -> None:
        for partition in self._around.partitions:
            if partition.followers is not None:
                late = partition.followers.drop_laggards(partition.log_end_offset)
                if late:
                    _log.warning("%s: out of sync, for they do not keep up: %s", partition.topic_partition, late)
        assert self._laggard_timer is not None
        self._laggard_timer.reset(self._laggard_check_ms)

    # -- following -------------------------------------------------------------------------------------------------

    def follow(self, partition: Partition, image: PartitionImage) -> None:
        """Fetch a partition from the leader that `image` names; from nobody where there is none. StorageError."""
        topic_id, index = partition.topic_id, partition.topic_partition.partition
        is_same_term = not partition.is_leader and partition.leader_epoch == image.leader_epoch
        partition.follow(image)
        if is_same_term and self._leader_of.get((topic_id, index), -1) == image.leader:
            return
        self.unfollow(partition)
        if image.leader >= 0 and not self._is_closed:
            self._leader_of[topic_id, index] = image.leader
            role = FollowerRole(partition)
            role.throttle = self._throttle_of("follower", partition.topic_partition)
            self._fetcher_of(image.leader).add(topic_id, index, role)

    def unfollow(self, partition: Partition) -> None:
        """Fetch it no more; harmless when it is not followed."""
        topic_id, index = partition.topic_id, partition.topic_partition.partition
        leader_id = self._leader_of.pop((topic_id, index), None)
        if leader_id is None:
            return
        fetcher, client = self._fetchers[leader_id]
        fetcher.remove(topic_id, index)
        if not len(fetcher):
            del self._fetchers[leader_id]
            fetcher.close()
            client.close()

    def _fetcher_of(self, leader_id: int) -> Fetcher:
        found = self._fetchers.get(leader_id)
        if found is None:
            client = self._client_of(leader_id)
            ports = FetcherPorts(
                partial(self._send, leader_id, client), self._around.engine.timers.schedule, self._on_storage_error
            )
            found = self._fetchers[leader_id] = Fetcher(ports, self._fetcher_options()), client
        return found[0]

    def _fetcher_options(self) -> FetcherOptions:
        number = self._settings.integer
        return FetcherOptions(
            self._around.metadata.node_id,
            self._own_epoch,
            number("replica.fetch.wait.max.ms"),
            number("replica.fetch.min.bytes"),
            number("replica.fetch.max.bytes"),
            number("replica.fetch.response.max.bytes"),
            number("replica.fetch.backoff.ms"),
        )

    def _client_of(self, leader_id: int) -> BrokerClient:
        number = self._settings.integer
        options = ClientOptions(
            f"broker-{self._around.metadata.node_id}-fetcher",
            request_timeout_ms=number("replica.socket.timeout.ms"),
            response_max_bytes=number("replica.fetch.response.max.bytes") + RESPONSE_OVERHEAD_BYTES,
        )
        return BrokerClient(self._around.engine, partial(self._address_of, leader_id), options)

    def _address_of(self, broker_id: int) -> Address | None:
        broker = self._around.metadata.image.brokers.get(broker_id)
        return None if broker is None or not broker.host else Address(broker.host, broker.port)

    def _send(
        self,
        leader_id: int,
        client: BrokerClient,
        request: FetchRequest,
        told: Callable[[FetchResponse | None], object],
    ) -> None:
        def answer(response: FetchResponse | Refusal) -> None:
            if isinstance(response, Refusal):
                if not self._is_closed and self._troubles.get(leader_id) != response.reason:
                    self._troubles[leader_id] = response.reason
                    _log.warning("broker %d cannot be fetched from: %s", leader_id, response.reason)
                told(None)
            else:
                if self._troubles.pop(leader_id, None) is not None:
                    _log.info("broker %d is fetched from again", leader_id)
                told(response)

        client.send(ApiKey.FETCH, request, answer)

    def _on_storage_error(self, role: FollowerRole, error: StorageError) -> None:
        _log.error("%s cannot be written: %s", role.partition.topic_partition, error)
        self._around.on_storage_error(error)

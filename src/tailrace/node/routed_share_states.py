"""Who keeps the state of a share partition, on this broker or on another: the leader of the key's partition of
`__share_group_state` at this moment. Other brokers are asked over the five APIs of the share coordinator.

Of one API, group and broker one request is on its way at a time, and what comes meanwhile goes with the next, in the
order of asking. A broker that cannot be reached is COORDINATOR_NOT_AVAILABLE; who asked tries again.
Not its business: trying again. Source: KIP-932, Kafka's `PersisterStateManager`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from tailrace.base.errors import ErrorCode
from tailrace.base.limits import QUESTIONS_PER_REQUEST_MAX
from tailrace.base.pending import Pending, completed
from tailrace.client.broker_client import Refusal, Told
from tailrace.client.lanes import Gathering, Lanes
from tailrace.cluster.image import SHARE_GROUP_STATE_TOPIC
from tailrace.cluster.metadata import Metadata
from tailrace.coordinator.share_state.coordinator import ShareStateCoordinator
from tailrace.coordinator.share_state.ports import (
    PartitionState,
    SharePartitionKey,
    StateBatch,
    StateSummary,
    StateWrite,
)
from tailrace.wire.api import ApiKey
from tailrace.wire.messages import (
    delete_share_group_state,
    initialize_share_group_state,
    read_share_group_state,
    read_share_group_state_summary,
    write_share_group_state,
)

T = TypeVar("T")
Said = Any
"""What is said of a partition in a request or a response: a generated message."""
Lane = tuple[int, str]
"""Broker and group: a request is about one group."""


class _Api(NamedTuple):
    """One of the five: how a request is made of (topic id, what is said of one partition), and what an answer means."""

    key: ApiKey
    request: Callable[[str, list[Any]], Any]
    topic: Callable[[Any, list[Said]], Any]
    outcome: Callable[[Said], Any]


class _Item(NamedTuple):
    state_key: SharePartitionKey
    said: Said
    answer: Pending[Any]


def _refused_or_done(result: Said) -> ErrorCode | None:
    return ErrorCode(result.error_code) or None


def _state(result: Said) -> PartitionState | ErrorCode:
    if result.error_code:
        return ErrorCode(result.error_code)
    batches = tuple(
        StateBatch(each.first_offset, each.last_offset, each.delivery_state, each.delivery_count)
        for each in result.state_batches
    )
    return PartitionState(result.state_epoch, result.start_offset, -1, batches)


def _summary(result: Said) -> StateSummary | ErrorCode:
    if result.error_code:
        return ErrorCode(result.error_code)
    return StateSummary(result.state_epoch, result.leader_epoch, result.start_offset, result.delivery_complete_count)


_INITIALIZE: Final = _Api(
    ApiKey.INITIALIZE_SHARE_GROUP_STATE,
    initialize_share_group_state.InitializeShareGroupStateRequest,
    initialize_share_group_state.InitializeStateData,
    _refused_or_done,
)
_READ: Final = _Api(
    ApiKey.READ_SHARE_GROUP_STATE,
    read_share_group_state.ReadShareGroupStateRequest,
    read_share_group_state.ReadStateData,
    _state,
)
_WRITE: Final = _Api(
    ApiKey.WRITE_SHARE_GROUP_STATE,
    write_share_group_state.WriteShareGroupStateRequest,
    write_share_group_state.WriteStateData,
    _refused_or_done,
)
_DELETE: Final = _Api(
    ApiKey.DELETE_SHARE_GROUP_STATE,
    delete_share_group_state.DeleteShareGroupStateRequest,
    delete_share_group_state.DeleteStateData,
    _refused_or_done,
)
_SUMMARY: Final = _Api(
    ApiKey.READ_SHARE_GROUP_STATE_SUMMARY,
    read_share_group_state_summary.ReadShareGroupStateSummaryRequest,
    read_share_group_state_summary.ReadStateSummaryData,
    _summary,
)

Ask = Callable[[int, ApiKey, Any, Told], None]


class RoutedShareStates:
    """A `ShareStateKeeper` of a broker that has others beside it."""

    def __init__(self, local: ShareStateCoordinator, metadata: Metadata, ask: Ask) -> None:
        self._local = local
        self._metadata = metadata
        self._lanes = {api.key: _lanes(api, ask) for api in (_INITIALIZE, _READ, _WRITE, _DELETE, _SUMMARY)}

    def read_state(self, key: SharePartitionKey, leader_epoch: int) -> Pending[PartitionState | ErrorCode]:
        """The state, for a leader; of another broker's without how many are done with, which its answer cannot say."""
        said = read_share_group_state.PartitionData(key.partition, leader_epoch)
        return self._ask(key, lambda: self._local.read_state(key, leader_epoch), _READ, said)

    def write_state(self, key: SharePartitionKey, write: StateWrite) -> Pending[ErrorCode | None]:
        """Completes with None when what is said is committed, or with why it is not."""
        batches = [write_share_group_state.StateBatch(*each) for each in write.batches]
        said = write_share_group_state.PartitionData(
            key.partition,
            write.state_epoch,
            write.leader_epoch,
            write.start_offset,
            write.delivery_complete_count,
            batches,
        )
        return self._ask(key, lambda: self._local.write_state(key, write), _WRITE, said)

    def initialize_state(
        self, key: SharePartitionKey, state_epoch: int, start_offset: int
    ) -> Pending[ErrorCode | None]:
        """Make a state, or make it anew."""
        said = initialize_share_group_state.PartitionData(key.partition, state_epoch, start_offset)
        return self._ask(key, lambda: self._local.initialize_state(key, state_epoch, start_offset), _INITIALIZE, said)

    def delete_state(self, key: SharePartitionKey) -> Pending[ErrorCode | None]:
        """Forget a state."""
        said = delete_share_group_state.PartitionData(key.partition)
        return self._ask(key, lambda: self._local.delete_state(key), _DELETE, said)

    def summary(self, key: SharePartitionKey) -> Pending[StateSummary | ErrorCode]:
        """How far the group has come."""
        said = read_share_group_state_summary.PartitionData(key.partition, -1)
        return self._ask(key, lambda: self._local.summary(key), _SUMMARY, said)

    def _ask(self, key: SharePartitionKey, ask_local: Callable[[], Pending[T]], api: _Api, said: Said) -> Pending[T]:
        index = self._local.partition_for(key.text)
        image = self._metadata.image.partition(SHARE_GROUP_STATE_TOPIC, index)
        if image is None or image.leader == self._metadata.node_id:
            return ask_local()
        if image.leader < 0:
            nobody: Pending[Any] = completed(ErrorCode.COORDINATOR_NOT_AVAILABLE)
            return nobody
        answer: Pending[T] = Pending()
        self._lanes[api.key].put((image.leader, key.group_id), _Item(key, said, answer))
        return answer


def _lanes(api: _Api, ask: Ask) -> Lanes[Lane, _Item]:
    def message_of(items: Sequence[_Item]) -> Any:
        return api.request(
            items[0].state_key.group_id, [api.topic(each.state_key.topic_id, [each.said]) for each in items]
        )

    def on_response(items: Sequence[_Item], response: Any) -> None:
        if isinstance(response, Refusal) or len(response.results) != len(items):
            for each in items:
                each.answer.complete(ErrorCode.COORDINATOR_NOT_AVAILABLE)
            return
        for each, result in zip(items, response.results, strict=True):  # in the order of asking, a partition each
            each.answer.complete(api.outcome(result.partitions[0]))

    def ask_lane(lane: Lane, message: Any, told: Told) -> None:
        ask(lane[0], api.key, message, told)

    return Lanes(ask_lane, Gathering(message_of, on_response, QUESTIONS_PER_REQUEST_MAX))

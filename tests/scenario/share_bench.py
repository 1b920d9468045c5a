"""The handlers of share groups' coordinators without sockets: as `group_bench`, with a share coordinator beside it."""

from __future__ import annotations

from typing import Any, cast

from tests.scenario.group_bench import GroupBench
from tests.support.share_states import FakeStateLog

from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.share_state.coordinator import ShareStateCoordinator
from tailrace.coordinator.share_state.settings import ShareStateSettings


class ShareBench(GroupBench):
    """One broker's share groups, and the states of their partitions."""

    def __init__(self) -> None:
        self.state_log = FakeStateLog()
        super().__init__(GroupSettings(offsets_topic_num_partitions=1))

    def restart(self) -> None:
        """Lose everything that is not in one of the two logs, and load again."""
        super().restart()
        self.state_log.lose()
        self.states = ShareStateCoordinator(
            ShareStateSettings(share_coordinator_state_topic_num_partitions=1),
            self.state_log,
            self.timers,
            self.clock,
            cast(Any, lambda: self.image),
        )
        self.states.load(0)
        self.groups.share_states = lambda: self.states
        self.services.share_states = self.states
        self.services.partitions = _Partitions()


class _Partitions:
    """Every partition holds a hundred records."""

    offline = frozenset[Any]()

    def of(self, topic: str, partition: int) -> Any:
        return cast(Any, self)

    high_watermark = 100

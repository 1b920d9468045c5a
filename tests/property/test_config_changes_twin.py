"""Incremental changes of settings against a twin that keeps Python lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.base.errors import KafkaError
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.cluster.config_changes import ConfigChange, ConfigOperation, decide_alter_configs
from tailrace.cluster.image import ConfigResource, MetadataImage
from tailrace.cluster.records import ResourceType, TopicRecord
from tailrace.cluster.settings import BrokerSettings

TOPIC = ConfigResource(ResourceType.TOPIC, "t")
LISTS = {"cleanup.policy": ["delete"], "leader.replication.throttled.replicas": []}
NUMBERS = ("retention.ms", "segment.ms")

_policies = st.lists(st.sampled_from(["compact", "delete", "bogus"]), max_size=3)
_replicas = st.lists(st.sampled_from(["0:1", "1:1", "2:3"]), max_size=3)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, int, list[str]]:
    name = draw(st.sampled_from([*LISTS, *NUMBERS]))
    operation = draw(st.integers(0, 3))
    if name in NUMBERS:
        return name, operation, [draw(st.sampled_from(["1", "77", "x", "-9"]))]
    return name, operation, draw(_policies if name == "cleanup.policy" else _replicas)


class Twin:
    """What each setting should be, and whether a change is allowed, said in the simplest way."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}

    def alter(self, batch: list[tuple[str, int, list[str]]]) -> bool:
        names = [name for name, _, _ in batch]
        if len(set(names)) != len(names):
            return False
        wanted = {name: list(value) for name, value in self.values.items()}
        for name, operation, given_values in batch:
            if operation == ConfigOperation.DELETE:
                wanted.pop(name, None)
                continue
            value: list[str] = []
            if operation != ConfigOperation.SET:
                if name in NUMBERS:
                    return False
                value = list(wanted.get(name, LISTS[name]))
            for item in given_values:
                if operation == ConfigOperation.SUBTRACT:
                    value = [other for other in value if other != item]
                elif item not in value:
                    value.append(item)
            wanted[name] = value
        for name, value in wanted.items():
            if name in NUMBERS and value[0] not in ("1", "77"):
                return False
            if "bogus" in value:
                return False
        self.values = wanted
        return True


@given(st.lists(st.lists(changes(), max_size=3), max_size=12))
def test_incremental_changes_agree_with_the_twin(batches: list[list[tuple[str, int, list[str]]]]) -> None:
    image, settings, twin = MetadataImage(), BrokerSettings(), Twin()
    image.replay([TopicRecord("t", ZERO_TOPIC_ID)], 1)
    for batch in batches:
        wanted = [ConfigChange(name, operation, ",".join(values)) for name, operation, values in batch]
        try:
            records = decide_alter_configs(image, settings, TOPIC, wanted)
        except KafkaError:
            records = None
        assert (records is not None) == twin.alter(batch)
        image.replay(records or [], image.version + 1)
        assert dict(image.configs(*TOPIC)) == {name: ",".join(values) for name, values in twin.values.items()}

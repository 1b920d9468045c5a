"""The metadata of the cluster as one broker sees it: the image, and the one way to change it.

    decide (controller, config_changes) -> commit: append to the store -> replay into the image -> tell listeners

Invariant: the image never holds what the store does not. Listeners run in the order they were added, after the whole
batch is replayed; a listener may commit, and that batch is told after the running one has been told to everybody.
Not its business: what to decide. One owner, one thread.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from tailrace.base.config import ConfigValue
from tailrace.base.rand import Random
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.cluster.controller import TopicDefaults, decide_producer_id_block
from tailrace.cluster.image import MetadataDelta, MetadataImage
from tailrace.cluster.records import BrokerRecord, ClusterRecord, Record, ResourceType
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.store import MetadataStore
from tailrace.cluster.topic_settings import effective_topic_configs

Listener: TypeAlias = Callable[[MetadataDelta], None]

COMPACT_AFTER_RECORDS: Final = 1000
"""Records of dead history that are left alone. Beyond it, and beyond the living ones, a start rewrites the history."""


class Metadata:
    """The current image, commits to it, and the settings derived from it."""

    def __init__(self, store: MetadataStore, node_id: int, settings: BrokerSettings, random: Random) -> None:
        """Load the store's image. A store that holds nothing is given a cluster id."""
        self.image = MetadataImage()
        self.node_id = node_id
        self.settings = settings
        self._store = store
        self._random = random
        self._listeners: list[Listener] = []
        self._untold: deque[MetadataDelta] = deque()
        self._telling = False
        self._producer_ids = range(0)
        self._topic_configs: dict[str, dict[str, ConfigValue]] = {}
        self._load()
        store.watch(self._replay_foreign)

    def _load(self) -> None:
        version, records = self._store.load()
        self.image.replay(records, version)
        if not self.image.cluster_id:
            cluster_id = urlsafe_b64encode(self._random.uuid().bytes).rstrip(b"=").decode()
            self.image.replay([ClusterRecord(cluster_id)], self._store.append(version, [ClusterRecord(cluster_id)]))
        living = self.image.records()
        if len(records) > 2 * len(living) + COMPACT_AFTER_RECORDS:
            self._store.compact(self.image.version, living)
        self._refresh_settings()

    def listen(self, listener: Listener) -> None:
        """Call `listener(delta)` after every later change."""
        self._listeners.append(listener)

    def commit(self, records: Sequence[Record]) -> None:
        """Make `records` true: durable first, then in the image, then told to the listeners. Empty: nothing happens.

        Raises StaleVersion when another process appended first (never with a store of one process), StorageError when
        the store cannot write; the image is then unchanged.
        """
        if not records:
            return
        version = self._store.append(self.image.version, records)
        self._apply(records, version)

    def register_broker(self, broker: BrokerRecord) -> None:
        """Make this broker known, unless it is known just so."""
        if self.image.brokers.get(broker.broker_id) != broker:
            self.commit([broker])

    def next_producer_id(self) -> int:
        """A producer id that nobody had before. Commits once in a thousand."""
        if not self._producer_ids:
            first, records = decide_producer_id_block(self.image, self.node_id)
            self.commit(records)
            self._producer_ids = range(first, self.image.next_producer_id)
        producer_id = self._producer_ids[0]
        self._producer_ids = self._producer_ids[1:]
        return producer_id

    def topic_id(self, topic: str) -> UUID:
        """The id of a topic, by name; the zero id where there is none."""
        found = self.image.topic(topic)
        return ZERO_TOPIC_ID if found is None else found.topic_id

    def new_topic_id(self) -> UUID:
        """A random topic id."""
        return self._random.uuid()

    @property
    def topic_defaults(self) -> TopicDefaults:
        """What a topic gets when nobody says how many partitions and replicas."""
        settings = self.settings
        return TopicDefaults(settings.integer("num.partitions"), settings.integer("default.replication.factor"))

    def topic_configs(self, name: str) -> dict[str, ConfigValue]:
        """Every setting of topic `name`, typed, in force now. The caller must not change it."""
        found = self._topic_configs.get(name)
        if found is None:
            own = self.image.configs(ResourceType.TOPIC, name)
            found = self._topic_configs[name] = effective_topic_configs(own, self.settings)
        return found

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _replay_foreign(self, version: int, records: Sequence[Record]) -> None:
        assert version == self.image.version + 1, "a batch was missed"
        self._apply(records, version)

    def _apply(self, records: Sequence[Record], version: int) -> None:
        delta = self.image.replay(records, version)
        for resource in delta.configs_changed:
            if resource.type == ResourceType.BROKER:
                self._refresh_settings()
            elif resource.type == ResourceType.TOPIC:
                self._topic_configs.pop(resource.name, None)
        for topic in delta.topics_deleted:
            self._topic_configs.pop(topic.name, None)
        self._tell(delta)

    def _tell(self, delta: MetadataDelta) -> None:
        self._untold.append(delta)
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                told = self._untold.popleft()
                for listener in self._listeners:
                    listener(told)
        finally:
            self._telling = False

    def _refresh_settings(self) -> None:
        image = self.image
        per_broker = image.configs(ResourceType.BROKER, str(self.node_id))
        self.settings.set_dynamic(per_broker, image.configs(ResourceType.BROKER, ""))
        self._topic_configs.clear()

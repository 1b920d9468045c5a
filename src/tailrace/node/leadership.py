"""Makes the logs and partitions of this broker follow the metadata: created, deleted, configured, led.

Runs as a metadata listener, after each committed change, and once over the whole image at start. Partitions that the
image does not know are left on disk and not served. A new partition's log takes the disk a millisecond: of many, those
that do not fit into a turn of the loop are made in the turns after it, or when somebody asks for one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from tailrace.base.errors import KafkaError, StorageError
from tailrace.base.types import TopicPartition
from tailrace.cluster.image import MetadataDelta, MetadataImage, TopicImage
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import PartitionRecord, ResourceType
from tailrace.log.log_collection import LogMissing
from tailrace.log.log_directory import LogDirectory
from tailrace.log.logs import Logs
from tailrace.log.trouble import Trouble
from tailrace.node.coordinators import Coordinators
from tailrace.node.turns import Turns
from tailrace.replication.partition import Partition
from tailrace.replication.partitions import Partitions

if TYPE_CHECKING:  # start-up time: most brokers have no replicated partition
    from tailrace.node.replication import Replication

_log = logging.getLogger("tailrace.node")

STRAYS_SHOWN_MAX: Final = 10


class Leadership:
    """Applies metadata to what this broker holds."""

    def __init__(
        self,
        metadata: Metadata,
        logs: Logs,
        partitions: Partitions,
        coordinators: Coordinators,
        turns: Turns,
        replication_of: Callable[[], Replication],
    ) -> None:
        self._metadata = metadata
        self._logs = logs
        self._partitions = partitions
        self._coordinators = coordinators
        self._turns = turns
        self._replication_of = replication_of
        self._created: dict[TopicPartition, None] = {}
        """Partitions that were created by this process and are not led yet: they have no log anywhere."""
        self._is_leading_created = False
        self._to_follow: dict[TopicPartition, None] = {}
        """Partitions whose logs are to be opened and followed, a few in each turn."""
        self._is_opening_followed = False
        self._is_started = False

    def start(self) -> None:
        """Lead what the image says, and follow it and the log directories from here on.

        After an unclean end every led partition enters a new epoch: records that a power failure took may be written
        again with other content, and a reader can only tell by the epoch (KIP-320).
        """
        self._logs.on_directory_failed = self.on_directory_failed
        self._partitions.lead_missing = self._lead_missing
        self._partitions.is_elsewhere = self._is_elsewhere
        if not all(directory.was_clean for directory in self._logs.directories.online):
            # A full volume is no reason not to start: the reserve is for this.
            self._logs.with_reserve(partial(self._metadata.settle, self._next_epochs))
            if self._has_replicated():
                self._replication_of().give_up_in_sync()
        self._delete_departed()
        for topic in sorted(self._metadata.image.topics.values(), key=_coordinated_last):
            self._lead_topic(topic)
        self._coordinators.load_in_turns(self._turns)
        self._tell_of_strays()
        if self._partitions.offline:
            _log.error("%d partitions are offline and answer KAFKA_STORAGE_ERROR", len(self._partitions.offline))
        self._metadata.listen(self.on_delta)
        self._is_started = True

    def _delete_departed(self) -> None:
        """Delete the logs of replicas that went while this broker was away: those that the metadata names, by topic
        id. What it merely does not know may be the only copy, where the metadata was lost."""
        departed = self._metadata.image.departed.get(self._metadata.node_id)
        if not departed:
            return
        for topic_partition in self._strays():
            log = self._logs.get(topic_partition)
            if log is not None and (log.topic_id, topic_partition.partition) in departed:
                _log.info("%s was deleted, or moved to other brokers: its log is deleted", topic_partition)
                self._delete_log(topic_partition)

    def _strays(self) -> list[TopicPartition]:
        """Partitions with a log and no replica here."""
        image, node_id = self._metadata.image, self._metadata.node_id
        found = ((each, image.partition(*each)) for each in self._logs.topic_partitions)
        return [each for each, partition in found if partition is None or node_id not in partition.replicas]

    def _tell_of_strays(self) -> None:
        """Name the logs that belong to no topic, of one whose deletion a crash cut short, or put there by hand; and
        those of partitions that other brokers have by now."""
        strays: list[TopicPartition] = []
        moved: list[TopicPartition] = []
        for each in self._strays():
            (strays if self._metadata.image.partition(*each) is None else moved).append(each)
        for what, logs in (("no topic", strays), ("partitions that were moved to other brokers", moved)):
            if logs:
                shown = ", ".join(map(str, logs[:STRAYS_SHOWN_MAX]))
                _log.warning("%d logs belong to %s and are not served: %s", len(logs), what, shown)

    def _next_epochs(self, image: MetadataImage) -> Decided[None]:
        records = []
        for topic in image.topics.values():
            for index, led in enumerate(topic.partitions):
                if led.leader == self._metadata.node_id and len(led.replicas) == 1:
                    bumped = led._replace(leader_epoch=led.leader_epoch + 1, partition_epoch=led.partition_epoch + 1)
                    records.append(PartitionRecord(topic.topic_id, index, *bumped))
        return Decided(None, records)

    def _has_replicated(self) -> bool:
        topics = self._metadata.image.topics.values()
        return any(len(each.replicas) > 1 for topic in topics for each in topic.partitions)

    def on_delta(self, delta: MetadataDelta) -> None:
        """Follow one committed change."""
        for topic in delta.topics_deleted:
            self._drop_topic(topic)
        if delta.topics_deleted:
            self._coordinators.on_topics_deleted([topic.name for topic in delta.topics_deleted])
        if delta.topics_deleted or delta.topics_created or delta.partitions_added:
            self._coordinators.groups.on_topics_changed()
        for topic in delta.topics_created:
            self._know_topic(topic)
            created = (TopicPartition(topic.name, index) for index in range(len(topic.partitions)))
            self._created.update(dict.fromkeys(created))
            if self._coordinators.coordinate(topic.name):
                self._lead_topic(topic)
        self._created.update(dict.fromkeys(delta.partitions_added))
        for topic_partition in delta.partitions_changed:
            self._lead_by_name(topic_partition)
        if self._created and not self._is_leading_created:
            self._is_leading_created = True
            self._turns.run(self._lead_created())
        if any(resource.type == ResourceType.BROKER for resource in delta.configs_changed):
            self._coordinators.apply_settings()
            self._logs.update_configs()
        for resource in delta.configs_changed:
            if resource.type == ResourceType.TOPIC:
                self._logs.update_config(resource.name)
        if delta.configs_changed:
            self._refresh_roles()

    def _refresh_roles(self) -> None:
        """`min.insync.replicas`, or who is throttled, may have changed."""
        for partition in list(self._partitions):
            if partition.followers is not None:
                self._lead_by_name(partition.topic_partition)
        if self._partitions.followed:
            self._replication_of().apply_settings()

    def on_directory_failed(self, directory: LogDirectory, partitions: list[TopicPartition]) -> None:
        """Take the partitions of a log directory offline; the others are served on. Of those with other replicas
        others may lead."""
        replicated = []
        for topic_partition in partitions:
            found = self._metadata.image.topic(topic_partition.topic)
            if found is not None:
                self._take_offline(found, topic_partition.partition)
                if len(found.partitions[topic_partition.partition].replicas) > 1:
                    replicated.append(topic_partition)
        if replicated:
            self._replication_of().give_up_replicas(replicated)
        _log.error(
            "log directory %s is offline: %s. Its %d partitions answer KAFKA_STORAGE_ERROR, the others are served. "
            "Mend the disk and restart the broker to have them back.",
            directory.path,
            directory.error,
            len(partitions),
        )

    def lead_unled(self) -> None:
        """Lead what could not be for want of space: partitions whose log could not be made."""
        for topic in self._metadata.image.topics.values():
            for index in range(len(topic.partitions)):
                if not self._partitions.is_here(topic.name, index):
                    self._lead(topic, index)

    def _take_offline(self, topic: TopicImage, index: int) -> None:
        followed = self._partitions.get_followed(TopicPartition(topic.name, index))
        if followed is not None:
            self._replication_of().unfollow(followed)
        self._partitions.take_offline(TopicPartition(topic.name, index), topic.topic_id)
        self._coordinators.drop(topic.name, index)

    def _lead_created(self) -> Iterator[None]:
        while self._created and self._partitions.lead_missing is not None:  # the end of service lets go of them
            topic_partition = next(iter(self._created))
            self._lead_by_name(topic_partition)
            self._created.pop(topic_partition, None)
            yield
        self._is_leading_created = False

    def _know_topic(self, topic: TopicImage) -> None:
        self._coordinators.on_topic(topic.name, len(topic.partitions))
        self._partitions.add_topic(topic.topic_id, topic.name)

    def _lead_topic(self, topic: TopicImage) -> None:
        self._know_topic(topic)
        for index in range(len(topic.partitions)):
            self._lead(topic, index)

    def _lead_by_name(self, topic_partition: TopicPartition) -> None:
        found = self._metadata.image.topic(topic_partition.topic)
        if found is not None and topic_partition.partition < len(found.partitions):
            self._lead(found, topic_partition.partition)

    def _lead_missing(self, name: str, index: int) -> Partition | None:
        """Lead a partition that was left for when somebody asks for it."""
        topic = self._metadata.image.topic(name)
        if topic is None or not 0 <= index < len(topic.partitions):
            return None
        self._lead(topic, index, asked_for=True)
        return self._partitions.get_present(name, index)

    def _lead(self, topic: TopicImage, index: int, *, asked_for: bool = False) -> None:
        """Lead a partition if the image says so. A log that cannot be had takes only its partition offline.

        A log that ended cleanly is left alone until somebody asks for it, unless a coordinator reads it.
        """
        image = topic.partitions[index]
        if image.leader != self._metadata.node_id:
            self._lead_no_more(topic, index)
            return
        topic_partition = TopicPartition(topic.name, index)
        if not asked_for and not self._coordinators.coordinate(topic.name) and self._logs.is_unopened(topic_partition):
            return
        try:
            partition = self._opened(topic, index)
            is_led = partition.is_leader and partition.leader_epoch == image.leader_epoch
            if len(image.replicas) == 1:
                partition.lead(image, None)
            else:
                replication = self._replication_of()
                replication.unfollow(partition)
                partition.lead(image, partial(replication.leader_role, partition, image))
            self._partitions.add(partition)
        except (KafkaError, StorageError) as error:
            self._on_unopened(topic, index, error)
            return
        if not is_led:
            self._coordinators.lead(topic.name, index, image.leader_epoch)

    def _opened(self, topic: TopicImage, index: int) -> Partition:
        """The partition, its log opened or made where that is still to be done. Raises KafkaError, StorageError."""
        topic_partition = TopicPartition(topic.name, index)
        found = self._partitions.get_present(topic.name, index) or self._partitions.get_followed(topic_partition)
        if found is None:
            is_new = topic_partition in self._created
            log = (self._logs.create if is_new else self._logs.find_or_create)(topic_partition, topic.topic_id)
            image = topic.partitions[index]
            found = Partition(log, topic.topic_id, image.leader, list(image.replicas))
            self._created.pop(topic_partition, None)
        return found

    def _on_unopened(self, topic: TopicImage, index: int, error: KafkaError | StorageError) -> None:
        """What the process or the volume lacked may be there when the partition is asked for again."""
        if not isinstance(error, LogMissing):  # said once for all of them
            _log.error("%s is offline: %s", TopicPartition(topic.name, index), error)
        if not isinstance(error, StorageError) or self._logs.on_storage_error(error) is Trouble.DIRECTORY:
            self._take_offline(topic, index)

    # -- following -------------------------------------------------------------------------------------------------

    def _is_elsewhere(self, name: str, index: int) -> bool:
        image = self._metadata.image.partition(name, index)
        return image is not None and image.leader != self._metadata.node_id

    def _lead_no_more(self, topic: TopicImage, index: int) -> None:
        """Follow who leads, if this broker holds a replica: at once where it led until now, else in its turn."""
        topic_partition = TopicPartition(topic.name, index)
        if self._metadata.node_id not in topic.partitions[index].replicas:
            self._created.pop(topic_partition, None)
            self._give_away(topic, index)
        elif self._partitions.is_here(topic.name, index):
            self._follow(topic, index)
        else:
            self._to_follow[topic_partition] = None
            if not self._is_opening_followed:
                self._is_opening_followed = True
                self._turns.run(self._open_followed())

    def _open_followed(self) -> Iterator[None]:
        while self._to_follow and self._partitions.lead_missing is not None:
            name, index = topic_partition = next(iter(self._to_follow))
            del self._to_follow[topic_partition]
            topic = self._metadata.image.topic(name)
            if topic is not None and index < len(topic.partitions):
                image = topic.partitions[index]
                if image.leader != self._metadata.node_id and self._metadata.node_id in image.replicas:
                    self._follow(topic, index)
            yield
        self._is_opening_followed = False

    def _follow(self, topic: TopicImage, index: int) -> None:
        if self._partitions.is_offline(topic.name, index):
            return
        self._coordinators.drop(topic.name, index)
        try:
            partition = self._opened(topic, index)
            self._replication_of().follow(partition, topic.partitions[index])
            self._partitions.add_followed(partition)
        except (KafkaError, StorageError) as error:
            self._on_unopened(topic, index, error)

    def _give_away(self, topic: TopicImage, index: int) -> None:
        """The partition is on other brokers: let go of it, and of its log if it was moved under our eyes.

        At the start the metadata may be an older copy, and this log be the better one: see `_delete_departed`.
        """
        topic_partition = TopicPartition(topic.name, index)
        self._to_follow.pop(topic_partition, None)
        found = self._partitions.remove(topic_partition)
        if found is not None:
            self._coordinators.drop(topic.name, index)
            if len(found.replicas) > 1:
                self._replication_of().unfollow(found)
        if self._is_started and topic_partition in self._logs:
            _log.info("%s was moved to other brokers: its log is deleted", topic_partition)
            self._delete_log(topic_partition)

    def _delete_log(self, topic_partition: TopicPartition) -> None:
        try:
            self._logs.delete(topic_partition)
        except StorageError as error:
            _log.error("%s was not deleted from disk: %s", topic_partition, error)
            self._logs.on_storage_error(error)

    def _drop_topic(self, topic: TopicImage) -> None:
        for index in range(len(topic.partitions)):
            topic_partition = TopicPartition(topic.name, index)
            self._created.pop(topic_partition, None)
            self._to_follow.pop(topic_partition, None)
            found = self._partitions.remove(topic_partition)
            if found is not None and len(found.replicas) > 1:
                self._replication_of().unfollow(found)
            self._coordinators.drop(topic.name, index)
            self._delete_log(topic_partition)
        self._partitions.remove_topic(topic.topic_id)


def _coordinated_last(topic: TopicImage) -> tuple[bool, str]:
    """Internal topics after all others, transactions after offsets: what they go on with needs those partitions."""
    return topic.is_internal, topic.name

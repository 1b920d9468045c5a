"""Elections, reassignments and moves between log directories, of a broker that is alone and has two directories."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from broker_bench import Bench, only
from test_directory_failure import TwoDirectories

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicPartition
from tailrace.broker.handlers import (
    alter_partition_reassignments,
    alter_replica_log_dirs,
    elect_leaders,
    list_partition_reassignments,
    update_features,
)
from tailrace.broker.served import FEATURES
from tailrace.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from tailrace.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from tailrace.wire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from tailrace.wire.messages.list_partition_reassignments import ListPartitionReassignmentsRequest
from tailrace.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest

PREFERRED, UNCLEAN = 0, 1


@pytest.fixture
def two(tmp_path: Path) -> TwoDirectories:
    return TwoDirectories(tmp_path)


def elected(bench: Bench, kind: int, topics: list[TopicPartitions] | None) -> dict[str, dict[int, int]]:
    response = elect_leaders.handle(bench.services, bench.context(43, 2), ElectLeadersRequest(kind, topics))
    return {
        topic.topic: {result.partition_id: result.error_code for result in topic.partition_result}
        for topic in response.replica_election_results
    }


def test_a_partition_on_an_offline_directory_has_nobody_to_elect(two: TwoDirectories) -> None:
    assert elected(two.bench, PREFERRED, None) == {"t": {}}
    two.disk.fail(two.lost_path, errno.EIO)
    two.codes()
    for kind, code in (
        (PREFERRED, ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE),
        (UNCLEAN, ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE),
    ):
        asked = elected(two.bench, kind, [TopicPartitions("t", [0, 1, 2, 3])])
        assert asked == {"t": {i: code if i in two.lost else ErrorCode.ELECTION_NOT_NEEDED for i in range(4)}}
        assert elected(two.bench, kind, None) == {"t": dict.fromkeys(two.lost, code)}, "what needs none is left out"


def test_an_unknown_type_of_election_is_refused(bench: Bench) -> None:
    with pytest.raises(KafkaError) as caught:
        elect_leaders.handle(bench.services, bench.context(43, 2), ElectLeadersRequest(2, None))
    assert caught.value.code == ErrorCode.INVALID_REQUEST


def test_a_reassignment_to_where_it_is_writes_nothing(bench: Bench) -> None:
    bench.topic("t", 2)
    version = bench.metadata.image.version
    wishes = [ReassignablePartition(0, [1]), ReassignablePartition(1, None), ReassignablePartition(2, [1])]
    request = AlterPartitionReassignmentsRequest(topics=[ReassignableTopic("t", wishes)])
    response = alter_partition_reassignments.handle(bench.services, bench.context(45, 1), request)
    assert [(each.partition_index, each.error_code) for each in only(response.responses).partitions] == [
        (0, ErrorCode.NONE),
        (1, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS),
        (2, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ]
    assert bench.metadata.image.version == version
    listed = list_partition_reassignments.handle(
        bench.services, bench.context(46, 0), ListPartitionReassignmentsRequest()
    )
    assert (listed.error_code, listed.topics) == (0, [])


def moved(two: TwoDirectories, path: object, *indexes: int, topic: str = "t") -> list[int]:
    wishes = [AlterReplicaLogDir(str(path), [AlterReplicaLogDirTopic(topic, list(indexes))])]
    bench = two.bench
    response = alter_replica_log_dirs.handle(bench.services, bench.context(34, 2), AlterReplicaLogDirsRequest(wishes))
    return [each.error_code for each in only(response.results).partitions]


def test_nothing_is_moved_between_directories_and_that_is_said(two: TwoDirectories) -> None:
    other = next(path for path in two.paths if path != two.lost_path)
    index = two.lost[0]
    assert moved(two, two.lost_path, index) == [ErrorCode.NONE]
    assert moved(two, other, index) == [ErrorCode.UNSUPPORTED_VERSION]
    assert moved(two, "/no/such", index) == [ErrorCode.LOG_DIR_NOT_FOUND]
    assert moved(two, other, 9) == moved(two, other, 0, topic="u") == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    assert two.bench.logs.directory_of(TopicPartition("t", index)).path == two.lost_path
    two.disk.fail(two.lost_path, errno.EIO)
    two.codes()
    assert moved(two, other, index) == moved(two, two.lost_path, two.kept[0]) == [ErrorCode.KAFKA_STORAGE_ERROR]


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_stays_at_its_level(bench: Bench, name: str) -> None:
    def update(level: int, version: int = 2) -> object:
        request = UpdateFeaturesRequest(feature_updates=[FeatureUpdateKey(name, level)])
        return update_features.handle(bench.services, bench.context(57, version), request)

    level = FEATURES[name]
    assert update(level).results == []  # type: ignore[attr-defined]
    assert [each.feature for each in update(level, 1).results] == [name]  # type: ignore[attr-defined]
    for other in (level - 1, level + 1):
        with pytest.raises(KafkaError) as caught:
            update(other)
        assert caught.value.code == ErrorCode.INVALID_UPDATE_VERSION

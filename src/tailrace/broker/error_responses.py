"""An API's answer when the whole request failed: the same code for everything the request names.

Kafka gives each request class a `getErrorResponse`. Here a response with a code at its top carries it there, and one
that answers item by item mirrors the request's items: `_LEVELS` says which list of the request becomes which list of
the response, level by level, and the code stands in the innermost items (in all levels that have the field).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from tailrace.base.errors import KafkaError
from tailrace.wire.api import Api, ApiKey


class _Level(NamedTuple):
    """One list of a request, the list of the response it becomes, and the class of that list's items."""

    asked: str
    answered: str
    item: str


_LEVELS: dict[int, tuple[_Level, ...]] = {
    ApiKey.PRODUCE: (
        _Level("topic_data", "responses", "TopicProduceResponse"),
        _Level("partition_data", "partition_responses", "PartitionProduceResponse"),
    ),
    ApiKey.FETCH: (
        _Level("topics", "responses", "FetchableTopicResponse"),
        _Level("partitions", "partitions", "PartitionData"),
    ),
    ApiKey.LIST_OFFSETS: (
        _Level("topics", "topics", "ListOffsetsTopicResponse"),
        _Level("partitions", "partitions", "ListOffsetsPartitionResponse"),
    ),
    ApiKey.METADATA: (_Level("topics", "topics", "MetadataResponseTopic"),),
    ApiKey.OFFSET_COMMIT: (
        _Level("topics", "topics", "OffsetCommitResponseTopic"),
        _Level("partitions", "partitions", "OffsetCommitResponsePartition"),
    ),
    ApiKey.OFFSET_DELETE: (
        _Level("topics", "topics", "OffsetDeleteResponseTopic"),
        _Level("partitions", "partitions", "OffsetDeleteResponsePartition"),
    ),
    ApiKey.TXN_OFFSET_COMMIT: (
        _Level("topics", "topics", "TxnOffsetCommitResponseTopic"),
        _Level("partitions", "partitions", "TxnOffsetCommitResponsePartition"),
    ),
    ApiKey.WRITE_TXN_MARKERS: (
        _Level("markers", "markers", "WritableTxnMarkerResult"),
        _Level("topics", "topics", "WritableTxnMarkerTopicResult"),
        _Level("partition_indexes", "partitions", "WritableTxnMarkerPartitionResult"),
    ),
    ApiKey.DESCRIBE_TRANSACTIONS: (_Level("transactional_ids", "transaction_states", "TransactionState"),),
    ApiKey.FIND_COORDINATOR: (_Level("coordinator_keys", "coordinators", "Coordinator"),),
    ApiKey.DESCRIBE_GROUPS: (_Level("groups", "groups", "DescribedGroup"),),
    ApiKey.DELETE_GROUPS: (_Level("groups_names", "results", "DeletableGroupResult"),),
    ApiKey.CREATE_TOPICS: (_Level("topics", "topics", "CreatableTopicResult"),),
    ApiKey.CREATE_PARTITIONS: (_Level("topics", "results", "CreatePartitionsTopicResult"),),
    ApiKey.DELETE_RECORDS: (
        _Level("topics", "topics", "DeleteRecordsTopicResult"),
        _Level("partitions", "partitions", "DeleteRecordsPartitionResult"),
    ),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: (
        _Level("topics", "topics", "OffsetForLeaderTopicResult"),
        _Level("partitions", "partitions", "EpochEndOffset"),
    ),
    ApiKey.DESCRIBE_CONFIGS: (_Level("resources", "results", "DescribeConfigsResult"),),
    ApiKey.ALTER_CONFIGS: (_Level("resources", "responses", "AlterConfigsResourceResponse"),),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: (_Level("resources", "responses", "AlterConfigsResourceResponse"),),
    ApiKey.DESCRIBE_PRODUCERS: (
        _Level("topics", "topics", "TopicResponse"),
        _Level("partition_indexes", "partitions", "PartitionResponse"),
    ),
    ApiKey.ELECT_LEADERS: (
        _Level("topic_partitions", "replica_election_results", "ReplicaElectionResult"),
        _Level("partitions", "partition_result", "PartitionResult"),
    ),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: (
        _Level("topics", "responses", "ReassignableTopicResponse"),
        _Level("partitions", "partitions", "ReassignablePartitionResponse"),
    ),
    ApiKey.CREATE_ACLS: (_Level("creations", "results", "AclCreationResult"),),
    ApiKey.DELETE_ACLS: (_Level("filters", "filter_results", "DeleteAclsFilterResult"),),
    ApiKey.CONSUMER_GROUP_DESCRIBE: (_Level("group_ids", "groups", "DescribedGroup"),),
    ApiKey.SHARE_GROUP_DESCRIBE: (_Level("group_ids", "groups", "DescribedGroup"),),
    ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS: (_Level("groups", "groups", "DescribeShareGroupOffsetsResponseGroup"),),
    ApiKey.INITIALIZE_SHARE_GROUP_STATE: (
        _Level("topics", "results", "InitializeStateResult"),
        _Level("partitions", "partitions", "PartitionResult"),
    ),
    ApiKey.READ_SHARE_GROUP_STATE: (
        _Level("topics", "results", "ReadStateResult"),
        _Level("partitions", "partitions", "PartitionResult"),
    ),
    ApiKey.WRITE_SHARE_GROUP_STATE: (
        _Level("topics", "results", "WriteStateResult"),
        _Level("partitions", "partitions", "PartitionResult"),
    ),
    ApiKey.DELETE_SHARE_GROUP_STATE: (
        _Level("topics", "results", "DeleteStateResult"),
        _Level("partitions", "partitions", "PartitionResult"),
    ),
    ApiKey.READ_SHARE_GROUP_STATE_SUMMARY: (
        _Level("topics", "results", "ReadStateSummaryResult"),
        _Level("partitions", "partitions", "PartitionResult"),
    ),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: (_Level("topics", "topics", "DescribeTopicPartitionsResponseTopic"),),
}

_NAMES_OF_A_KEY = ("key", "group_id", "name", "transactional_id")
_INDEXES_OF_A_PARTITION = ("partition_index", "partition_id")
_CODES = ("error_code", "partition_error_code")


def error_response(found: Api, version: int, request: Any, error: KafkaError) -> Any:
    """A response to `request` that says the error, code and message, wherever the protocol has a place for it."""
    response = found.response()
    _say(response, error)
    module = import_module(found.response.__module__)
    levels = _levels(found.key, version)
    if levels and not (found.key == ApiKey.FETCH and version >= 7):
        _mirror(module, levels, request, response, error)
    return response


def _levels(key: int, version: int) -> tuple[_Level, ...]:
    """The levels of an API; four of them changed the shape of their lists over time."""
    if key == ApiKey.OFFSET_FETCH:
        if version >= 8:
            return (_Level("groups", "groups", "OffsetFetchResponseGroup"),)
        return (
            _Level("topics", "topics", "OffsetFetchResponseTopic"),
            _Level("partition_indexes", "partitions", "OffsetFetchResponsePartition"),
        )
    if key == ApiKey.ADD_PARTITIONS_TO_TXN and version < 4:
        return (
            _Level("v3_and_below_topics", "results_by_topic_v3_and_below", "AddPartitionsToTxnTopicResult"),
            _Level("partitions", "results_by_partition", "AddPartitionsToTxnPartitionResult"),
        )
    if key == ApiKey.DELETE_TOPICS:
        return (_Level("topics" if version >= 6 else "topic_names", "responses", "DeletableTopicResult"),)
    return _LEVELS.get(key, ())


def _say(item: Any, error: KafkaError) -> None:
    for name in _CODES:
        if name in item.__slots__:
            setattr(item, name, int(error.code))
    if "error_message" in item.__slots__ and error.message is not None:
        item.error_message = error.message


def _mirror(module: Any, levels: tuple[_Level, ...], request: Any, response: Any, error: KafkaError) -> None:
    level, deeper = levels[0], levels[1:]
    answers = []
    for asked in getattr(request, level.asked) or ():
        item = getattr(module, level.item)()
        _copy_names(asked, item)
        _say(item, error)
        if "committed_offset" in item.__slots__:
            item.committed_offset = -1  # nothing is known; 0 would be the first record
        if deeper:
            _mirror(module, deeper, asked, item, error)
        answers.append(item)
    setattr(response, level.answered, answers)


def _copy_names(asked: Any, item: Any) -> None:
    """Copy what identifies an item: its own name when it is just a string or a number, else its scalar fields."""
    if isinstance(asked, int):
        setattr(item, next(name for name in _INDEXES_OF_A_PARTITION if name in item.__slots__), asked)
    elif isinstance(asked, str):
        setattr(item, next(name for name in _NAMES_OF_A_KEY if name in item.__slots__), asked)
    else:
        for name in asked.__slots__:
            target = "partition_index" if name == "partition" and name not in item.__slots__ else name
            value = getattr(asked, name)
            if target in item.__slots__ and not isinstance(value, list):
                # No response names a topic by null; Kafka says "" there too.
                setattr(item, target, "" if value is None else value)

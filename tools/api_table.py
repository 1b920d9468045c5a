"""Writes the table of what is served, by API and version, into every document that has its markers.

    python tools/api_table.py            writes
    python tools/api_table.py --check    fails when a document is not current, or none has the markers

The table is made from `tailrace.broker.served` and `tailrace.wire.versions`; `KAFKA_4_3` is what a broker of Apache
Kafka 4.3 answers on its own listener, from the schemas of that release (unstable versions left out).
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from tailrace.broker.served import SERVED  # noqa: E402
from tailrace.wire.api import ApiKey, camel_case, versions  # noqa: E402

BEGIN = "<!-- served: written by tools/api_table.py -->"
END = "<!-- /served -->"

KAFKA_4_3: dict[str, tuple[int, int, int]] = {
    "Produce": (0, 3, 13),
    "Fetch": (1, 4, 18),
    "ListOffsets": (2, 1, 11),
    "Metadata": (3, 0, 13),
    "OffsetCommit": (8, 2, 10),
    "OffsetFetch": (9, 1, 10),
    "FindCoordinator": (10, 0, 6),
    "JoinGroup": (11, 0, 9),
    "Heartbeat": (12, 0, 4),
    "LeaveGroup": (13, 0, 5),
    "SyncGroup": (14, 0, 5),
    "DescribeGroups": (15, 0, 6),
    "ListGroups": (16, 0, 5),
    "SaslHandshake": (17, 0, 1),
    "ApiVersions": (18, 0, 4),
    "CreateTopics": (19, 2, 7),
    "DeleteTopics": (20, 1, 6),
    "DeleteRecords": (21, 0, 2),
    "InitProducerId": (22, 0, 5),
    "OffsetForLeaderEpoch": (23, 2, 4),
    "AddPartitionsToTxn": (24, 0, 5),
    "AddOffsetsToTxn": (25, 0, 4),
    "EndTxn": (26, 0, 5),
    "WriteTxnMarkers": (27, 1, 2),
    "TxnOffsetCommit": (28, 0, 5),
    "DescribeAcls": (29, 1, 3),
    "CreateAcls": (30, 1, 3),
    "DeleteAcls": (31, 1, 3),
    "DescribeConfigs": (32, 1, 4),
    "AlterConfigs": (33, 0, 2),
    "AlterReplicaLogDirs": (34, 1, 2),
    "DescribeLogDirs": (35, 1, 5),
    "SaslAuthenticate": (36, 0, 2),
    "CreatePartitions": (37, 0, 3),
    "CreateDelegationToken": (38, 1, 3),
    "RenewDelegationToken": (39, 1, 2),
    "ExpireDelegationToken": (40, 1, 2),
    "DescribeDelegationToken": (41, 1, 3),
    "DeleteGroups": (42, 0, 2),
    "ElectLeaders": (43, 0, 2),
    "IncrementalAlterConfigs": (44, 0, 1),
    "AlterPartitionReassignments": (45, 0, 1),
    "ListPartitionReassignments": (46, 0, 0),
    "OffsetDelete": (47, 0, 0),
    "DescribeClientQuotas": (48, 0, 1),
    "AlterClientQuotas": (49, 0, 1),
    "DescribeUserScramCredentials": (50, 0, 0),
    "AlterUserScramCredentials": (51, 0, 0),
    "DescribeQuorum": (55, 0, 2),
    "UpdateFeatures": (57, 0, 2),
    "DescribeCluster": (60, 0, 2),
    "DescribeProducers": (61, 0, 0),
    "UnregisterBroker": (64, 0, 0),
    "DescribeTransactions": (65, 0, 0),
    "ListTransactions": (66, 0, 2),
    "ConsumerGroupHeartbeat": (68, 0, 1),
    "ConsumerGroupDescribe": (69, 0, 1),
    "GetTelemetrySubscriptions": (71, 0, 0),
    "PushTelemetry": (72, 0, 0),
    "ListConfigResources": (74, 0, 1),
    "DescribeTopicPartitions": (75, 0, 0),
    "ShareGroupHeartbeat": (76, 1, 1),
    "ShareGroupDescribe": (77, 1, 1),
    "ShareFetch": (78, 1, 2),
    "ShareAcknowledge": (79, 1, 2),
    "AddRaftVoter": (80, 0, 1),
    "RemoveRaftVoter": (81, 0, 0),
    "InitializeShareGroupState": (83, 0, 0),
    "ReadShareGroupState": (84, 0, 0),
    "WriteShareGroupState": (85, 0, 1),
    "DeleteShareGroupState": (86, 0, 0),
    "ReadShareGroupStateSummary": (87, 0, 1),
    "StreamsGroupHeartbeat": (88, 0, 0),
    "StreamsGroupDescribe": (89, 0, 0),
    "DescribeShareGroupOffsets": (90, 0, 1),
    "AlterShareGroupOffsets": (91, 0, 0),
    "DeleteShareGroupOffsets": (92, 0, 0),
}
"""Name -> (key, first version, last stable version)."""

NOTES = {
    ApiKey.PRODUCE: "message sets of before v3 are converted to batches",
    ApiKey.FETCH: "before v4 batches are converted to message sets",
    ApiKey.DESCRIBE_ACLS: "there is no authorizer: SECURITY_DISABLED",
    ApiKey.CREATE_ACLS: "SECURITY_DISABLED",
    ApiKey.DELETE_ACLS: "SECURITY_DISABLED",
    ApiKey.ALTER_REPLICA_LOG_DIRS: "to where it is; nothing is moved",
    ApiKey.DESCRIBE_CLIENT_QUOTAS: "there are none",
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: "there are none",
    ApiKey.UNREGISTER_BROKER: "of a broker that is not alive",
    ApiKey.UPDATE_FEATURES: "to the level it has",
    ApiKey.API_VERSIONS: "any other version is answered in v0 with error 35 (KIP-511)",
}


def span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def note(key: ApiKey, first: int, last: int) -> str:
    """What differs from Kafka 4.3 in the versions, and what `NOTES` adds."""
    _, kafka_first, kafka_last = KAFKA_4_3[camel_case(key)]
    parts = []
    if first < kafka_first:
        parts.append(f"v{span(first, kafka_first - 1)} for clients of before Kafka 2.1")
    if last > kafka_last:
        parts.append(f"v{span(kafka_last + 1, last)} is of Kafka 4.4")
    if key in NOTES:
        parts.append(NOTES[key])
    return "; ".join(parts)


def table() -> str:
    """The Markdown between the markers."""
    lines = ["| key | API | versions | Kafka 4.3 | note |", "|--:|---|---|---|---|"]
    for key in sorted(SERVED):
        found = versions(key)
        assert found is not None, f"{key.name} is served but has no messages"
        first, last, _ = found
        kafka = span(*KAFKA_4_3[camel_case(key)][1:])
        lines.append(f"| {int(key)} | {camel_case(key)} | {span(first, last)} | {kafka} | {note(key, first, last)} |")
    served = {camel_case(key) for key in SERVED}
    missing = [name for name in KAFKA_4_3 if name not in served]
    lines += ["", f"Not served, and not advertised: {', '.join(missing)}."]
    return "\n".join(lines)


def documents() -> dict[Path, str]:
    """Every document with the markers, as it should be."""
    found = {}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if begin and end:
            found[path] = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    return found


def main() -> int:
    """Write, or with `--check` compare."""
    wanted = documents()
    stale = [path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    if "--check" not in sys.argv[1:]:
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
        return 0
    for path in stale:
        print(f"stale: {path.relative_to(ROOT)}; run tools/api_table.py")
    if not wanted:
        print(f"no document has the markers {BEGIN} and {END}")
    return 1 if stale or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())

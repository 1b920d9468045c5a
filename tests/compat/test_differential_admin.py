"""Elections, reassignments, log directories, ACLs, quotas, SCRAM users and features: our answers beside Apache Kafka's.

Kafka has features, and levels of them, that we have not; only the answers about the ones we share are compared.
"""

from collections.abc import Callable
from typing import Any

import pytest
from tests.compat.differential import Session
from tests.compat.raw import versions_known

Same = Callable[[Callable[[Session], None]], None]
TIMEOUT_MS = 5000


@pytest.mark.parametrize("version", versions_known("elect_leaders"))
def test_elect_leaders(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"el-v{version}"
        s.create_topic(name, 2)

        def elect(label: str, *topics: tuple[str, list[int]], kind: int = 0) -> None:
            asked = [{"topic": topic, "partitions": indexes} for topic, indexes in topics]
            s.note(label, "elect_leaders", version, election_type=kind, topic_partitions=asked, timeout=TIMEOUT_MS)

        for kind in (0,) if version == 0 else (0, 1, 2, -1):
            elect(f"type {kind}", (name, [0, 1]), kind=kind)
            elect(f"unknown, type {kind}", ("never-was", [0]), (name, [7, -1, 0]), kind=kind)
            every = s.peer.ask("elect_leaders", version, election_type=kind, topic_partitions=None, timeout=TIMEOUT_MS)
            mine = [topic for topic in every["replica_election_results"] if topic["topic"] == name]
            s.keep(f"all, type {kind}", (every.get("error_code"), mine))
        elect("nothing")
        elect("twice", (name, [0, 0]), (name, [1]))
        elect("invalid name", ("bad name!", [0]))
        elect("no partitions", (name, []))

    same(scenario)


@pytest.mark.parametrize("version", versions_known("alter_partition_reassignments"))
def test_alter_partition_reassignments(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"re-v{version}"
        s.create_topic(name, 2)
        here = s.peer.ask("metadata", 9, topics=[{"name": name}])["brokers"][0]["node_id"]

        def reassign(label: str, *wishes: tuple[int, list[int] | None], topic: str = name, **more: Any) -> None:
            partitions = [{"partition_index": index, "replicas": replicas} for index, replicas in wishes]
            topics = [{"name": topic, "partitions": partitions}]
            s.note(label, "alter_partition_reassignments", version, topics=topics, timeout=TIMEOUT_MS, **more)

        reassign("to itself", (0, [here]), (1, [here]))
        reassign("cancel", (0, None))
        reassign("unknown broker", (0, [here + 7]))
        reassign("one more, unknown", (0, [here, here + 7]))
        reassign("twice the same", (0, [here, here]))
        reassign("nobody", (0, []))
        reassign("negative", (0, [-1]))
        reassign("unknown partition", (9, [here]), (-1, [here]), (0, [here]))
        reassign("unknown topic", (0, [here]), topic="never-was")
        reassign("cancel of an unknown topic", (0, None), topic="never-was")
        reassign("invalid name", (0, [here]), topic="bad name!")
        reassign("one partition twice", (0, [here]), (0, [here + 7]), (1, None))
        reassign("no partitions")
        if version >= 1:
            for label, replicas in (("same", [here]), ("unknown", [here + 7]), ("nobody", [])):
                reassign(f"fixed factor, {label}", (0, replicas), allow_replication_factor_change=False)
        s.note("afterwards", "list_partition_reassignments", 0, topics=None, timeout=TIMEOUT_MS)
        asked = [{"name": name, "partition_indexes": [0, 9]}, {"name": "never-was", "partition_indexes": [0]}]
        s.note("asked for", "list_partition_reassignments", 0, topics=asked, timeout=TIMEOUT_MS)
        s.note("nothing", "list_partition_reassignments", 0, topics=[], timeout=TIMEOUT_MS)

    same(scenario)


@pytest.mark.parametrize("version", versions_known("alter_replica_log_dirs"))
def test_alter_replica_log_dirs(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"ad-v{version}"
        s.create_topic(name, 2)
        [home] = s.peer.ask("describe_log_dirs", 4, topics=[])["results"]

        def move(label: str, path: str, *topics: tuple[str, list[int]]) -> None:
            wishes = [{"name": topic, "partitions": indexes} for topic, indexes in topics]
            s.note(label, "alter_replica_log_dirs", version, dirs=[{"path": path, "topics": wishes}])

        move("where it is", home["log_dir"], (name, [0, 1]))
        move("unknown directory", "/no/such", (name, [0]))
        move("relative", "data", (name, [0]))
        move("written otherwise", home["log_dir"] + "/", (name, [0]))
        move("unknown topic", home["log_dir"], ("never-was", [0]), (name, [0]))
        move("unknown partition", home["log_dir"], (name, [9, -1, 1]))
        move("nothing", home["log_dir"])
        move("no partitions", home["log_dir"], (name, []))
        s.note("no directories", "alter_replica_log_dirs", version, dirs=[])

    same(scenario)


@pytest.mark.parametrize("version", versions_known("describe_acls"))
def test_acls_without_an_authorizer(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        kinds = {"operation": 3, "permission_type": 3}
        s.note("describe", "describe_acls", version, resource_type_filter=2, pattern_type_filter=3, **kinds)
        wish = {
            "resource_type": 2,
            "resource_name": "x",
            "resource_pattern_type": 3,
            "principal": "User:a",
            "host": "*",
        }
        s.note("create", "create_acls", version, creations=[{**wish, **kinds}] * 2)
        s.note("create nothing", "create_acls", version, creations=[])
        filters = [{"resource_type_filter": 2, "pattern_type_filter": 3, **kinds}]
        s.note("delete", "delete_acls", version, filters=filters * 2)

    same(scenario)


@pytest.mark.parametrize("version", versions_known("describe_client_quotas"))
def test_client_quotas(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        def describe(label: str, *components: tuple[str, int, str | None]) -> None:
            parts = [{"entity_type": kind, "match_type": way, "match": name} for kind, way, name in components]
            for strict in (False, True):
                asked = {"components": parts, "strict": strict}
                s.note(f"{label}, strict {strict}", "describe_client_quotas", version, **asked)

        describe("all")
        for kind in ("user", "client-id", "ip"):
            describe(f"any {kind}", (kind, 2, None))
            describe(f"default {kind}", (kind, 1, None))
        describe("one", ("user", 0, "a"))
        describe("two", ("user", 0, "a"), ("client-id", 2, None))
        describe("unknown type", ("nonsense", 0, "a"))
        describe("empty type", ("", 2, None))
        describe("unknown match", ("user", 9, "a"))
        describe("exact without a name", ("user", 0, None))
        describe("default with a name", ("user", 1, "x"))
        describe("any with a name", ("user", 2, "x"))
        describe("type twice", ("user", 2, None), ("user", 2, None))
        describe("ip and user", ("ip", 2, None), ("user", 2, None))

    same(scenario)


def test_scram_users(same: Same) -> None:
    def scenario(s: Session) -> None:
        for label, users in (("all", None), ("none named", []), ("some", ["a", "b", "a", ""])):
            names = None if users is None else [{"name": name} for name in users]
            s.note(label, "describe_user_scram_credentials", 0, users=names)

    same(scenario)


@pytest.mark.parametrize("version", versions_known("update_features"))
def test_update_features(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        def update(label: str, *wishes: tuple[str, int], upgrade_type: int = 1) -> None:
            updates = [{"feature": name, "max_version_level": level, "upgrade_type": upgrade_type}
                       for name, level in wishes]  # fmt: skip
            # Never for real: the broker is shared.
            fields = {"feature_updates": updates, "timeout": TIMEOUT_MS, "validate_only": True}
            s.note(label, "update_features", version, **fields)

        update("as it is", ("group.version", 1))
        update("two as they are", ("group.version", 1), ("transaction.version", 2))
        update("too high", ("group.version", 70))
        update("too high, and one as it is", ("transaction.version", 2), ("group.version", 70))
        update("lower", ("group.version", 0))
        update("negative", ("group.version", -1))
        update("unknown", ("no.such.feature", 1))
        update("nothing")
        if version >= 1:
            update("unknown type", ("group.version", 1), upgrade_type=9)
            update("safe downgrade to what it is", ("group.version", 1), upgrade_type=2)

    same(scenario)

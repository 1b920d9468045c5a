"""Topics, partitions, the cluster and its log directories: our answers beside Apache Kafka's."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from tests.compat.differential import Session, batch, latest, simple
from tests.compat.raw import versions_known

Same = Callable[[Callable[[Session], None]], None]
UNKNOWN_ID = UUID("6f3c1f5e-0b52-4a8e-9c5e-3d2f1b0a9e88")


def topic(name: str, partitions: int = 1, replicas: int = 1, **configs: str) -> dict[str, Any]:
    entries = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    return {"name": name, "num_partitions": partitions, "replication_factor": replicas, "configs": entries}


@pytest.mark.parametrize("version", versions_known("create_topics"))
def test_create_topics(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        def create(label: str, *topics: dict[str, Any], **more: Any) -> None:
            s.note(label, "create_topics", version, topics=list(topics), timeout=10_000, **more)

        name = f"ct-v{version}"
        create("good", topic(name, 2, cleanup_policy="compact", segment_bytes="1048576"))
        create("duplicate", topic(name))
        create("duplicate in one request", topic(name + "x"), topic(name + "x"))
        create("validate only", topic(name + "-dry", 3), validate_only=True)
        create("validate only of a duplicate", topic(name), validate_only=True)
        for bad in ("bad name!", "", ".", "..", "x" * 250, "a/b"):
            create(f"invalid name {bad[:12]!r}", topic(bad))
        create("name to collide with", topic(name.replace("-", ".")))
        create("colliding name", topic(name.replace("-", "_")))
        create("no partitions", topic(name + "-p0", 0))
        create("negative partitions", topic(name + "-pm", -2))
        create("default partitions", topic(name + "-pd", -1))
        create("too many replicas", topic(name + "-r2", 1, 2))
        create("no replicas", topic(name + "-r0", 1, 0))
        create("default replicas", topic(name + "-rd", 1, -1))
        create("unknown config", topic(name + "-uc", no_such_config="1"))
        create("config out of range", topic(name + "-cr", segment_bytes="-5"))
        create("config of the wrong type", topic(name + "-ct", retention_ms="soon"))
        create("config not among the choices", topic(name + "-cc", cleanup_policy="burn"))
        null_value = topic(name + "-nv")
        null_value["configs"] = [{"name": "retention.ms", "value": None}]
        create("null config", null_value)
        create("good beside bad", topic(name + "-good"), topic(name + "-bad", 0))
        create("nothing")
        brokers = s.peer.ask("metadata", 1, topics=[])["brokers"]
        node = brokers[0]["node_id"]
        assigned = {"assignments": [{"partition_index": 0, "broker_ids": [node]}]}
        create("assigned", {**topic(name + "-a", -1, -1), **assigned})
        create("assigned and counted", {**topic(name + "-ac", 1, 1), **assigned})
        gap = {"assignments": [{"partition_index": 1, "broker_ids": [node]}]}
        create("assigned with a gap", {**topic(name + "-ag", -1, -1), **gap})
        stranger = {"assignments": [{"partition_index": 0, "broker_ids": [node + 99]}]}
        create("assigned to a stranger", {**topic(name + "-as", -1, -1), **stranger})
        twice = {"assignments": [{"partition_index": 0, "broker_ids": [node, node]}]}
        create("assigned twice", {**topic(name + "-at", -1, -1), **twice})

    same(scenario)


@pytest.mark.parametrize("version", versions_known("delete_topics"))
def test_delete_topics(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        names = [f"dt-v{version}-{i}" for i in range(3)]
        ids = [s.create_topic(name) for name in names]

        def delete(label: str, *topics: dict[str, Any]) -> None:
            named = [entry["name"] for entry in topics]
            fields = {"topics": list(topics)} if version >= 6 else {"topic_names": named}
            s.note(label, "delete_topics", version, timeout=10_000, **fields)

        delete("good", {"name": names[0], "topic_id": None})
        delete("gone", {"name": names[0], "topic_id": None})
        delete("unknown", {"name": "never-was", "topic_id": None})
        delete("twice", {"name": names[1], "topic_id": None}, {"name": names[1], "topic_id": None})
        delete("nothing")
        if version >= 6:
            delete("by id", {"name": None, "topic_id": ids[2]})
            delete("by unknown id", {"name": None, "topic_id": UNKNOWN_ID})
            delete("by name and id", {"name": names[1], "topic_id": ids[1]})
            delete("by neither", {"name": None, "topic_id": None})

    same(scenario)


@pytest.mark.parametrize("version", versions_known("create_partitions"))
def test_create_partitions(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"cp-v{version}"
        s.create_topic(name, 2)

        def grow(label: str, *topics: dict[str, Any], **more: Any) -> None:
            fields = {"topics": list(topics), "timeout": 10_000, "validate_only": False, **more}
            s.note(label, "create_partitions", version, **fields)

        grow("validate only", {"name": name, "count": 9}, validate_only=True)
        grow("good", {"name": name, "count": 3})
        grow("same", {"name": name, "count": 3})
        grow("fewer", {"name": name, "count": 1})
        grow("negative", {"name": name, "count": -1})
        grow("unknown topic", {"name": "never-was", "count": 3})
        grow("twice", {"name": name, "count": 5}, {"name": name, "count": 6})
        grow("wrong number of assignments", {"name": name, "count": 5, "assignments": [{"broker_ids": [999]}]})
        grow("unknown broker", {"name": name, "count": 4, "assignments": [{"broker_ids": [999]}]})
        grow("nothing")
        s.settle("list_offsets", 7, replica_id=-1, topics=[{"name": name, "partitions": latest(3)}])
        s.note("after", "metadata", 9, topics=[{"name": name}])

    same(scenario)


@pytest.mark.parametrize("version", [v for v in versions_known("metadata") if v >= 1])
def test_metadata(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"md-v{version}"
        topic_id = s.create_topic(name, 2)

        def metadata(label: str, topics: list[dict[str, Any]] | None, **more: Any) -> Any:
            return s.note(label, "metadata", version, topics=topics, **more)

        metadata("named", [{"name": name}])
        metadata("nothing", [])
        if version >= 4:
            metadata("unknown", [{"name": "never-was"}], allow_auto_topic_creation=False)
            metadata("good and unknown", [{"name": "never-was"}, {"name": name}], allow_auto_topic_creation=False)
            metadata("twice", [{"name": name}, {"name": name}], allow_auto_topic_creation=False)
            metadata("internal", [{"name": "__no_such"}], allow_auto_topic_creation=False)
        metadata("invalid name", [{"name": "bad name!"}])
        # Kafka's first answer is an error, for its controller works apart; a broker may well be ready at once.
        s.settle("metadata", version, topics=[{"name": f"{name}-auto"}], allow_auto_topic_creation=True)
        metadata("auto-created, later", [{"name": f"{name}-auto"}])
        every = s.peer.ask("metadata", version, topics=None)
        s.keep("all", sorted(t["name"] for t in every["topics"] if t["name"].startswith(name)))
        if version >= 8:
            metadata("authorised operations", [{"name": name}], include_topic_authorized_operations=True)
        if 8 <= version <= 10:
            metadata("authorised on the cluster", [], include_cluster_authorized_operations=True)
        if version >= 12:
            metadata("by id", [{"topic_id": topic_id, "name": None}])
            metadata("by unknown id", [{"topic_id": UNKNOWN_ID, "name": None}])
            metadata("by id and name", [{"topic_id": topic_id, "name": name}])

    same(scenario)


def test_describe_topic_partitions(same: Same) -> None:
    def scenario(s: Session) -> None:
        for name, partitions in (("dtp-a", 3), ("dtp-b", 2)):
            s.create_topic(name, partitions)

        def describe(label: str, *names: str, limit: int = 2000, cursor: tuple[str, int] | None = None) -> Any:
            start = cursor and {"topic_name": cursor[0], "partition_index": cursor[1]}
            topics = [{"name": name} for name in names]
            fields = {"topics": topics, "response_partition_limit": limit, "cursor": start}
            return s.note(label, "describe_topic_partitions", 0, **fields)

        describe("two", "dtp-b", "dtp-a")
        describe("unknown", "never-was", "dtp-a")
        describe("invalid name", "bad name!")
        describe("limited", "dtp-a", "dtp-b", limit=2)
        describe("from a cursor", "dtp-a", "dtp-b", cursor=("dtp-a", 2))
        describe("from a cursor, limited", "dtp-a", "dtp-b", limit=1, cursor=("dtp-a", 2))
        describe("cursor at the next topic", "dtp-a", "dtp-b", cursor=("dtp-b", 0))
        describe("no limit", "dtp-a", limit=0)
        describe("bad cursor", "dtp-a", cursor=("dtp-a", -1))

    same(scenario)


@pytest.mark.parametrize("version", versions_known("describe_cluster"))
def test_describe_cluster(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        s.note("plain", "describe_cluster", version)
        s.note("operations", "describe_cluster", version, include_cluster_authorized_operations=True)
        if version >= 1:
            s.note("controllers", "describe_cluster", version, endpoint_type=2)
            s.note("unknown endpoint type", "describe_cluster", version, endpoint_type=7)

    same(scenario)


@pytest.mark.parametrize("version", versions_known("describe_log_dirs"))
def test_describe_log_dirs(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"ld-v{version}"
        s.create_topic(name, 2)
        s.produce(name, 1, batch(simple(3)))
        s.note("partitions", "describe_log_dirs", version, topics=[{"topic": name, "partitions": [0, 1]}])
        s.note("one partition", "describe_log_dirs", version, topics=[{"topic": name, "partitions": [1]}])
        s.note("unknown", "describe_log_dirs", version, topics=[{"topic": "never-was", "partitions": [0]}])
        s.note("nothing", "describe_log_dirs", version, topics=[])
        every = s.peer.ask("describe_log_dirs", version, topics=None)["results"]
        mine = [t for directory in every for t in directory["topics"] if t["name"] == name]
        s.keep("all", [sorted((p["partition_index"], p["partition_size"]) for t in mine for p in t["partitions"])])

    same(scenario)


def test_api_versions(same: Same) -> None:
    """Every range we advertise must be one Kafka has, as far as it goes; what an unknown version gets is fixed."""

    def scenario(s: Session) -> None:
        for version in versions_known("api_versions"):
            answer = s.peer.ask(
                "api_versions", version, client_software_name="differential", client_software_version="1.0"
            )
            s.keep(f"v{version}", answer["error_code"])
        for name, release in (("", "1"), ("a", ""), ("-bad", "1"), ("a b", "1"), ("ok", "1.0-")):
            fields = {"client_software_name": name, "client_software_version": release}
            s.note(f"name {name!r} {release!r}", "api_versions", 3, **fields)

    same(scenario)

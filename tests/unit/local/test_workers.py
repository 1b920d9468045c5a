"""Who listens where and keeps what, of several workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.base.errors import TailraceError
from tailrace.local.child import Order
from tailrace.local.workers import Layout, WorkersOptions, lay_out, ordered
from tailrace.net.address import Address

DATA = Path("/srv/data")


def layout(count: int = 2, listen: str | None = "127.0.0.1:9092", ports: tuple[int, ...] = (), **given: str) -> Layout:
    settings = {name.replace("_", "."): value for name, value in given.items()}
    return lay_out(WorkersOptions(count, listen, DATA, settings), ports)


def test_workers_have_the_ports_directories_and_numbers_that_follow() -> None:
    shared, orders = layout(3)
    assert shared == Address("127.0.0.1", 9092)
    assert [order.listen for order in orders] == ["127.0.0.1:9093", "127.0.0.1:9094", "127.0.0.1:9095"]
    assert [order.data_dir for order in orders] == [f"/srv/data/workers/{number}" for number in (1, 2, 3)]
    assert {order.shared_listen for order in orders} == {"127.0.0.1:9092"}
    whole = ordered(layout(3), "etcd://127.0.0.1:1/x", first_node_id=7)
    assert [order.settings["node.id"] for order in whole] == ["7", "8", "9"]
    assert {order.settings["cluster.url"] for order in whole} == {"etcd://127.0.0.1:1/x"}
    assert [Order.decode(order.encode()) for order in orders] == [order._replace(routes=[]) for order in orders]


def test_ports_can_be_chosen_for_them() -> None:
    shared, orders = layout(listen="127.0.0.1:0", ports=(20_007, 20_003, 20_001))
    assert shared.port == 20_007
    assert [order.listen for order in orders] == ["127.0.0.1:20003", "127.0.0.1:20001"]


def test_the_first_answers_http_where_a_broker_alone_would_and_each_other_a_port_further() -> None:
    assert [order.settings.get("http.listen") for order in layout().orders] == [None, "127.0.0.1:9081"]
    given = layout(http_listen="0.0.0.0:8000").orders
    assert [order.settings["http.listen"] for order in given] == ["0.0.0.0:8000", "0.0.0.0:8001"]
    assert [order.settings["http.listen"] for order in layout(http_listen="").orders] == ["", ""]
    free = layout(http_listen="127.0.0.1:0").orders
    assert [order.settings["http.listen"] for order in free] == ["127.0.0.1:0"] * 2


def test_log_directories_on_several_disks_hold_those_of_the_workers() -> None:
    first, second = layout(log_dirs="/a,/b").orders
    assert first.settings["log.dirs"] == "/a/workers/1,/b/workers/1"
    assert second.settings["log.dirs"] == "/a/workers/2,/b/workers/2"


def test_advertised_ports_follow_the_advertised_one_and_workers_reach_each_other_without_it() -> None:
    given = {"advertised_listeners": "PLAINTEXT://kafka.example:19092"}
    _, orders = layout(listen="0.0.0.0:9092", **given)
    assert [order.settings["advertised.listeners"] for order in orders] == [
        "PLAINTEXT://kafka.example:19093",
        "PLAINTEXT://kafka.example:19094",
    ]
    routes = [("kafka.example", 19093, "127.0.0.1:9093"), ("kafka.example", 19094, "127.0.0.1:9094")]
    assert [order.routes for order in orders] == [routes, routes]


def test_listeners_of_the_settings_are_the_shared_address() -> None:
    shared, orders = layout(listen=None, listeners="PLAINTEXT://127.0.0.1:7000", node_id="4")
    assert str(shared) == "127.0.0.1:7000"
    assert not {"listeners", "node.id"} & orders[0].settings.keys()


def test_internal_topics_have_one_replica_unless_more_are_given() -> None:
    settings = layout(offsets_topic_replication_factor="2").orders[0].settings
    assert settings["offsets.topic.replication.factor"] == "2"
    assert settings["transaction.state.log.replication.factor"] == "1"


def test_leases_are_long_unless_they_are_given() -> None:
    assert layout().orders[0].settings["broker.session.timeout.ms"] == "30000"
    assert layout(broker_session_timeout_ms="9000").orders[0].settings["broker.session.timeout.ms"] == "9000"


@pytest.mark.parametrize(
    ("listen", "given", "words"),
    [
        ("unix:/tmp/s", {}, "--workers listens on one TCP address"),
        (None, {"listeners": "PLAINTEXT://a:1,PLAINTEXT://b:2"}, "--workers listens on one TCP address"),
        ("127.0.0.1:65534", {}, "2 workers need the 2 ports that follow 127.0.0.1:65534, and 65535 is the last"),
        ("127.0.0.1:9092", {"cluster_url": "etcd://a:1"}, "without cluster.url"),
        ("127.0.0.1:9092", {"http_listen": "nowhere"}, "http.listen 'nowhere' is not an address"),
    ],
)
def test_what_several_workers_cannot_have_is_one_sentence(
    listen: str | None, given: dict[str, str], words: str
) -> None:
    with pytest.raises(TailraceError) as refused:
        layout(listen=listen, **given)
    assert words in str(refused.value) and "\n" not in str(refused.value)

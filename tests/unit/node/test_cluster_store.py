"""What `cluster.url` may say, and whose id a cluster bears."""

from __future__ import annotations

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ConfigError, TailraceError
from tailrace.base.rand import SeededRandom
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.settings import BrokerSettings
from tailrace.net.address import Address
from tailrace.node.cluster_store import cluster_id_of, open_cluster_store, parse_cluster_url


@pytest.mark.parametrize(
    ("text", "endpoints", "is_tls", "name"),
    [
        ("etcd://h:2379", ["h:2379"], False, "default"),
        ("etcd://h:2379/", ["h:2379"], False, "default"),
        ("etcds://a:1,[::1]:2/prod-1", ["a:1", "[::1]:2"], True, "prod-1"),
    ],
)
def test_urls(text: str, endpoints: list[str], is_tls: bool, name: str) -> None:
    url = parse_cluster_url(text)
    assert (list(map(str, url.endpoints)), url.is_tls, url.name) == (endpoints, is_tls, name)
    assert all(isinstance(each, Address) for each in url.endpoints)


@pytest.mark.parametrize(
    "text", ["", "h:2379", "http://h:1", "etcd://", "etcd://h", "etcd://h:1/a/b", "etcd://h:1/a b"]
)
def test_what_is_no_url_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.url"):
        parse_cluster_url(text)


def test_files_that_cannot_be_read_are_named_as_settings() -> None:
    settings = BrokerSettings({"cluster.url": "etcds://h:1", "etcd.tls.ca.file": "/nowhere/ca.pem"})
    with pytest.raises(TailraceError, match=r"etcd\.tls"):
        open_cluster_store(settings, "life", ManualClock(), lambda call: call())


def test_the_first_that_asks_gives_the_cluster_its_id() -> None:
    store = MemoryStore(ManualClock())
    first = cluster_id_of(store, SeededRandom(1))
    assert len(first) == 22
    assert cluster_id_of(MemoryStore(ManualClock(), store), SeededRandom(2)) == first

"""The metadata store that `cluster.url` names, and the cluster's id in it. Loaded by brokers of a cluster only.

etcd://HOST:PORT[,HOST:PORT…][/NAME]     NAME, the cluster's, is "default" when it is not given
etcds://…                                 the same in TLS; `etcd.tls.*` mean TLS as well
"""

from __future__ import annotations

import logging
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import ConfigError, TailraceError
from tailrace.base.rand import Random
from tailrace.cluster.etcd_client import EtcdClient, EtcdOptions
from tailrace.cluster.etcd_health import EtcdHealth
from tailrace.cluster.etcd_store import EtcdStore
from tailrace.cluster.records import ClusterRecord
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.store import MetadataStore, StaleVersion
from tailrace.net.address import Address
from tailrace.net.http_client import TlsFiles

_log = logging.getLogger("tailrace.cluster")

SETTING: Final = "cluster.url"
DEFAULT_NAME: Final = "default"
_URL: Final = re.compile(r"(etcds?)://([^/]+)(?:/([A-Za-z0-9._-]+))?/?")


class ClusterUrl(NamedTuple):
    """What the setting says."""

    endpoints: tuple[Address, ...]
    is_tls: bool
    name: str


def parse_cluster_url(text: str) -> ClusterUrl:
    """Read the setting. Raises ConfigError, one sentence."""
    found = _URL.fullmatch(text)
    if found is None:
        raise ConfigError(SETTING, f"{SETTING} {text!r}: expected etcd://HOST:PORT[,HOST:PORT][/NAME].")
    try:
        endpoints = tuple(Address.parse(endpoint) for endpoint in found[2].split(","))
    except ValueError as error:
        raise ConfigError(SETTING, f"{SETTING} {text!r}: {error}.") from error
    return ClusterUrl(endpoints, found[1] == "etcds", found[3] or DEFAULT_NAME)


def open_cluster_store(
    settings: BrokerSettings, incarnation_id: str, clock: Clock, post: Callable[[Callable[[], object]], object]
) -> MetadataStore:
    """The store; nothing is asked of it yet. Raises TailraceError for a setting or a file that is of no use."""
    url = parse_cluster_url(settings.text(SETTING) or "")
    ca, certificate, key = (_path(settings, f"etcd.tls.{name}.file") for name in ("ca", "certificate", "key"))
    is_tls = url.is_tls or ca is not None or certificate is not None
    options = EtcdOptions(
        url.endpoints,
        TlsFiles(ca, certificate, key) if is_tls else None,
        settings.text("etcd.user") or "",
        settings.text("etcd.password") or "",
    )
    health = EtcdHealth(_log.warning)
    try:
        client = EtcdClient(options, clock, health.on_call)
    except OSError as error:
        raise TailraceError(f"the files of etcd.tls.* cannot be used: {error}") from error
    return EtcdStore(client, f"/tailrace/{url.name}", incarnation_id, post)


def _path(settings: BrokerSettings, name: str) -> Path | None:
    text = settings.text(name)
    return Path(text) if text else None


def cluster_id_of(store: MetadataStore, random: Random) -> str:
    """The id of the cluster; the first broker that asks gives it one. Waits."""
    while True:
        version, records = store.load()
        found = next((record.cluster_id for record in records if isinstance(record, ClusterRecord)), None)
        if found is not None:
            return found
        cluster_id = urlsafe_b64encode(random.uuid().bytes).rstrip(b"=").decode()
        try:
            store.append(version, [ClusterRecord(cluster_id)])
        except StaleVersion:
            continue
        return cluster_id

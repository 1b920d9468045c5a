"""Where the broker listens: `--listen`, else Kafka's `listeners`, else the default on loopback.

`listeners` is a list of NAME://HOST:PORT; an empty host means every address. The protocol of a name is its own, or what
`listener.security.protocol.map` says. Only PLAINTEXT is served; another is refused at start, in one sentence.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ConfigError, TailraceError
from tailrace.cluster.settings import BrokerSettings
from tailrace.net.address import Address

LOOPBACK_HOST: Final = "127.0.0.1"
WILDCARD_HOSTS: Final = ("", "0.0.0.0", "::")
"""Every address of this host, loopback among them; none that another host could dial."""


def listen_addresses(listen: str | None, settings: BrokerSettings) -> list[Address]:
    """Every address to listen on, at least one. Raises TailraceError for one that is malformed or not served."""
    if listen is not None:
        return [_address("--listen", listen)]
    return [_plaintext("listeners", listener, settings) for listener in settings.names("listeners")]


def advertised_address(settings: BrokerSettings) -> tuple[str, int] | None:
    """Host and port of the first of `advertised.listeners`; None when unset: clients get what they dialled."""
    for listener in settings.names("advertised.listeners"):
        address = _plaintext("advertised.listeners", listener, settings)
        return address.host, address.port
    return None


def check_reachable(served: Address) -> tuple[str, int]:
    """Host and port at which other brokers find this one. TailraceError where `served` does not say."""
    if served.path is not None or served.host in WILDCARD_HOSTS:
        raise TailraceError(f"in a cluster, a broker that listens on {served} needs advertised.listeners")
    return served.host, served.port


def _plaintext(setting: str, listener: str, settings: BrokerSettings) -> Address:
    name, separator, address = listener.partition("://")
    if not separator:
        raise ConfigError(setting, f"{setting} holds {listener!r}; a listener is written NAME://HOST:PORT.")
    protocol_map = settings.text("listener.security.protocol.map") or ""
    protocols = dict(entry.strip().split(":", 1) for entry in protocol_map.split(",") if ":" in entry)
    protocol = protocols.get(name, name).upper()
    if protocol != "PLAINTEXT":
        raise ConfigError(setting, f"{setting} holds {listener!r}; this version serves PLAINTEXT only, not {protocol}.")
    return _address(setting, address)


def _address(setting: str, text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise TailraceError(f"{setting} {text!r} is not an address: {error}") from error

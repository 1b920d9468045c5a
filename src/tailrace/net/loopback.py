"""Whether a host names the machine of whoever asks. The one rule, for listeners, guards and the doctor.

    localhost, NAME.localhost                       by RFC 6761 never anything else
    localhost.localdomain, ip6-localhost, ...       what distributions write into /etc/hosts; no site can own them
    127.0.0.0/8, ::1, ::ffff:127.0.0.0/104          the addresses, with or without brackets

Names are not looked up: what a resolver says may change between the question and the connection.
"""

from __future__ import annotations

import ipaddress
from typing import Final

_NAMES: Final = frozenset(
    {"localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback"}
)


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address without its port, is this machine for everybody who asks."""
    name = host.strip().lower().strip("[]").removesuffix(".")
    if name in _NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (inner or address).is_loopback

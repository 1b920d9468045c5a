"""What a console is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SECRET_WORDS: Final = ("password", "secret", "sasl.username", "ssl.key.pem", "token", "sasl.jaas", "oauthbearer.config")
"""A property with one of these in its name is not shown."""


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """Where the cluster is, how it is reached, and what may be done."""

    bootstrap: str
    listen: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    """librdkafka's, such as security.protocol."""
    is_read_only: bool = False
    allowed_hosts: tuple[str, ...] = ()
    """Names that `Host` may hold besides loopback and the address listened at."""
    metrics: tuple[str, ...] = ()
    """Base addresses of Tailrace's HTTP listeners, such as http://127.0.0.1:9080."""
    schema_registry: str | None = None
    is_inside_broker: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether brokers are reached without TLS and SASL."""
        return self.properties.get("security.protocol", "plaintext").lower() == "plaintext"

    def shown_properties(self) -> dict[str, str | None]:
        """The properties, secrets left out."""
        return {
            name: None if any(word in name.lower() for word in SECRET_WORDS) else value
            for name, value in self.properties.items()
        }

"""What consumers say they are, in either protocol of groups."""

from __future__ import annotations

from typing import Final

CONSUMER_PROTOCOL_TYPE: Final = "consumer"

"""Which hosts are this machine."""

import pytest

from tailrace.net.loopback import is_loopback


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "ip6-localhost", "127.0.0.1",
     "127.3.2.1", "::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"],
)  # fmt: skip
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", ".", "kafka", "localhost.example.com", "notlocalhost", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0", "::",
     "::ffff:10.0.0.1", "fe80::1", "1270.0.0.1"],
)  # fmt: skip
def test_others(host: str) -> None:
    assert not is_loopback(host)

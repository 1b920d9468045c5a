"""What a browser may not ask for a page of another site, and that programs may ask all of it."""

from __future__ import annotations

import pytest

from tailrace.http.guard import guard_of, host_of
from tailrace.http.message import HttpRequest, text_answer
from tailrace.http.routes import Routes


def status(listened: str, path: str, **headers: str) -> int:
    routes = Routes(guard_of(listened))
    routes.add(path, "a page", lambda _: text_answer(200, "here"))
    answer = routes.answer(
        HttpRequest("GET", path, {}, {name.replace("_", "-"): each for name, each in headers.items()})
    )
    return answer.status  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9080", "localhost:9080", "LOCALHOST", "[::1]:9080", "::1", "tailrace.localhost", ""]
)
def test_a_loopback_listener_is_asked_by_loopback_names(host: str) -> None:
    assert status("127.0.0.1", "/metrics", host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example:9080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7:9080"]
)
def test_a_name_that_was_pointed_here_is_refused(host: str) -> None:
    assert status("127.0.0.1", "/metrics", host=host) == 403
    assert status("localhost", "/metrics", host=host) == 403
    assert status("0.0.0.0", "/metrics", host=host) == 200, "scrapers of a network use any name"


@pytest.mark.parametrize(
    ("site", "expected"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_what_costs_is_not_for_other_sites(site: str, expected: int) -> None:
    assert status("127.0.0.1", "/debug/pprof/heap", host="localhost", sec_fetch_site=site) == expected
    assert status("0.0.0.0", "/debug/pprof/heap", host="kafka-1", sec_fetch_site=site) == expected
    assert status("127.0.0.1", "/metrics", host="localhost", sec_fetch_site=site) == 200
    assert status("127.0.0.1", "/debug/pprof/heap", host="localhost") == 200, "no browser"


def test_hosts_of_headers() -> None:
    assert [host_of(each) for each in ("A:1", "[::1]:2", "::1", "b")] == ["a", "::1", "::1", "b"]

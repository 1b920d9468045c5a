"""The pytest plugin: fixtures that start embedded brokers. Loaded by pytest through its entry point `tailrace`.

pytest imports this module in every run of every project that has tailrace installed, so it imports nothing but pytest;
the broker is imported by the first test that asks for one.

    tailrace_broker            a broker of this test's own, stopped and deleted after it
    tailrace_broker_session    one broker for the whole run; tests share its topics and groups
    tailrace_broker_factory    a function that makes as many as the test wants; takes the arguments of tailrace.Broker
    tailrace_cluster           a cluster of broker processes of this test's own, ended after it

`@pytest.mark.tailrace(topics={"orders": 3}, settings={...})` gives its arguments to this test's `tailrace_broker`,
`@pytest.mark.tailrace_cluster(brokers=3, ...)` to its `tailrace_cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # see the module's head
    from tailrace.embedded import Broker
    from tailrace.embedded.cluster import Cluster


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, so that --strict-markers accepts it."""
    config.addinivalue_line("markers", "tailrace(**arguments): arguments of tailrace.Broker for `tailrace_broker`.")
    config.addinivalue_line(
        "markers", "tailrace_cluster(**arguments): arguments of tailrace.Cluster for `tailrace_cluster`."
    )


@pytest.fixture
def tailrace_broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker of this test's own: empty, on a free port, deleted afterwards."""
    marker = request.node.get_closest_marker("tailrace")
    with _broker(**(marker.kwargs if marker else {})) as broker:
        yield broker


@pytest.fixture(scope="session")
def tailrace_broker_session() -> Iterator[Broker]:
    """One broker for the whole run (for each worker, with pytest-xdist)."""
    with _broker() as broker:
        yield broker


@pytest.fixture
def tailrace_broker_factory() -> Iterator[Callable[..., Broker]]:
    """A function that starts a broker with the arguments of `tailrace.Broker`. All are stopped after the test."""
    started: list[Broker] = []

    def start(**arguments: Any) -> Broker:  # the arguments of tailrace.Broker
        broker = _broker(**arguments)
        started.append(broker)
        return broker.start()

    yield start
    for broker in reversed(started):
        broker.stop()


@pytest.fixture
def tailrace_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of this test's own, three brokers unless the marker says otherwise, ended and deleted afterwards."""
    from tailrace.embedded.cluster import Cluster  # see the module's head

    marker = request.node.get_closest_marker("tailrace_cluster")
    with Cluster(**(marker.kwargs if marker else {})) as cluster:
        yield cluster


def _broker(**arguments: Any) -> Broker:  # the arguments of tailrace.Broker
    from tailrace.embedded import Broker  # see the module's head

    return Broker(**arguments)

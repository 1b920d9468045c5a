"""Marks everything here `compat` and gives the broker fixtures; nothing is skipped, what is missing fails."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.harness.story")

from tests.compat.differential import Session, compare  # noqa: E402
from tests.harness.brokers import KafkaProcess, chosen_broker  # noqa: E402
from tests.harness.fixtures import broker, driver  # noqa: E402, F401

HERE = Path(__file__).parent
DIFFERENTIAL_SETTINGS = {
    "auto.create.topics.enable": "true",
    "message.max.bytes": "100000",
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "500",  # Kafka's cleaner does the retention of topics that are compacted as well
    "group.consumer.assignment.interval.ms": "0",  # brokers may wait with an assignment, each in its way
    "group.share.assignment.interval.ms": "0",
}


CLUSTERS = "clusters"
"""What kills, pauses and cuts off brokers, or measures leases: one at a time, in one worker, beside anything else. And
the browser, which ends what it is loading when networks are made and removed."""
SERIAL = {"test_etcd": CLUSTERS, "test_console": CLUSTERS, "test_moving": "moving", "test_differential": "differential"}
"""How a file's name begins -> the group that one worker runs one after the other; every other file is its own."""
LONG = ("test_streams", "test_transactions", "moving")
"""The longest groups, which begin first, so that no worker waits long for the other at the end."""
LAST = ("differential", CLUSTERS)
"""What has to do with time, Apache Kafka's too: CI runs other things beside the first tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m "not compat"` leaves these tests out; `--dist loadgroup` spreads them by what may run at the same time."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        item.add_marker(pytest.mark.compat)
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    rest = [item for item in items if not item.path.is_relative_to(HERE)]
    ours.sort(key=lambda item: turn_of(group_of(item)))
    items[:] = [*rest, *ours]


def turn_of(group: str) -> int:
    """What begins before what: the lower first."""
    if group in LONG:
        return LONG.index(group)
    return len(LONG) + (1 + LAST.index(group) if group in LAST else 0)


def group_of(item: pytest.Item) -> str:
    """The name of what runs in one worker together with this test."""
    name = item.path.stem
    return next((group for start, group in SERIAL.items() if name.startswith(start)), name)


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an Apache Kafka for answers to be compared with."""
    # It is never killed, and a busy machine must not have it fenced in the middle of a test.
    patient = {"broker.session.timeout.ms": "60000"}
    kafka = KafkaProcess(tmp_path_factory.mktemp("oracle"), {**DIFFERENTIAL_SETTINGS, **patient})
    kafka.start()
    yield kafka.address
    kafka.kill()


@pytest.fixture(scope="session")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the broker whose answers are compared."""
    process = chosen_broker()(tmp_path_factory.mktemp("tested"), DIFFERENTIAL_SETTINGS)
    process.start()
    yield process.address
    process.kill()


@pytest.fixture
def same(oracle: str, tested: str) -> Callable[[Callable[[Session], None]], None]:
    """Runs a scenario against both brokers and compares."""
    return lambda scenario: compare(scenario, oracle, tested)

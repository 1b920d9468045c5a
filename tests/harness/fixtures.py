"""The broker fixtures of the client suites."""

from collections.abc import Iterator

import pytest
from tests.harness.brokers import BrokerProcess, chosen_broker
from tests.harness.drivers import Driver

SETTINGS = {
    "auto.create.topics.enable": "true",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[BrokerProcess]:
    """One broker for the tests of a module; what it wrote is shown when one of them failed."""
    started = chosen_broker()(tmp_path_factory.mktemp("broker"), SETTINGS)
    failed_before = request.session.testsfailed
    started.start()
    try:
        yield started
        assert started.process is not None
        assert started.process.poll() is None, f"the broker died during the tests\n{started.log_tail()}"
    finally:
        if request.session.testsfailed > failed_before:
            print(f"--- {started.name} in {started.directory} wrote last:\n{started.log_tail()}")
        started.kill()


@pytest.fixture(scope="class")
def driver(broker: BrokerProcess, request: pytest.FixtureRequest) -> Iterator[Driver]:
    """The client under test, of the type its class of tests names."""
    made: Driver = request.cls.driver_type(broker.address)
    yield made
    made.close()

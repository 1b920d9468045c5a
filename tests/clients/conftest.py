"""Fixtures for the Python client suites."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

pytest.register_assert_rewrite("tests.harness.story")

from tests.harness.fixtures import broker, driver  # noqa: E402, F401


@pytest.fixture
def at_end() -> Iterator[ExitStack]:
    """Closes what it is given while the broker still answers: librdkafka's destructors wait for one that is gone."""
    with ExitStack() as stack:
        yield stack

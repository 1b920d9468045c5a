"""Engines on real sockets, one for each poller."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loopback import World

from tailrace.net.poller import EpollPoller, SelectorsPoller


@pytest.fixture(params=[EpollPoller, SelectorsPoller])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param())
    yield world
    world.loop.close()


@pytest.fixture
def epoll_world() -> Iterator[World]:
    world = World(EpollPoller())
    yield world
    world.loop.close()

"""Whatever a well-formed request asks, it is answered, refused or ends its connection: no handler ever breaks.

Requests of every API and version, with random values in every field and, here and there, names and ids that exist, go
through dispatch to a broker with real logs, one after the other, so that each meets what the others left behind. A
handler that breaks would be answered UNKNOWN_SERVER_ERROR and logged as critical; that is what the test looks for.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_messages import values

from tailrace.base.pending import Pending
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.served import SERVED
from tailrace.broker.services import CloseConnection
from tailrace.records.builder import BatchBuilder
from tailrace.wire.api import ApiKey, api, camel_case
from tailrace.wire.frame import encode_request
from tailrace.wire.primitives import DecodeError, Message
from unit.broker.broker_bench import PEER, Bench

EVERY = [(key, version) for key in SERVED for version in range(api(key).first_version, api(key).last_version + 1)]  # type: ignore[union-attr]
NAMES = ["t", "u", "g", "", "__consumer_offsets", "consumer", "range", "cleanup.policy", "compact", "1", "retention.ms"]
FEW_PARTITIONS = 3


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("hostile") / Path("data"), settings={"log.flush.interval.messages": "100000"})
    made.topic("t", 2)
    made.topic("u", 1, cleanup_policy="compact")
    made.services.auto_create("__consumer_offsets")
    yield made
    made.logs.abandon()


def batch(rand: random.Random) -> bytearray:
    builder = BatchBuilder()
    for _ in range(rand.randint(1, 3)):
        builder.append(
            rand.choice([-1, 0, 1_700_000_000_000, 2**62]), rand.choice([None, b"k"]), rand.choice([None, b"v"])
        )
    raw = builder.build()
    if rand.random() < 0.3:
        raw[rand.randrange(len(raw))] ^= 1 << rand.randrange(8)
    return raw


def sprinkle(message: Message, rand: random.Random, bench: Bench) -> None:
    """Put names, ids, batches and small numbers that mean something to the broker into some fields."""
    for name in message.__slots__:
        value: Any = getattr(message, name)
        if isinstance(value, Message):
            sprinkle(value, rand, bench)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Message):
                    sprinkle(item, rand, bench)
                elif isinstance(item, str) and rand.random() < 0.7:
                    value[index] = rand.choice(NAMES)
                elif isinstance(item, int) and rand.random() < 0.7:
                    value[index] = rand.randint(-1, 3)
        elif name in ("num_partitions", "count"):
            setattr(message, name, min(value, FEW_PARTITIONS) if value < 20_000 else value)
        elif name == "records":
            setattr(message, name, rand.choice([value, batch(rand), batch(rand)]))
        elif name == "topic_id" and rand.random() < 0.7:
            topic = bench.metadata.image.topic(rand.choice(["t", "u"]))
            setattr(message, name, value if topic is None else topic.topic_id)
        elif isinstance(value, str) and rand.random() < 0.7:
            setattr(message, name, rand.choice(NAMES))
        elif isinstance(value, int) and not isinstance(value, bool) and rand.random() < 0.6:
            setattr(message, name, rand.randint(-2, 10))


@pytest.mark.parametrize(("key", "version"), EVERY)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), rand=st.randoms(use_true_random=False))
def test_every_request_is_answered_refused_or_ends_its_connection(
    bench: Bench, caplog: pytest.LogCaptureFixture, key: ApiKey, version: int, data: st.DataObject, rand: random.Random
) -> None:
    request = data.draw(values(f"{camel_case(key)}Request", version))
    sprinkle(request, rand, bench)
    found = api(key)
    assert found is not None
    frame = memoryview(encode_request(found, version, 1, "hostile", request))[4:]
    caplog.clear()
    with contextlib.suppress(DecodeError, CloseConnection):
        answer = Dispatch(bench.services).answer(PEER, frame)
        if isinstance(answer, Pending) and not answer.done:
            bench.advance(61_000)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.CRITICAL] == []

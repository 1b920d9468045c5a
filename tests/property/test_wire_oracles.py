"""Our bytes are those of codecs other people wrote: kio, kafka-python, and both clients' codecs for old versions.

Each oracle reads what we wrote and writes it again; the bytes must be ours. So both directions agree: a field that it
reads otherwise comes back in other bytes.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import aiokafka.protocol.admin
import aiokafka.protocol.commit
import aiokafka.protocol.coordination
import aiokafka.protocol.fetch
import aiokafka.protocol.group
import aiokafka.protocol.metadata
import aiokafka.protocol.offset
import aiokafka.protocol.produce
import kafka.protocol.admin
import kafka.protocol.consumer
import kafka.protocol.metadata
import kafka.protocol.old.admin
import kafka.protocol.old.api_versions
import kafka.protocol.old.commit
import kafka.protocol.old.fetch
import kafka.protocol.old.find_coordinator
import kafka.protocol.old.group
import kafka.protocol.old.init_producer_id
import kafka.protocol.old.list_offsets
import kafka.protocol.old.metadata
import kafka.protocol.old.offset_for_leader_epoch
import kafka.protocol.old.produce
import kafka.protocol.producer
import kio.index
import kio.serial
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from kio.static.constants import EntityType
from wire_messages import EVERY, KINDS, encoded, values

from message_schema import snake_case

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
QUICK = settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
MESSAGES = [(name, version) for name, version in EVERY if KINDS[name].message.kind in ("request", "response")]


def kio_entity(name: str, version: int) -> Any:
    kind = KINDS[name].message
    entity = {"request": EntityType.request, "response": EntityType.response}.get(kind.kind)
    try:
        if entity is None:
            return kio.index.load_entity_schema(snake_case(name), version, EntityType.data)
        return kio.index.load_payload_module(kind.api_key, version, entity).__dict__[name]
    except kio.index.UnknownEntity:
        return None


def old_struct(package: Any, name: str, version: int) -> Any:
    """kafka-python's or aiokafka's hand-written class for this version, or None."""
    for module in vars(package).values():
        found = getattr(module, f"{name}_v{version}", None)
        if found is not None and getattr(found, "API_KEY", None) == KINDS[name].message.api_key:
            return found
    return None


def python_bytes(value: Any, version: int) -> bytes:
    """The bytes of `value`, without an error in an ApiVersions answer: these clients read version 0 after one."""
    if type(value).__name__ == "ApiVersionsResponse":
        value.error_code = 0
    return encoded(value, version)


def python_message(name: str, version: int) -> Any:
    for package in (kafka.protocol.admin, kafka.protocol.consumer, kafka.protocol.metadata, kafka.protocol.producer):
        found = getattr(package, name, None)
        if found is not None:
            return found if version <= found.max_version else None
    return None


KIO = [pair for pair in EVERY if kio_entity(*pair)]
OLD = [pair for pair in MESSAGES if old_struct(kafka.protocol.old, *pair)]
OLD.remove(("DescribeLogDirsRequest", 0))  # its schema there has one partition where there is a list
AIO = [pair for pair in MESSAGES if old_struct(aiokafka.protocol, *pair)]
for pair in ("DescribeAclsRequest", 2), ("DescribeAclsResponse", 2):  # flexible since 2: both clients encode them as 1
    OLD.remove(pair)
    AIO.remove(pair)
PYTHON = [pair for pair in MESSAGES if python_message(*pair)]


@pytest.mark.parametrize(("name", "version"), KIO)
def test_kio_reads_and_writes_the_same_bytes(name: str, version: int) -> None:
    entity = kio_entity(name, version)
    read, write = kio.serial.entity_reader(entity), kio.serial.entity_writer(entity)

    @QUICK
    @given(values(name, version, modest=True))
    def check(value: Any) -> None:
        data = encoded(value, version)
        theirs, size = read(data, 0)
        assert size == len(data)
        out = BytesIO()
        write(out, theirs)
        assert out.getvalue() == data

    check()


@pytest.mark.parametrize(
    ("package", "name", "version"),
    [(kafka.protocol.old, *pair) for pair in OLD] + [(aiokafka.protocol, *pair) for pair in AIO],
)
def test_hand_written_codecs_read_and_write_the_same_bytes(package: Any, name: str, version: int) -> None:
    struct = old_struct(package, name, version)

    @QUICK
    @given(values(name, version, modest=True))
    def check(value: Any) -> None:
        data = python_bytes(value, version)
        source = BytesIO(data)
        theirs = struct.decode(source)
        assert source.read() == b""
        assert theirs.encode() == data

    check()


@pytest.mark.parametrize(("name", "version"), PYTHON)
def test_kafka_python_reads_and_writes_the_same_bytes(name: str, version: int) -> None:
    message = python_message(name, version)

    @QUICK
    @given(values(name, version, modest=True))
    def check(value: Any) -> None:
        data = python_bytes(value, version)
        theirs = message.decode(data, version=version)
        theirs._header = None  # its encoder looks for the header that a message read from bytes has not
        assert bytes(theirs.encode(version=version)) == data

    check()


def test_every_version_has_an_oracle() -> None:
    """All but those of Kafka 4.4, younger than these codecs: `tests/unit/wire/test_golden.py` has bytes for them."""
    orphans = set(MESSAGES) - set(KIO) - set(OLD) - set(AIO) - set(PYTHON)
    assert orphans == {
        ("ApiVersionsRequest", 5),
        ("ApiVersionsResponse", 5),
        ("DeleteGroupsRequest", 3),
        ("DeleteGroupsResponse", 3),
        ("TxnOffsetCommitRequest", 6),
        ("TxnOffsetCommitResponse", 6),
    }

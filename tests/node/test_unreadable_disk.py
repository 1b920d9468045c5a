"""A whole broker whose device fails under sendfile: the log directory goes offline, as for any other failed read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from node.served import RawClient
from node.test_hanging_disk import VALUE, HeldBroker, ask
from node.test_serve import create, produce
from tailrace.base.errors import ErrorCode
from tailrace.wire.api import ApiKey


def test_a_failed_sendfile_takes_the_directory_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sendfile, broken = os.sendfile, tmp_path / "b" / "t-0"

    def failing(out: int, file: int, offset: int, count: int) -> int:
        if Path(f"/proc/self/fd/{file}").resolve().parent == broken:
            raise OSError(errno.EIO, "Input/output error")
        return sendfile(out, file, offset, count)

    directories = {"log.dirs": f"{tmp_path / 'a'},{tmp_path / 'b'}"}
    broker = HeldBroker(tmp_path / "data", directories)
    try:
        with RawClient(broker.address) as client:
            for topic in ("s", "t"):  # one in each
                create(client, topic)
                produce(client, topic, VALUE)
            assert broken.exists()
            monkeypatch.setattr(os, "sendfile", failing)
            with pytest.raises((ConnectionError, EOFError)):
                client.ask(ApiKey.FETCH, 12, ask("t"))
        with RawClient(broker.address) as client:
            assert _code(client, "t") == ErrorCode.KAFKA_STORAGE_ERROR
            assert _code(client, "s") == ErrorCode.NONE
    finally:
        broker.stop()


def _code(client: RawClient, topic: str) -> int:
    answer = client.ask(ApiKey.FETCH, 12, ask(topic))
    return int(answer.responses[0].partitions[0].error_code)

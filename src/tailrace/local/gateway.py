"""Answers brokers as etcd's JSON gateway does, from `keys.Keys`: what `cluster/etcd_client.py` asks, and no more.

    POST /v3/kv/range /v3/kv/put /v3/kv/txn        /v3/lease/grant keepalive revoke timetolive
    POST /v3/watch                                 a stream of lines, chunked, from a revision on

So the brokers of a local cluster run the code they run with etcd. One member, no users, no TLS: it listens on loopback
and is for one host. Bounded: a body by HTTP_BODY_MAX_BYTES, a watcher that does not read by UNREAD_MAX_BYTES, after
which it is cut off and comes again. HTTP is read as Python's http.client writes it.
Source: etcd's API reference, v3; held against the suite that etcd itself is held against.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from tailrace.base.clock import Clock
from tailrace.base.errors import StorageError, TailraceError
from tailrace.local.keys import Change, Compacted, Delete, KeyChange, Keys, KeyValue, LeaseNotFound, Put
from tailrace.local.keys_file import KeysFile
from tailrace.net.limits import HTTP_BODY_MAX_BYTES

Json: TypeAlias = dict[str, Any]  # Any: JSON

UNREAD_MAX_BYTES: Final = 16 << 20
HEAD_MAX_LINES: Final = 100
_NOT_FOUND: Final = 5
_INVALID: Final = 3
_OUT_OF_RANGE: Final = 11
_UNAVAILABLE: Final = 14
_STATUS: Final = {_NOT_FOUND: 404, _INVALID: 400, _OUT_OF_RANGE: 400, _UNAVAILABLE: 503}


class _Refused(Exception):
    """A call that is answered with an error of gRPC's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Gateway:
    """One in a running loop. `path` is where the keys are kept; None: nowhere, for as long as this lives."""

    def __init__(self, clock: Clock, path: Path | None) -> None:
        """Raises TailraceError when the file cannot be used."""
        self._clock = clock
        self._keys = Keys(self._on_change)
        self._file = None if path is None else KeysFile(path)
        if self._file is not None:
            self._file.load_into(self._keys)
        self._watchers: dict[asyncio.StreamWriter, tuple[bytes, bytes]] = {}
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._calls: dict[str, Callable[[Json], Json]] = {
            "/v3/kv/range": self._range,
            "/v3/kv/put": self._put,
            "/v3/kv/txn": self._txn,
            "/v3/lease/grant": self._grant,
            "/v3/lease/keepalive": self._keep_alive,
            "/v3/lease/revoke": self._revoke,
            "/v3/lease/timetolive": self._time_to_live,
        }

    async def start(self, host: str = "127.0.0.1") -> int:
        """Listen on a free port; answers it."""
        self._server = await asyncio.start_server(self._serve, host, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        while self._open:  # each ends in a coming step
            await asyncio.sleep(0)
        if self._file is not None:
            self._file.close()

    # -- HTTP ------------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                asked = await _read_request(reader)
                if asked is None:
                    return
                path, body = asked
                if path == "/v3/watch":
                    self._watch(writer, body)
                    await reader.read()  # until it goes
                    return
                status, answer = self._answer(path, body)
                writer.write(_head(status, f"Content-Length: {len(answer)}") + answer)
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it is gone, or speaks something else
        finally:
            self._open.discard(writer)
            self._watchers.pop(writer, None)
            writer.close()

    def _answer(self, path: str, body: Json) -> tuple[int, bytes]:
        call = self._calls.get(path)
        try:
            if call is None:
                raise _Refused(_NOT_FOUND, f"{path} is not served")
            answer, status = call(body), 200
        except _Refused as refused:
            answer, status = _error(refused.code, str(refused)), _STATUS[refused.code]
        except Compacted as error:
            answer, status = _error(_OUT_OF_RANGE, str(error)), _STATUS[_OUT_OF_RANGE]
        except LeaseNotFound as error:
            answer, status = _error(_NOT_FOUND, str(error)), _STATUS[_NOT_FOUND]
        except StorageError as error:
            answer, status = _error(_UNAVAILABLE, str(error)), _STATUS[_UNAVAILABLE]
        except (KeyError, ValueError, TypeError, TailraceError) as error:
            answer, status = _error(_INVALID, f"{type(error).__name__}: {error}"), _STATUS[_INVALID]
        return status, json.dumps(answer).encode()

    # -- keys ------------------------------------------------------------------------------------------------------

    def _header(self) -> Json:
        return {"revision": str(self._keys.revision)}

    def _range(self, body: Json) -> Json:
        key, end = _bytes(body, "key"), _bytes(body, "range_end")
        found = self._keys.range(key, end, int(body.get("revision", 0)))
        limit = int(body.get("limit", 0)) or len(found)
        answer: Json = {"header": self._header(), "count": str(len(found))}
        if found:
            answer["kvs"] = [_json_of(each) for each in found[:limit]]
        if len(found) > limit:
            answer["more"] = True
        return answer

    def _put(self, body: Json) -> Json:
        self._keys.change([_put_of(body)])
        return {"header": self._header()}

    def _txn(self, body: Json) -> Json:
        succeeded = all(self._compare(each) for each in body.get("compare", ()))
        wanted: list[Json] = body.get("success" if succeeded else "failure", [])
        changes: list[Put | Delete] = []
        for each in wanted:
            if "request_put" in each:
                changes.append(_put_of(each["request_put"]))
            elif "request_delete_range" in each:
                asked = each["request_delete_range"]
                changes.append(Delete(_bytes(asked, "key"), _bytes(asked, "range_end")))
        self._keys.change(changes)
        answers: list[Json] = []
        for each in wanted:
            (kind,) = each
            if kind == "request_range":
                answers.append({"response_range": self._range(each[kind])})
            else:
                answers.append({kind.replace("request", "response"): {"header": self._header()}})
        answer: Json = {"header": self._header(), "responses": answers}
        return {**answer, "succeeded": True} if succeeded else answer

    def _compare(self, compare: Json) -> bool:
        found = self._keys.get(_bytes(compare, "key"))
        if compare["result"] != "EQUAL":
            raise _Refused(_INVALID, f"compare {compare['result']} is not served")
        if compare["target"] == "VALUE":
            return found is not None and found.value == _bytes(compare, "value")
        if compare["target"] == "CREATE":
            return (0 if found is None else found.create_revision) == int(compare["create_revision"])
        raise _Refused(_INVALID, f"compare of {compare['target']} is not served")

    def _on_change(self, change: Change) -> None:
        if self._file is not None:
            self._file.write(change)
        for writer, (first, end) in list(self._watchers.items()):
            self._tell(writer, change.revision, [each for each in change.keys if first <= each.key < end])

    # -- leases ----------------------------------------------------------------------------------------------------

    def _grant(self, body: Json) -> Json:
        ttl_s = int(body["TTL"])
        lease_id = self._keys.grant(ttl_s * 1000, self._clock.monotonic_ms())
        self._time_leases()
        return {"header": self._header(), "ID": str(lease_id), "TTL": str(ttl_s)}

    def _keep_alive(self, body: Json) -> Json:
        left_ms = self._keys.keep_alive(int(body["ID"]), self._clock.monotonic_ms())
        result: Json = {"header": self._header(), "ID": str(body["ID"])}
        return {"result": {**result, "TTL": str(int(left_ms // 1000))} if left_ms else result}

    def _revoke(self, body: Json) -> Json:
        self._keys.revoke(int(body["ID"]))
        return {"header": self._header()}

    def _time_to_live(self, body: Json) -> Json:
        left = self._keys.time_to_live(int(body["ID"]), self._clock.monotonic_ms())
        answer: Json = {"header": self._header(), "ID": str(body["ID"])}
        if left is None:
            return {**answer, "TTL": "-1"}
        return {**answer, "TTL": str(int(left[0] // 1000)), "grantedTTL": str(int(left[1] // 1000))}

    def _time_leases(self) -> None:
        next_ms = self._keys.next_end_ms
        if self._timer is not None:
            self._timer.cancel()
        if next_ms is not None:
            left_s = max(0.0, (next_ms - self._clock.monotonic_ms()) / 1000)
            self._timer = asyncio.get_running_loop().call_later(left_s, self._expire)

    def _expire(self) -> None:
        self._keys.expire(self._clock.monotonic_ms())
        self._time_leases()

    # -- watches ---------------------------------------------------------------------------------------------------

    def _watch(self, writer: asyncio.StreamWriter, body: Json) -> None:
        asked = body["create_request"]
        first, end, revision = _bytes(asked, "key"), _bytes(asked, "range_end"), int(asked.get("start_revision", 0))
        writer.write(_head(200, "Transfer-Encoding: chunked"))
        _write_line(writer, {"result": {"header": self._header(), "created": True}})
        try:
            missed = self._keys.changes_from(revision or self._keys.revision + 1)
        except Compacted:
            compacted = str(self._keys.compact_revision)
            result = {"header": self._header(), "canceled": True, "compact_revision": compacted}
            _write_line(writer, {"result": result})
            writer.write(b"0\r\n\r\n")
            return
        for change in missed:
            self._tell(writer, change.revision, [each for each in change.keys if first <= each.key < end])
        self._watchers[writer] = (first, end)

    def _tell(self, writer: asyncio.StreamWriter, revision: int, changes: list[KeyChange]) -> None:
        if not changes:
            return
        if writer.transport.get_write_buffer_size() > UNREAD_MAX_BYTES:
            writer.transport.abort()
            return
        events = []
        for key, _, after in changes:
            if after is None:
                events.append({"type": "DELETE", "kv": {"key": _text(key), "mod_revision": str(revision)}})
            else:
                events.append({"kv": _json_of(after)})
        _write_line(writer, {"result": {"header": {"revision": str(revision)}, "events": events}})


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, Json] | None:
    """(path, body) of the next request; None at the end. Raises ValueError, IncompleteReadError, OSError."""
    line = await reader.readline()
    if not line:
        return None
    _, path, _ = line.decode("ascii").split(" ")
    size = 0
    for _ in range(HEAD_MAX_LINES):
        header = (await reader.readline()).decode("latin-1").strip()
        if not header:
            break
        name, _, value = header.partition(":")
        if name.lower() == "content-length":
            size = int(value)
        elif name.lower() == "origin":
            raise ValueError("a browser, which sends what any page tells it to")
    if not 0 <= size <= HTTP_BODY_MAX_BYTES:
        raise ValueError(f"a body of {size} bytes")
    body: Json = json.loads(await reader.readexactly(size))
    return path, body


def _head(status: int, header: str) -> bytes:
    return f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n{header}\r\n\r\n".encode()


def _write_line(writer: asyncio.StreamWriter, document: Json) -> None:
    line = json.dumps(document).encode() + b"\n"
    writer.write(b"%x\r\n" % len(line) + line + b"\r\n")


def _error(code: int, message: str) -> Json:
    return {"error": message, "message": message, "code": code}


def _put_of(body: Json) -> Put:
    return Put(_bytes(body, "key"), _bytes(body, "value"), int(body.get("lease", 0)))


def _json_of(found: KeyValue) -> Json:
    document = {
        "key": _text(found.key),
        "create_revision": str(found.create_revision),
        "mod_revision": str(found.mod_revision),
        "value": _text(found.value),
    }
    return {**document, "lease": str(found.lease)} if found.lease else document


def _bytes(body: Json, name: str) -> bytes:
    return b64decode(body.get(name, ""))


def _text(data: bytes) -> str:
    return b64encode(data).decode()

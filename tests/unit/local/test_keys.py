"""Keys under revisions, leases, and the past: what a broker's etcd client relies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.base.errors import StorageError
from tailrace.local.keys import HISTORY_CHANGES, Change, Compacted, Delete, Keys, LeaseNotFound, Put
from tailrace.local.keys_file import KeysFile


def keys() -> Keys:
    return Keys(lambda change: None)


def values(found: Keys, first: bytes = b"a", end: bytes = b"z", revision: int = 0) -> dict[bytes, bytes]:
    return {each.key: each.value for each in found.range(first, end, revision)}


def test_a_change_is_one_revision_however_many_keys_it_touches() -> None:
    told: list[Change] = []
    found = Keys(told.append)
    assert found.change([Put(b"a", b"1"), Put(b"b", b"2")]) == 2
    assert found.change([Put(b"a", b"3"), Delete(b"b")]) == 3
    assert found.change([Delete(b"nowhere")]) == 3
    assert [change.revision for change in told] == [2, 3]
    a = found.get(b"a")
    assert a is not None
    assert (a.value, a.create_revision, a.mod_revision) == (b"3", 2, 3)


def test_the_past_is_read_as_it_was_and_refused_when_it_is_forgotten() -> None:
    found = keys()
    found.change([Put(b"a", b"1")])
    found.change([Put(b"b", b"2"), Put(b"a", b"changed")])
    found.change([Delete(b"a", b"c")])
    assert values(found, revision=1) == {}
    assert values(found, revision=2) == {b"a": b"1"}
    assert values(found, revision=3) == {b"a": b"changed", b"b": b"2"}
    assert values(found) == {}
    assert [change.revision for change in found.changes_from(3)] == [3, 4]
    for number in range(HISTORY_CHANGES):
        found.change([Put(b"c", b"%d" % number)])
    for revision in (2, 3):
        with pytest.raises(Compacted):
            found.range(b"a", b"z", revision)
    assert values(found, revision=4) == {}
    with pytest.raises(Compacted):
        found.changes_from(4)
    assert len(found.changes_from(found.compact_revision)) == HISTORY_CHANGES


def test_keys_go_with_their_lease_unless_they_were_put_again_without_it() -> None:
    found = keys()
    lease = found.grant(1000, now_ms=0)
    found.change([Put(b"a", b"1", lease), Put(b"b", b"2", lease)])
    found.change([Put(b"b", b"kept")])
    assert found.keep_alive(lease, now_ms=900) == 1000
    found.expire(1500)
    assert values(found) == {b"a": b"1", b"b": b"kept"}
    assert found.next_end_ms == 1900
    assert found.time_to_live(lease, now_ms=1500) == (400, 1000)
    found.expire(1900)
    assert values(found) == {b"b": b"kept"}
    assert found.keep_alive(lease, now_ms=1900) == 0
    assert found.next_end_ms is None
    assert found.time_to_live(lease, now_ms=1900) is None
    for gone in (lambda: found.revoke(lease), lambda: found.change([Put(b"c", b"3", lease)])):
        with pytest.raises(LeaseNotFound):
            gone()
    assert values(found) == {b"b": b"kept"}


def test_a_change_that_cannot_be_kept_did_not_happen() -> None:
    def refuse(change: Change) -> None:
        if change.revision > 2:
            raise StorageError("commit", "x", OSError(28, "no space"))

    found = Keys(refuse)
    found.change([Put(b"a", b"1"), Put(b"b", b"2")])
    with pytest.raises(StorageError):
        found.change([Put(b"a", b"changed"), Delete(b"b"), Put(b"c", b"3")])
    assert values(found) == {b"a": b"1", b"b": b"2"}
    assert found.revision == 2


def test_the_file_keeps_keys_and_the_revision_and_nothing_of_leases(tmp_path: Path) -> None:
    path = tmp_path / "cluster.db"
    file = KeysFile(path)
    found = Keys(file.write)
    file.load_into(found)
    lease = found.grant(1000, now_ms=0)
    found.change([Put(b"a", b"1"), Put(b"held", b"x", lease)])
    found.change([Put(b"b", b"2")])
    found.change([Put(b"a", b"3"), Delete(b"b")])
    found.change([Put(b"other", b"y", lease)])
    file.close()
    file = KeysFile(path)
    again = keys()
    file.load_into(again)
    assert values(again) == {b"a": b"3"}
    assert again.revision == 4
    with pytest.raises(Compacted):
        again.changes_from(4)
    file.close()

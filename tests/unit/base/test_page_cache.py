"""Reading from memory alone: what the kernel tells, what a scope refuses once, and what it no longer refuses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cold_cache import ColdCache
from tailrace.base import page_cache
from tailrace.base.disk import RealDisk
from tailrace.base.errors import StorageError
from tailrace.base.limits import RECENT_BYTES, RESIDENCY_STRIDE_BYTES
from tailrace.base.page_cache import InlineReads, KernelPageCache, NotResident, ReadScope, load_missing, read_scope

SIZE = 2 * RESIDENCY_STRIDE_BYTES + 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data"
    found.write_bytes(bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256))
    with found.open("rb") as file:
        os.fsync(file.fileno())
    return found


def forget(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def comes_true(path: Path, is_missing: Callable[[], bool]) -> bool:
    """Whether it is so once the file is forgotten: the kernel keeps for a moment what it has begun to read ahead."""
    for _ in range(1000):
        forget(path)
        if is_missing():
            return True
    return False


class TestKernel:
    def test_what_was_just_written_is_in_memory(self, path: Path) -> None:
        cache = KernelPageCache()
        with path.open("rb") as file:
            assert cache.is_resident(file.fileno(), 0, SIZE)
            assert cache.pread(file.fileno(), 100, 7) == path.read_bytes()[7:107]

    def test_a_read_over_the_end_is_short_and_not_missing(self, path: Path) -> None:
        with path.open("rb") as file:
            assert KernelPageCache().pread(file.fileno(), 100, SIZE - 4) == path.read_bytes()[-4:]
            assert KernelPageCache().pread(file.fileno(), 100, SIZE) == b""

    @pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the system does not tell what is in memory")
    def test_what_the_kernel_forgot_is_missing_until_it_is_loaded(self, path: Path) -> None:
        cache = KernelPageCache()
        with path.open("rb") as file:
            fd = file.fileno()
            if not comes_true(path, lambda: not cache.is_resident(fd, 0, SIZE)):
                pytest.skip("this file system keeps what it is told to forget")
            assert comes_true(path, lambda: cache.pread(fd, SIZE, 0) is None)
            cache.load(fd, 0, SIZE)
            assert cache.is_resident(fd, 0, SIZE)
            assert cache.pread(fd, SIZE, 0) == path.read_bytes()

    @pytest.mark.parametrize("is_linux", [True, False])
    def test_a_load_ends_where_the_file_does(self, path: Path, is_linux: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(page_cache, "_IS_LINUX", is_linux and page_cache._IS_LINUX)
        with path.open("rb") as file:
            for size in (1 << 21, 100):
                KernelPageCache().load(file.fileno(), SIZE - 10, size)
                KernelPageCache().load(file.fileno(), SIZE + 10, size)

    def test_without_a_word_from_the_system_only_the_newest_bytes_count(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page_cache, "_NOWAIT", 0)
        os.truncate(path, RECENT_BYTES + 4096)
        cache = KernelPageCache()
        with path.open("rb") as file:
            fd = file.fileno()
            assert cache.is_resident(fd, 4096, 10) and cache.pread(fd, 10, 4096) == path.read_bytes()[4096:4106]
            assert not cache.is_resident(fd, 4095, 10) and cache.pread(fd, 10, 4095) is None


class TestScope:
    def test_reads_of_the_disk_refuse_to_wait_once_for_each_piece(self, path: Path) -> None:
        cold = ColdCache()
        file = RealDisk().open(path)
        cold.evict(path)
        scope = ReadScope(cold)
        for position in (0, 8192):
            with scope, pytest.raises(NotResident) as caught:
                file.pread(100, position)
            assert (caught.value.path, caught.value.position, caught.value.size) == (path, position, 100)
            with scope:
                assert file.pread(100, position) == path.read_bytes()[position : position + 100], "it has to go on"
        with pytest.raises(NotResident), ReadScope(cold):
            file.pread(100, 0)
        assert file.pread(100, 0), "without a scope reads wait"

    def test_whole_files_are_refused_too(self, path: Path) -> None:
        cold = ColdCache()
        cold.evict(path)
        with ReadScope(cold), pytest.raises(NotResident) as caught:
            RealDisk().read(path)
        assert caught.value.file is None and caught.value.size == SIZE
        assert load_missing(cold, path, 0, SIZE) is None
        with ReadScope(cold):
            assert RealDisk().read(path) == path.read_bytes()

    def test_a_missing_file_is_an_error_and_not_a_piece(self, tmp_path: Path) -> None:
        with ReadScope(ColdCache()), pytest.raises(StorageError):
            RealDisk().read(tmp_path / "none")

    def test_a_scope_holds_for_its_thread_alone(self) -> None:
        seen: list[object] = []
        with ReadScope(ColdCache()):
            thread = threading.Thread(target=lambda: seen.append(read_scope()))
            thread.start()
            thread.join()
            assert read_scope() is not None
        assert seen == [None] and read_scope() is None


def test_loading_tells_what_failed_but_not_that_a_file_went_away(path: Path) -> None:
    cold = ColdCache()
    cold.error = OSError(5, "Input/output error")
    assert load_missing(cold, path, 0, 10) is cold.error
    assert load_missing(cold, path.with_name("gone"), 0, 10) is None


def test_inline_reads_load_before_they_return(path: Path) -> None:
    cold = ColdCache()
    cold.evict(path)
    outcomes: list[OSError | None] = []
    InlineReads(cold).load(NotResident(path, None, 0, SIZE), outcomes.append)
    assert outcomes == [None] and cold.loads == [(0, SIZE)]

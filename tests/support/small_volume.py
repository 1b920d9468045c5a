"""A volume of a few MB for one test: a tmpfs, mounted by root, or by anybody within a user namespace.

Where the process may not mount, the test runs again in a child within `unshare -Urm`; where that is not allowed either
it fails: a proof that was not made is no proof.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_IN_NAMESPACE = "TAILRACE_IN_MOUNT_NAMESPACE"


def may_mount(path: Path) -> bool:
    """Whether this process can mount a tmpfs at all."""
    path.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], capture_output=True, check=False
    ).returncode:
        return False
    subprocess.run(["umount", path], check=True)
    return True


def ran_in_a_namespace(request: pytest.FixtureRequest, tmp_path: Path) -> bool:
    """Run the test in a child that may mount, if this process may not; whether that was done."""
    if may_mount(tmp_path / "probe"):
        return False
    assert _IN_NAMESPACE not in os.environ, "a user namespace does not allow a tmpfs here"
    command = ["unshare", "-Urm", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", request.node.nodeid]
    done = subprocess.run(command, env={**os.environ, _IN_NAMESPACE: "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"in a namespace of its own: {done.stdout}\n{done.stderr}"
    return True


@contextmanager
def small_volume(path: Path, size_bytes: int) -> Iterator[Path]:
    """A tmpfs of `size_bytes` at `path`, which is made."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(path: Path) -> Path:
    """Take every free byte of the volume; answers the file that holds them."""
    filler = path / "filler"
    with filler.open("ab", buffering=0) as file:
        for chunk in (1 << 20, 4096, 1):
            try:
                while file.write(bytes(chunk)) == chunk:
                    pass
            except OSError:
                continue
    return filler

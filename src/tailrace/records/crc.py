"""CRC-32C (Castagnoli), the checksum of batches of magic 2 and of producer snapshots.

`import crc32c` costs some 50 ms, because the package's `__init__` imports its command line and reads its own version;
a fifth of the whole start-up budget of `tailrace serve`. So the extension module inside it is loaded alone, and the
package the ordinary way only where that extension is not found.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec


def _load() -> Callable[..., int]:
    package = PathFinder.find_spec("crc32c")
    locations = package.submodule_search_locations if package is not None else None
    spec = PathFinder.find_spec("crc32c._crc32c", locations) if locations is not None else None
    if spec is None or spec.loader is None:
        import crc32c as whole

        return whole.crc32c
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.crc32c  # type: ignore[no-any-return]


crc32c = _load()
"""`crc32c(data, value=0) -> int`: the checksum of any contiguous buffer, without a copy; `value` continues one."""

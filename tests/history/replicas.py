"""Whether the replicas of partitions hold the same bytes, read from their segment files.

Where segments were deleted, compared is what all replicas still have. It asks no broker, and knows only how long a
batch is; compacted partitions it does not look at, for every replica compacts for itself.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.history.model import Key

_HEAD = struct.Struct(">qi")
"""Base offset, and the length of what follows."""


def batches_of(directory: Path) -> dict[int, bytes]:
    """Every whole batch in a partition's folder, by its base offset."""
    found: dict[int, bytes] = {}
    for path in sorted(directory.glob("*.log")):
        data = path.read_bytes()
        position = 0
        while position + _HEAD.size <= len(data):
            base_offset, length = _HEAD.unpack_from(data, position)
            end = position + _HEAD.size + length
            if end > len(data) or length <= 0:
                break
            found[base_offset] = data[position:end]
            position = end
    return found


def differences(directories: Mapping[int, Path], keys: Sequence[Key], is_needed: bool = True) -> list[str]:
    """What differs between the replicas in `directories`, by node id. Unless `is_needed`, there may be no records."""
    told: list[str] = []
    for key in keys:
        replicas = {node_id: batches_of(directory / str(key)) for node_id, directory in directories.items()}
        if not all(replicas.values()):
            if is_needed:
                told.append(f"{key}: no records at {[node_id for node_id, found in replicas.items() if not found]}")
            continue
        begin = max(min(found) for found in replicas.values())
        held = {node_id: {at: found[at] for at in found if at >= begin} for node_id, found in replicas.items()}
        for node_id, found in held.items():
            for other, others in held.items():
                if other > node_id and found != others:
                    at = min(at for at in found.keys() | others.keys() if found.get(at) != others.get(at))
                    told.append(f"{key}: brokers {node_id} and {other} differ from offset {at} on")
    return told

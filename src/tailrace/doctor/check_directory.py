"""A log directory: who may write there, what it lies on, how it was left, what is damaged. Pure: facts -> findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from tailrace.doctor.directory_facts import ENTRY_BYTES, DirectoryFacts, SegmentFacts
from tailrace.doctor.finding import Finding, named, note, problem, warning
from tailrace.doctor.limits import (
    DESCRIPTORS_MIN,
    DESCRIPTORS_SHARE,
    HEAD_BYTES,
    VOLUME_PROBLEM_SHARE,
    VOLUME_WARNING_SHARE,
)

_NETWORK: Final = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p")
_MAGIC_AT: Final = 16


def check_readable(facts: DirectoryFacts) -> Iterator[Finding]:
    """It is there and may be looked at."""
    if facts.trouble:
        yield problem(
            "directory-unreadable",
            f"directory {facts.path}",
            f"cannot be looked at: {facts.trouble}",
            "it does not exist, its volume is not mounted, or it is another user's",
            "name the directory that `serve --data-dir` or log.dirs has, as the user that the broker runs as",
        )


def check_writable(facts: DirectoryFacts) -> Iterator[Finding]:
    """Whoever starts a broker may write there, and nobody else has."""
    if facts.trouble:
        return
    if not facts.is_writable:
        yield problem(
            "directory-not-writable",
            f"directory {facts.path}",
            "may not be written by this user: a broker started by it ends at once",
            "it belongs to another user, or its volume is mounted read-only",
            "start the broker as the owner, or change the owner (chown -R)",
        )
    if len(facts.owners) > 1:
        yield warning(
            "directory-owners-mixed",
            f"directory {facts.path}",
            f"has files of several users ({', '.join(map(str, sorted(facts.owners)))}): a broker of one cannot write "
            "what is the other's",
            "it was once started as another user, often as root",
            "stop it, chown -R to the user that it is to run as, start it as that user",
        )


def check_file_system(facts: DirectoryFacts) -> Iterator[Finding]:
    """A place where what is synced stays."""
    kind = facts.file_system
    if kind in ("tmpfs", "ramfs"):
        what, cause = "is in memory: everything is gone when the machine restarts", f"it is on a {kind}"
    elif kind in ("overlay", "aufs"):
        what, cause = "is in the layer of a container: everything is gone with the container", f"it is on {kind}"
    elif kind in _NETWORK:
        what = "is on a network file system: locks and syncs mean less there, and stalls stop the broker"
        cause = f"it is on {kind}"
    else:
        return
    yield warning(
        "file-system", f"directory {facts.path}", what, cause, "put log.dirs on a local disk or a volume of its own"
    )


def check_room(facts: DirectoryFacts) -> Iterator[Finding]:
    """Room on the volume."""
    if facts.space is None or not facts.space.total:
        return
    share = facts.space.free / facts.space.total
    if share < VOLUME_WARNING_SHARE:
        make = problem if share < VOLUME_PROBLEM_SHARE else warning
        yield make(
            "volume-full",
            f"directory {facts.path}",
            f"has {share:.1%} ({facts.space.free / 1e9:.1f} GB) of its volume left",
            "records are kept for longer than there is room for, or other files fill the volume",
            "shorten retention of the largest topics, or grow the volume: docs/operations/disk-trouble.md",
        )


def check_identity(facts: DirectoryFacts) -> Iterator[Finding]:
    """Whose directory it is."""
    if facts.trouble:
        return
    if facts.has_kafka_metadata and not facts.has_metadata:
        yield note(
            "directory-of-kafka",
            f"directory {facts.path}",
            "is one of Apache Kafka's",
            "it has Kafka's metadata log, and none of ours",
            f"with Kafka stopped, `tailrace from-kafka --data-dir {facts.path}` takes it over",
        )
    elif facts.meta is None and facts.partitions:
        yield warning(
            "identity-missing",
            f"directory {facts.path}",
            f"has {len(facts.partitions):,} logs and no meta.properties",
            "it was copied in part, or the file was deleted",
            "restore the file from a backup; a broker whose metadata.db is whole writes it again",
        )
    for each in facts.malformed:
        yield warning(
            "file-malformed",
            f"directory {facts.path}",
            f"has a file that cannot be used: {each}",
            "a crash of the machine or the disk, or an edit by hand",
            "without a checkpoint the next start reads more of the logs; meta.properties comes back from a backup",
        )


def check_last_end(facts: DirectoryFacts) -> Iterator[Finding]:
    """How it was left, and what the next start has to do."""
    if facts.trouble or facts.holder is not None or facts.was_clean or not facts.partitions:
        return
    size = sum(each.size_bytes for each in facts.segments if _is_beyond(facts, each))
    yield note(
        "unclean-end",
        f"directory {facts.path}",
        f"was not left by a clean end: the next start checks {size / 1e6:,.1f} MB of {len(facts.partitions):,} logs",
        "the broker was killed, or the machine went down",
        "nothing: what was synced is found again; stop brokers with SIGTERM to start faster",
    )


def _is_beyond(facts: DirectoryFacts, segment: SegmentFacts) -> bool:
    """Whether recovery reads it: it holds the recovery point, or lies after it."""
    point = facts.recovery_points.get(segment.topic_partition, 0)
    return segment.next_base_offset is None or segment.next_base_offset > point


def check_leftovers(facts: DirectoryFacts) -> Iterator[Finding]:
    """What a start clears away, and what nobody does."""
    if facts.holder is None and (facts.leftovers or facts.deleted):
        yield note(
            "leftover-files",
            f"directory {facts.path}",
            f"has {named('file', [*facts.leftovers, *facts.deleted])} of work that was cut short",
            "the broker was killed while it deleted or compacted",
            "nothing: the next start removes them",
        )
    if facts.strays:
        yield warning(
            "stray-logs",
            f"directory {facts.path}",
            f"keeps {named('log', facts.strays)} of topics that are no more",
            "the topic was deleted while this directory was offline",
            "look at them with `tailrace dump`, then delete them by hand",
        )


def check_segments(facts: DirectoryFacts) -> Iterator[Finding]:
    """Heads of segments and ends of indexes: cheap signs of damage, not a proof of health."""
    damaged: list[str] = []
    cut: list[str] = []
    beyond: list[str] = []
    for each in facts.segments:
        name = f"{each.topic_partition.topic}-{each.topic_partition.partition}/{each.base_offset:020d}"
        if head_trouble(each):
            damaged.append(f"{name}.log ({head_trouble(each)})")
        if any(size % ENTRY_BYTES[suffix] for suffix, size in each.indexes.items()):
            cut.append(name)
        elif each.last_position is not None and each.last_position >= max(each.size_bytes, 1) and facts.holder is None:
            beyond.append(name)
    if damaged:
        yield problem(
            "segment-damaged",
            named("segment", damaged),
            "does not begin as a segment does: its records cannot be read",
            "the disk returns other bytes than were written, or the file was changed by hand",
            "copy the directory first; `tailrace dump FILE` shows what is left; another replica or a backup has it",
        )
    if cut or beyond:
        yield warning(
            "index-damaged",
            named("segment", [*cut, *beyond]),
            "has an index that does not fit: entries are cut, or point past the segment's end",
            "a crash of the machine, or a file that was restored without the other",
            "nothing before an unclean start, which makes indexes anew; otherwise stop the broker and delete "
            "that segment's index files",
        )


def head_trouble(segment: SegmentFacts) -> str:
    """What is wrong with a segment's first bytes; empty where nothing is. A compacted segment may begin later than its
    name says; one that is being written may be short."""
    head = segment.head
    if len(head) < HEAD_BYTES:
        is_cut = bool(head) and segment.next_base_offset is not None
        return f"{len(head)} bytes" if is_cut else ""
    if head[_MAGIC_AT] > 2:
        return f"format {head[_MAGIC_AT]}"
    base = int.from_bytes(head[:8], "big", signed=True)
    end = segment.next_base_offset
    if head[_MAGIC_AT] == 2 and (base < segment.base_offset or (end is not None and base >= end)):
        return f"offset {base}"
    return ""


def check_descriptors(facts: DirectoryFacts, hard_limit: int) -> Iterator[Finding]:
    """Files that the broker may open: the process that runs on it, else one started from here."""
    holder = facts.holder
    if holder is not None and holder.files_max is not None and holder.files_open is not None:
        if holder.files_open > holder.files_max * DESCRIPTORS_SHARE:
            yield problem(
                "descriptors-run-out",
                f"process {holder.pid} ({holder.command})",
                f"has {holder.files_open:,} of {holder.files_max:,} files and sockets open",
                "many clients, or many partitions that are written to, and a low RLIMIT_NOFILE",
                "raise the limit of the service (LimitNOFILE= of systemd, ulimit -n of a shell) and restart",
            )
    elif holder is None and not facts.trouble and hard_limit < max(DESCRIPTORS_MIN, 2 * len(facts.partitions)):
        yield warning(
            "descriptors-few",
            f"directory {facts.path}",
            f"has {len(facts.partitions):,} logs, and a broker started from here may open {hard_limit:,} files",
            "the hard limit of RLIMIT_NOFILE is low",
            "raise it (LimitNOFILE=1048576 of systemd, ulimit -Hn of a shell)",
        )


DIRECTORY_CHECKS: Final[tuple[Callable[[DirectoryFacts], Iterator[Finding]], ...]] = (
    check_readable,
    check_writable,
    check_file_system,
    check_room,
    check_identity,
    check_last_end,
    check_leftovers,
    check_segments,
)


def check_together(all_facts: list[DirectoryFacts]) -> Iterator[Finding]:
    """Log directories of one broker: of one node and cluster, and each partition in one of them."""
    identities = {(facts.meta.cluster_id, facts.meta.node_id) for facts in all_facts if facts.meta is not None}
    if len(identities) > 1:
        told = ", ".join(f"node {node} of {cluster}" for cluster, node in sorted(identities))
        yield problem(
            "directories-of-several",
            "the directories",
            f"belong to several brokers: {told}",
            "directories of two brokers were mixed up",
            "give each broker its own in log.dirs",
        )
    counts = Counter(each for facts in all_facts for each in facts.partitions)
    twice = [f"{each.topic}-{each.partition}" for each, count in counts.items() if count > 1]
    if twice:
        yield problem(
            "log-twice",
            named("log", twice),
            "lies in more than one directory: a broker does not know which one is right",
            "a directory was copied, or a move between directories was cut short",
            "keep the one that is longer (`tailrace dump`), and move the other out of log.dirs",
        )

"""Consumer groups and transactions: who does not read, who holds others back. Pure: facts -> findings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tailrace.doctor.facts import ClusterFacts, GroupFacts, GroupPosition, OpenTransaction
from tailrace.doctor.finding import Finding, named, problem, span_text, warning
from tailrace.doctor.limits import LATE_MS, TRANSACTION_MARGIN_MS, TRANSACTION_OPEN_MS

_WITHOUT_MEMBERS: Final = frozenset({"empty", "dead"})
_ENDING: Final = frozenset({"PrepareCommit", "PrepareAbort"})


def check_lag(facts: ClusterFacts) -> Iterator[Finding]:
    """Groups whose next record has waited for longer than LATE_MS."""
    for group in facts.groups:
        late = [each for each in group.positions if _is_late(each)]
        if not late:
            continue
        unread = sum(each.end_offset - each.committed_offset for each in late if each.end_offset is not None)
        places = named("partition", [f"{each.topic}-{each.partition}" for each in late])
        what = f"has not read records that are older than {span_text(LATE_MS)}: {unread:,} wait in {places}"
        if _has_nobody(group):
            yield warning(
                "group-without-members",
                f"group {group.group_id}",
                what,
                "it has no members: nobody reads for it",
                f"start its consumers; if it is no longer needed, `tailrace groups delete {group.group_id}`",
            )
        else:
            yield warning(
                "group-lags",
                f"group {group.group_id}",
                what,
                "its consumers are too few or too slow, stuck at one record, or do not commit",
                f"`tailrace groups describe {group.group_id}` shows whether all partitions lag or one; more consumers "
                "help up to the number of partitions",
            )


def _is_late(position: GroupPosition) -> bool:
    return position.late_offset is not None and position.committed_offset < position.late_offset


def check_lost_positions(facts: ClusterFacts) -> Iterator[Finding]:
    """Positions outside what there is."""
    for group in facts.groups:
        missed = [each for each in group.positions
                  if each.log_start_offset is not None and each.committed_offset < each.log_start_offset]  # fmt: skip
        beyond = [each for each in group.positions
                  if each.end_offset is not None and each.committed_offset > each.end_offset]  # fmt: skip
        if missed:
            lost = sum((each.log_start_offset or 0) - each.committed_offset for each in missed)
            yield problem(
                "group-missed-records",
                f"group {group.group_id}",
                f"has not read {lost:,} records that are deleted by now, in "
                + named("partition", [f"{each.topic}-{each.partition}" for each in missed]),
                "retention was shorter than the time that its consumers were away or behind",
                "lengthen retention.ms or retention.bytes, or speed the consumers up; auto.offset.reset decides where "
                "it goes on",
            )
        if beyond:
            yield problem(
                "group-beyond-end",
                f"group {group.group_id}",
                "has committed offsets after the end of "
                + named("partition", [f"{each.topic}-{each.partition}" for each in beyond]),
                "the topic was deleted and created again, or records were lost in an unclean election",
                f"`tailrace groups reset {group.group_id}` to where it should read, or let auto.offset.reset decide",
            )


def _has_nobody(group: GroupFacts) -> bool:
    return group.state.lower() in _WITHOUT_MEMBERS


def check_transactions(facts: ClusterFacts) -> Iterator[Finding]:
    """Transactions that nobody ends."""
    for each in facts.transactions:
        quiet_ms = facts.now_ms - each.last_write_ms
        allowed_ms = TRANSACTION_OPEN_MS if each.timeout_ms is None else each.timeout_ms
        if quiet_ms <= allowed_ms + TRANSACTION_MARGIN_MS:
            continue
        yield _open_too_long(each, quiet_ms)


def _open_too_long(found: OpenTransaction, quiet_ms: int) -> Finding:
    place = f"{found.topic}-{found.partition}"
    what = (
        f"has a transaction of producer {found.producer_id} open since offset {found.start_offset}, without a write "
        f"for {span_text(quiet_ms)}: readers of committed records do not see {found.held_back_records:,} records"
    )
    if found.state in _ENDING:
        cause = (
            f"transactional id {found.transactional_id} is decided ({found.state}), and its markers cannot be written: "
            "a leader of one of its partitions is away"
        )
        cure = "see that every partition has a leader; the coordinator then writes the rest by itself"
    elif found.transactional_id:
        cause = f"its coordinator has not ended transactional id {found.transactional_id}, though its time is over"
        cure = f"`tailrace transactions abort --id {found.transactional_id}` ends it and fences its producer"
    else:
        cause = "it hangs: no coordinator knows of it, so none will end it (KIP-664)"
        cure = (
            f"`tailrace transactions abort {found.topic}:{found.partition} --start-offset {found.start_offset}`, after "
            "a look at docs/operations/hanging-transactions.md"
        )
    return problem("transaction-hangs", f"partition {place}", what, cause, cure)

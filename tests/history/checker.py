"""What is wrong with a history: one function a rule, each yields the anomalies it finds.

    invented              a value was read that nobody sent (so bytes changed, too)
    inconsistent-offset   one offset of a partition had two values
    duplicate             one value lies at two offsets, though its producer had it at most once
    aborted-read          a value was read that certainly was not written
    lost-write            an acknowledged record is below what was read of its partition, and was never read
    unseen                an acknowledged record was not read by the last, whole reading
    lost-read             a record was read, and the last reading does not have it
    poll-skip             a reader passed over records;   nonmonotonic-poll   it went back
    nonmonotonic-send     records of one process lie in another order than it sent them
    realtime-order        a record sent after another was acknowledged lies below it
    holes                 offsets of the last reading are not dense
    log-start, log-end    moved back, or the start moved further than anyone asked
    stable-end            the last stable offset lies above the end, or below it after all is over
    lost-commit           a group's offset is not the last one acknowledged, nor one of those after it
    lost-latest           the last acknowledged value of a key is gone from a compacted partition

Records below the log start are excused; where a topic is compacted, all but the last of a key. Allowed, and not looked
for: interleaved writes, skips after a reposition. What transactions promise besides is in `transactions`.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator

from tests.history.model import (
    Anomaly,
    Bounds,
    Commit,
    Committed,
    DeleteRecords,
    History,
    Key,
    Op,
    Outcome,
    Promise,
    Read,
    Reposition,
    Send,
)
from tests.history.transactions import TRANSACTION_RULES
from tests.history.view import FINAL, View


def check(history: History) -> list[Anomaly]:
    """Every anomaly there is, by rule. An empty list is a pass."""
    view = View(history)
    return [anomaly for rule in RULES for anomaly in rule(view)]


def invented(view: View) -> Iterator[Anomaly]:
    for key, values in view.all_read_offsets.items():
        for value, offsets in values.items():
            if value not in view.sender or view.sender[value][1].key != key:
                yield Anomaly("invented", key, f"{value[:80]!r} at {sorted(offsets)}")


def inconsistent_offset(view: View) -> Iterator[Anomaly]:
    for key, offsets in view.all_values.items():
        for offset, values in offsets.items():
            if len(values) > 1:
                yield Anomaly("inconsistent-offset", key, f"{offset} has {sorted(values)}")


def duplicate(view: View) -> Iterator[Anomaly]:
    for key, offsets in view.all_values.items():
        places: dict[str, list[int]] = defaultdict(list)
        for offset, values in offsets.items():
            for value in values:
                places[value].append(offset)
        for value, found in places.items():
            if len(found) > 1 and value in view.sender and Promise.ONCE in view.sender[value][1].promise:
                yield Anomaly("duplicate", key, f"{value} at {sorted(found)}")


def aborted_read(view: View) -> Iterator[Anomaly]:
    for key, values in view.read_offsets.items():
        for value, offsets in values.items():
            if value in view.sender and view.sender[value][0].outcome is Outcome.FAIL:
                yield Anomaly("aborted-read", key, f"{value} at {sorted(offsets)}")


def lost_write(view: View) -> Iterator[Anomaly]:
    highest = {
        key: max(offset for offsets in values.values() for offset in offsets)
        for key, values in view.read_offsets.items()
    }
    for send in view.kept():
        assert send.offset is not None
        if send.offset < highest.get(send.key, -1) and send.value not in view.read_offsets[send.key]:
            yield Anomaly("lost-write", send.key, f"{send.value} at {send.offset}")


def unseen(view: View) -> Iterator[Anomaly]:
    for send in view.kept():
        assert send.offset is not None
        if view.final and view.final.get(send.key, {}).get(send.offset) != send.value:
            yield Anomaly("unseen", send.key, f"{send.value} at {send.offset}")
    for send in view.kept_somewhere():
        if send.key in view.final and send.value not in view.final_values[send.key]:
            yield Anomaly("unseen", send.key, f"{send.value}, wherever it was put")


def lost_read(view: View) -> Iterator[Anomaly]:
    for places, finals in ((view.read_offsets, view.final), (view.all_read_offsets, view.all_final)):
        for key, values in places.items():
            if key not in finals or view.history.rules_of(key).is_compacted:
                continue
            for value, offsets in values.items():
                for offset in offsets:
                    if not view.is_gone(key, offset) and finals[key].get(offset) != value:
                        yield Anomaly("lost-read", key, f"{value} at {offset}")


def poll_order(view: View) -> Iterator[Anomaly]:
    """poll-skip and nonmonotonic-poll, within one read and between the reads of one process."""
    known = {
        is_committed: {key: sorted(offsets) for key, offsets in values.items()}
        for is_committed, values in ((True, view.values), (False, view.all_values))
    }
    position: dict[tuple[str, Key], int] = {}
    for op in sorted(view.history.ops, key=lambda op: op.invoked):
        for step in op.steps:
            if isinstance(step, Reposition):
                for key in step.keys:
                    position.pop((op.process, key), None)
            if not isinstance(step, Read) or not (op.outcome is Outcome.OK or op.is_transaction):
                continue
            if op.process == FINAL:
                position.pop((FINAL, step.key), None)
            offsets = known[step.is_committed].get(step.key, [])
            for offset, _ in step.records:
                between = (position.get((op.process, step.key)), offset)
                for found in _step_between(view, offsets, step.key, between, op.completed):
                    yield found._replace(what=f"{found.what} ({op.process} at {op.completed:.3f})")
                position[op.process, step.key] = offset


def _step_between(
    view: View, known: list[int], key: Key, between: tuple[int | None, int], when: float
) -> Iterator[Anomaly]:
    before, offset = between
    if before is None:
        return
    if offset <= before and not view.was_out_of_range(key, before, when):
        yield Anomaly("nonmonotonic-poll", key, f"{offset} after {before}")
    if view.history.rules_of(key).is_compacted:
        return
    skipped = known[bisect_right(known, before) : bisect_left(known, offset)]
    skipped = [each for each in skipped if not view.is_gone(key, each) and not view.was_hidden(key, each, when)]
    if skipped:
        yield Anomaly("poll-skip", key, f"from {before} to {offset}, over {skipped[:5]}")


def nonmonotonic_send(view: View) -> Iterator[Anomaly]:
    ordered = sorted(view.history.sends(Outcome.OK), key=lambda found: found[0].invoked)
    last: dict[tuple[str, Key], int] = {}
    for op, send in ordered:
        place = view.place(send)
        if place is None or Promise.ORDERED not in send.promise:
            continue
        before = last.get((op.process, send.key), -1)
        if place <= before:
            yield Anomaly("nonmonotonic-send", send.key, f"{send.value} at {place} after {before}")
        last[op.process, send.key] = max(before, place)


def realtime_order(view: View) -> Iterator[Anomaly]:
    by_key: dict[Key, list[tuple[float, float, int, str]]] = defaultdict(list)
    for op, send in view.history.sends(Outcome.OK):
        if send.offset is not None and Promise.KEPT in send.promise:
            by_key[send.key].append((op.invoked, op.completed, send.offset, send.value))
    for key, sends in by_key.items():
        completions = sorted((completed, offset, value) for _, completed, offset, value in sends)
        highest, of = -1, ""
        index = 0
        for invoked, _, offset, value in sorted(sends):
            while index < len(completions) and completions[index][0] < invoked:
                if completions[index][1] > highest:
                    _, highest, of = completions[index]
                index += 1
            if offset <= highest:
                yield Anomaly("realtime-order", key, f"{value} at {offset}, sent after {of} at {highest} was answered")


def holes(view: View) -> Iterator[Anomaly]:
    for key, records in view.final.items():
        if view.history.rules_of(key).is_compacted or view.history.rules_of(key).has_markers:
            continue
        for before, after in itertools.pairwise(sorted(records)):
            if after != before + 1:
                yield Anomaly("holes", key, f"nothing between {before} and {after}")


def bounds(view: View) -> Iterator[Anomaly]:
    """log-start and log-end.

    A start that was shown goes back when the leader dies with a deletion that nobody was told of: no further than to
    what was acknowledged, which the last rule of the three sees to.
    """
    seen: dict[Key, list[tuple[Op, Bounds]]] = defaultdict(list)
    asked: dict[Key, int] = defaultdict(int)
    for op, step in view.history.steps(Outcome.OK, Outcome.INFO):
        if isinstance(step, Bounds):
            seen[step.key].append((op, step))
        if isinstance(step, DeleteRecords):
            asked[step.key] = max(asked[step.key], step.before)
    for key, found in seen.items():
        found.sort(key=lambda each: each[0].invoked)
        for (shown, before), (_, after) in itertools.pairwise(found):
            if after.log_start < before.log_start and not view.may_be_undone(key, before.log_start, shown.completed):
                yield Anomaly("log-start", key, f"went back from {before.log_start} to {after.log_start}")
            if after.log_end < before.log_end:
                yield Anomaly("log-end", key, f"went back from {before.log_end} to {after.log_end}")
        rules = view.history.rules_of(key)
        last = found[-1][1].log_start
        if last > asked[key] and not rules.expires:
            yield Anomaly("log-start", key, f"is {last}, and {asked[key]} was the most that was asked")
    for op, step in view.history.steps(Outcome.OK):
        if isinstance(step, DeleteRecords):
            for later, each in seen[step.key]:
                if later.invoked > op.completed and each.log_start < step.before:
                    yield Anomaly("log-start", step.key, f"is {each.log_start} after {step.before} was acknowledged")
                    break


def stable_end(view: View) -> Iterator[Anomaly]:
    for _, step in view.history.steps(Outcome.OK):
        if isinstance(step, Bounds) and step.stable_end is not None and step.stable_end > step.log_end:
            yield Anomaly("stable-end", step.key, f"is {step.stable_end}, above {step.log_end}")
    for key, found in view.final_bounds.items():
        if found.stable_end is not None and found.stable_end < found.log_end:
            yield Anomaly("stable-end", key, f"stays at {found.stable_end}, below {found.log_end}")


def lost_commit(view: View) -> Iterator[Anomaly]:
    commits: dict[tuple[str, Key], list[tuple[Op, Commit]]] = defaultdict(list)
    for op, step in view.history.steps(Outcome.OK, Outcome.INFO):
        if isinstance(step, Commit):
            commits[step.group, step.key].append((op, step))
    for op, step in view.history.steps(Outcome.OK):
        if not isinstance(step, Committed):
            continue
        earlier = [found for found in commits[step.group, step.key] if found[0].invoked < op.completed]
        acknowledged = [each for each in earlier if each[0].outcome is Outcome.OK and each[0].completed < op.invoked]
        allowed = {-1} if not acknowledged else set()
        # A commit of which nothing was heard may come into force at any time: its request may still be on its way.
        since = max((each[0].invoked for each in acknowledged), default=float("-inf"))
        allowed |= {commit.offset for other, commit in earlier if other.completed >= since}
        if step.offset not in allowed:
            yield Anomaly("lost-commit", step.key, f"{step.group} has {step.offset}, not one of {sorted(allowed)[:5]}")


def lost_latest(view: View) -> Iterator[Anomaly]:
    latest: dict[tuple[Key, str], Send] = {}
    for _, send in view.history.sends(Outcome.OK):
        if view.history.rules_of(send.key).is_compacted and send.offset is not None and send.record_key is not None:
            at = (send.key, send.record_key)
            if at not in latest or send.offset > (latest[at].offset or 0):
                latest[at] = send
    for (key, record_key), send in latest.items():
        final = view.final.get(key)
        if final is None or final.get(send.offset or 0) == send.value:
            continue
        # A send of which nothing was heard may have taken its place.
        newer = any(
            offset > (send.offset or 0) and value in view.sender and view.sender[value][1].record_key == record_key
            for offset, value in final.items()
        )
        if not newer:
            yield Anomaly("lost-latest", key, f"{record_key} = {send.value} at {send.offset}")


RULES: tuple[Callable[[View], Iterator[Anomaly]], ...] = (
    invented,
    inconsistent_offset,
    duplicate,
    aborted_read,
    lost_write,
    unseen,
    lost_read,
    poll_order,
    nonmonotonic_send,
    realtime_order,
    holes,
    bounds,
    stable_end,
    lost_commit,
    lost_latest,
    *TRANSACTION_RULES,
)

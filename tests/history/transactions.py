"""What is wrong with the transactions of a history: rules beside those of `checker`, in the same form.

    precommitted-read     a transaction read what it had sent itself
    open-read             a value was read before the commit of its transaction was asked for
    torn-transaction      one record of a transaction is in the last reading, another is not
    read-cycle            transactions that each read what another of them wrote (G1c over reads alone)
    processed-twice       two committed records were made of the same one
    unprocessed           a copier's offset passed a record of which nothing was made
    zombie                a transaction was committed after a later producer of its id had begun

A record of an aborted transaction that is read is an `aborted-read`, an offset committed by one a `lost-commit`:
`checker` finds both, as an aborted transaction is an operation that failed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.history.model import Anomaly, Committed, Incarnation, Key, Op, Outcome, Send
from tests.history.view import View


def precommitted_read(view: View) -> Iterator[Anomaly]:
    for op, read in view.history.reads():
        own = {step.value for step in op.steps if isinstance(step, Send)} if op.is_transaction else set()
        for offset, value in read.records:
            if value in own:
                yield Anomaly("precommitted-read", read.key, f"{value} at {offset} by {op.process}")


def open_read(view: View) -> Iterator[Anomaly]:
    for op, read in view.history.reads():
        if op.is_transaction:
            continue  # its end is not when it read
        for offset, value in read.records if read.is_committed else ():
            sender = view.sender.get(value)
            if sender is not None and sender[0].is_transaction and op.completed < sender[0].decided:
                yield Anomaly("open-read", read.key, f"{value} at {offset} by {op.process}, before its commit")


def torn_transaction(view: View) -> Iterator[Anomaly]:
    """Where the end is known others speak; here the unknown is held to be all or nothing, too."""
    for op in view.history.ops:
        if not op.is_transaction or op.outcome is not Outcome.INFO:
            continue
        sends = [step for step in op.steps if isinstance(step, Send) and step.key in view.final]
        sends = [send for send in sends if send.offset is None or not view.is_gone(send.key, send.offset)]
        missing = [send for send in sends if send.value not in view.final_values[send.key]]
        if missing and len(missing) < len(sends):
            yield Anomaly("torn-transaction", missing[0].key, f"{missing[0].value} is missing, others are there")


def read_cycle(view: View) -> Iterator[Anomaly]:
    """Take away what reads of nothing that is left; what then remains reads in a circle."""
    reads_of: dict[int, set[int]] = defaultdict(set)
    for op, read in view.history.reads():
        if op.is_transaction and op.outcome is not Outcome.FAIL:
            writers = (view.sender[value][0] for _, value in read.records if value in view.sender)
            reads_of[id(op)] |= {id(writer) for writer in writers if writer.is_transaction and writer is not op}
    left = set(reads_of)
    while True:
        free = {op for op in left if not reads_of[op] & left}
        if not free:
            break
        left -= free
    if left:
        processes = sorted({op.process for op in view.history.ops if id(op) in left})
        yield Anomaly("read-cycle", None, f"{len(left)} transactions of {processes}")


def processed_twice(view: View) -> Iterator[Anomaly]:
    for origin, copies in _copies(view).items():
        # A producer that retries without idempotence may have written the origin more than once itself.
        if len(copies) > max(view.times_written(origin), 1):
            yield Anomaly("processed-twice", copies[0].key, f"{origin}: {[send.value for send in copies]}")


def unprocessed(view: View) -> Iterator[Anomaly]:
    """The last word on a copier's offset is the one that was told last."""
    copies = _copies(view)
    last: dict[tuple[str, Key], tuple[Op, Committed]] = {}
    for op, step in view.history.steps(Outcome.OK):
        if not isinstance(step, Committed) or step.key not in view.history.copiers.get(step.group, ()):
            continue
        at = (step.group, step.key)
        if at not in last or op.invoked > last[at][0].invoked:
            last[at] = (op, step)
    for _, committed in last.values():
        for offset, value in view.final.get(committed.key, {}).items():
            if offset < committed.offset and value not in copies:
                yield Anomaly("unprocessed", committed.key, f"{value} at {offset}, below {committed.offset}")


def zombie(view: View) -> Iterator[Anomaly]:
    begun: dict[str, list[tuple[float, int]]] = defaultdict(list)
    ended: list[tuple[Op, Incarnation]] = []
    for op, step in view.history.steps(Outcome.OK):
        if isinstance(step, Incarnation) and op.is_transaction:
            ended.append((op, step))
        elif isinstance(step, Incarnation):
            begun[step.transactional_id].append((op.completed, step.number))
    for op, own in ended:
        later = [number for when, number in begun[own.transactional_id] if number > own.number and when < op.decided]
        if later:
            yield Anomaly("zombie", None, f"producer {own.number} of {own.transactional_id}, after {max(later)} began")


def _copies(view: View) -> dict[str, list[Send]]:
    """What the last reading has of each origin."""
    found: dict[str, list[Send]] = defaultdict(list)
    for records in view.final.values():
        for value in records.values():
            send = view.sender[value][1] if value in view.sender else None
            if send is not None and send.origin is not None:
                found[send.origin].append(send)
    return found


TRANSACTION_RULES = (precommitted_read, open_read, torn_transaction, read_cycle, processed_twice, unprocessed, zombie)

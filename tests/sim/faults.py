"""What befalls a cluster: drawn from a seed, done to a world.

    kill, power       a broker ends at once; its disk stays as written, or loses what was not synced
    stop              a clean end, with everything handed over
    pause             SIGSTOP
    cut, cut-one-way  nothing gets from a host to another; `isolate` cuts a broker from everything
    store             no broker reaches the metadata store
    reset             the streams between two hosts break
    slow-link         what goes from a host to another takes longer
    slow-disk         what waits for a disk waits longer
    lost-fsync        a disk says that it has synced, and has not
    clock             a wall clock jumps
    lease             the store loses a broker's lease

What its administrator asks for meanwhile, in some schedules:

    move              other replicas for a partition, two at least
    prefer            the first replicas shall lead again

What befalls producers of transactions, in schedules with such:

    hold              a producer is stopped for a while
    replace           likewise, and another begins with its id: the first comes back to find itself replaced
    orphan            a producer dies; after a while another begins with its id
    move-state        other replicas for a partition of what transactions are written to, or of a coordinator

and members of groups:

    member-hold       a member is stopped for a while
    member-dies       one dies, and after a while another begins
    member-leaves     one leaves, and comes back

Each has an end, but for `reset`, `clock`, `lease` and what administrators ask for. Ends that could not but lose what
was committed are left out (`World.may_end`), and so are moves to none but brokers that have just lost it, unknown to
anybody (`may_move`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from tests.sim.clients import TOPIC
from tests.sim.groups import Member
from tests.sim.store import HOST as STORE
from tests.sim.transactions import TransactionalProducer
from tests.sim.world import World

from tailrace.base.types import TopicPartition
from tailrace.cluster.registration import broker_lease

KINDS = {
    "kill": 5,
    "power": 4,
    "stop": 2,
    "pause": 4,
    "cut": 4,
    "cut-one-way": 4,
    "isolate": 3,
    "store": 1,
    "reset": 3,
    "slow-link": 2,
    "slow-disk": 2,
    "lost-fsync": 2,
    "clock": 1,
    "lease": 2,
}
"""Kind -> how often, in proportion."""


MISFORTUNES = {
    "hold": 2,
    "replace": 3,
    "orphan": 2,
    "move-state": 2,
    "member-hold": 2,
    "member-dies": 2,
    "member-leaves": 1,
}
"""The same, of clients and coordinators of transactions and groups."""
MOVED_PART = 0.4
"""Of the seeds: in so many a partition is moved."""


class Fault(NamedTuple):
    """One of them. `one` and `other` are hosts, or the same twice."""

    at_ms: float
    kind: str
    node_id: int
    other: str
    for_ms: float

    def __str__(self) -> str:
        return f"{self.at_ms / 1000:7.3f} {self.kind} broker {self.node_id} {self.other} for {self.for_ms:.0f} ms"


def plan(seed: int, brokers: int, lasts_ms: float, kinds_of: Mapping[str, int] = KINDS) -> list[Fault]:
    """Some faults within `lasts_ms`, in order of time."""
    random = Random(f"plan {seed}")
    kinds = random.choices(list(kinds_of), list(kinds_of.values()), k=random.randint(2, 9))
    faults = []
    for kind in kinds:
        node_id = random.randint(1, brokers)
        others = [f"b{each}" for each in range(1, brokers + 1) if each != node_id] + [STORE, "p0", "c0"]
        for_ms = random.choice([random.uniform(100, 1500), random.uniform(1500, 6000)])
        faults.append(Fault(random.uniform(500, lasts_ms), kind, node_id, random.choice(others), for_ms))
    return sorted(faults)


def moves(seed: int, brokers: int, lasts_ms: float) -> list[Fault]:
    """What is asked for within `lasts_ms`; nothing, mostly."""
    random = Random(f"moves {seed}")
    if brokers < 3 or random.random() >= MOVED_PART:
        return []
    kinds = random.choices(["move", "prefer"], [3, 1], k=random.randint(1, 4))
    times = (random.uniform(1000, lasts_ms) for _ in kinds)
    return [
        Fault(at_ms, kind, random.randint(1, brokers), str(random.randrange(1000)), 0)
        for at_ms, kind in zip(times, kinds, strict=True)
    ]


def misfortunes(seed: int, brokers: int, lasts_ms: float) -> list[Fault]:
    """What befalls clients and coordinators of transactions within `lasts_ms`."""
    random = Random(f"misfortunes {seed}")
    kinds = random.choices(list(MISFORTUNES), list(MISFORTUNES.values()), k=random.randint(1, 7))
    faults = []
    for kind in kinds:
        if kind != "move-state" or brokers > 2:
            at_ms, for_ms = random.uniform(1000, lasts_ms), random.choice([300, 1500, 6000]) * random.uniform(0.2, 1)
            faults.append(Fault(at_ms, kind, random.randint(1, brokers), str(random.randrange(1000)), for_ms))
    return sorted(faults)


def apply(world: World, fault: Fault) -> None:
    """Do it to the world, if it can be done; its end is put on the timeline."""
    end = _KINDS[fault.kind](world, fault)
    if end is not None:
        world.tell(f"*** {str(fault)[8:]}")
        world.timeline.note(str(fault).encode())
        world.timeline.at(fault.for_ms, end)


End = Callable[[], object] | None
"""What undoes a fault; None where it was not done."""


def _end(world: World, fault: Fault) -> End:
    loses_power = fault.kind == "power"
    broker = world.machines[fault.node_id].broker
    if broker is None or not broker.process.is_alive or not world.may_end(fault.node_id, loses_power=loses_power):
        return None
    world.end(fault.node_id, loses_power=loses_power)
    return lambda: world.start(fault.node_id)


def _stop(world: World, fault: Fault) -> End:
    broker = world.machines[fault.node_id].broker
    if broker is None:
        return None
    broker.process.run(broker.stop)
    return lambda: world.start(fault.node_id)


def _pause(world: World, fault: Fault) -> End:
    broker = world.machines[fault.node_id].broker
    if broker is None:
        return None
    broker.process.pause()
    return broker.process.resume


def _cut(world: World, fault: Fault) -> End:
    pairs = [(f"b{fault.node_id}", fault.other)]
    if fault.kind == "cut":
        pairs.append((fault.other, f"b{fault.node_id}"))
    return _cut_all(world, pairs)


def _isolate(world: World, fault: Fault) -> End:
    host = f"b{fault.node_id}"
    others = [f"b{each}" for each in world.machines if each != fault.node_id] + [STORE]
    return _cut_all(world, [pair for other in others for pair in ((host, other), (other, host))])


def _store(world: World, fault: Fault) -> End:
    return _cut_all(world, [(f"b{each}", STORE) for each in world.machines])


def _cut_all(world: World, pairs: list[tuple[str, str]]) -> End:
    for pair in pairs:
        world.network.cut(*pair)

    def heal() -> None:
        for pair in pairs:
            world.network.heal(*pair)

    return heal


def _reset(world: World, fault: Fault) -> End:
    world.network.reset(f"b{fault.node_id}", fault.other)
    return _nothing


def _slow_link(world: World, fault: Fault) -> End:
    pair = f"b{fault.node_id}", fault.other
    world.network.slow[pair] = 50 + fault.for_ms / 5
    return lambda: world.network.slow.pop(pair, None)


def _slow_disk(world: World, fault: Fault) -> End:
    machine = world.machines[fault.node_id]
    machine.disk_delay_ms = 1000.0
    return lambda: setattr(machine, "disk_delay_ms", 0.0)


def _lost_fsync(world: World, fault: Fault) -> End:
    machine = world.machines[fault.node_id]
    machine.disk.is_lying = True
    return lambda: setattr(machine.disk, "is_lying", False)


def _clock(world: World, fault: Fault) -> End:
    clock = world.machines[fault.node_id].clock
    # from 10 minutes back to 20 minutes ahead; 6 seconds and 12 where transactions have to time out
    clock.wall_offset_ms = (fault.for_ms - 2000) * (3 if world.shape.transactions else 300)
    return _nothing


def _lease(world: World, fault: Fault) -> End:
    world.shared.take_lease(broker_lease(fault.node_id))
    return _nothing


def _move(world: World, fault: Fault) -> End:
    return _move_to(world, TopicPartition(TOPIC, fault.node_id % world.shape.partitions), fault)


def _move_state(world: World, fault: Fault) -> End:
    places = [each for each in world.partitions() if each.topic != TOPIC]
    return _move_to(world, places[int(fault.other) % len(places)], fault) if places else None


def _move_to(world: World, at: TopicPartition, fault: Fault) -> End:
    random = Random(f"move {fault.other}")
    replicas = random.sample(sorted(world.machines), random.randint(2, 3))
    if not world.may_move(at, set(replicas)):
        return None
    world.wished[at] = set(replicas)
    world.admin.move(at, replicas)
    return _nothing


def _prefer(world: World, fault: Fault) -> End:
    world.admin.prefer()
    return _nothing


def _unfortunate(world: World, fault: Fault) -> TransactionalProducer | None:
    """Whom it befalls; None where nobody is left."""
    there = [each for each in world.transactional if not each.is_done and not each.is_replaced]
    return there[int(fault.other) % len(there)] if there else None


def _hold(world: World, fault: Fault) -> End:
    return _held(_unfortunate(world, fault))


def _held(client: TransactionalProducer | Member | None) -> End:
    """Held up until the fault ends; where nobody is left, nothing."""
    if client is None:
        return None
    client.process.pause()
    return client.process.resume


def _replace(world: World, fault: Fault) -> End:
    producer = _unfortunate(world, fault)
    if producer is None:
        return None
    producer.is_replaced = True
    producer.process.pause()
    world.begin_transactional(producer.transactional_id, producer.left + 1)
    return producer.process.resume


def _orphan(world: World, fault: Fault) -> End:
    producer = _unfortunate(world, fault)
    if producer is None:
        return None
    producer.is_replaced = producer.is_done = True
    producer.process.kill()
    return lambda: world.begin_transactional(producer.transactional_id, producer.left + 1)


def _unfortunate_member(world: World, fault: Fault) -> Member | None:
    there = [each for each in world.members if each.process.is_alive]
    return there[int(fault.other) % len(there)] if there else None


def _member_hold(world: World, fault: Fault) -> End:
    return _held(_unfortunate_member(world, fault))


def _member_dies(world: World, fault: Fault) -> End:
    member = _unfortunate_member(world, fault)
    if member is None:
        return None
    member.process.kill()
    return lambda: world.begin_member(member.group_id)


def _member_leaves(world: World, fault: Fault) -> End:
    member = _unfortunate_member(world, fault)
    if member is None:
        return None
    member.is_leaving = True
    return _nothing


def _nothing() -> None:
    pass


_KINDS: dict[str, Callable[[World, Fault], End]] = {
    "kill": _end,
    "power": _end,
    "stop": _stop,
    "pause": _pause,
    "cut": _cut,
    "cut-one-way": _cut,
    "isolate": _isolate,
    "store": _store,
    "reset": _reset,
    "slow-link": _slow_link,
    "slow-disk": _slow_disk,
    "lost-fsync": _lost_fsync,
    "clock": _clock,
    "lease": _lease,
    "move": _move,
    "prefer": _prefer,
    "move-state": _move_state,
    "hold": _hold,
    "replace": _replace,
    "orphan": _orphan,
    "member-hold": _member_hold,
    "member-dies": _member_dies,
    "member-leaves": _member_leaves,
}

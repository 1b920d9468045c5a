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

Each has an end, but for the last four. Ends that could not but lose what was committed are left out (`World.may_end`),
and so are moves to none but brokers that have just lost it, unknown to anybody (`may_move`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from tests.sim.store import HOST as STORE
from tests.sim.world import World

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
    clock.wall_offset_ms = (fault.for_ms - 2000) * 300  # from 10 minutes back to 20 minutes ahead
    return _nothing


def _lease(world: World, fault: Fault) -> End:
    world.shared.take_lease(broker_lease(fault.node_id))
    return _nothing


def _move(world: World, fault: Fault) -> End:
    random, index = Random(f"move {fault.other}"), fault.node_id % world.shape.partitions
    replicas = random.sample(sorted(world.machines), random.randint(2, 3))
    if not world.may_move(index, set(replicas)):
        return None
    world.wished[index] = set(replicas)
    world.admin.move(index, replicas)
    return _nothing


def _prefer(world: World, fault: Fault) -> End:
    world.admin.prefer()
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
}

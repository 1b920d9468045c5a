"""The language of `replication/*.txt`: one command a line, below it the replicas that changed.

brokers 3 min.isr=2           partition t-0 on brokers 1, 2, 3; 1 leads
produce 1 a b                 a batch a word at broker 1, if it believes to lead. acks=1: whoever is in sync
----
produce 1 a b:
    1*  e0  a | b             broker 1 leads in leader epoch 0: a is committed as far as it knows, b is not

ask 2, answer 2, fetch 2      broker 2's fetch reaches the leader; the answer reaches it; both
lose 2                        what is on its way to and from broker 2 is lost (not the metadata)
tell, tell 2                  proposals are decided, and the metadata reaches everybody, or broker 2
shrink 1, wait MS             the leader looks for laggards; time passes (they may lag a second)
crash 2 keep=1 hw=0           it dies with the first so many records, and the high watermark it noted last
start 2                       it runs again (`unfence` is when the controller knows it)
fence 2, unfence 2            its lease is over; it is registered. unclean: what it had in memory may be lost
prefer, delete 1 2            the preferred leader leads; DeleteRecords before offset 2 at broker 1
allow-unclean, settle         unclean.leader.election.enable; everything arrives, everybody fetches
----
crash 2:
    2   e0  a b |  down                    a broker that is down
fence 2:
    =   leader 1 e0 isr 1,3 elr 2          what the controller says
"""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.support.replicas import Node, Replicas

from tailrace.base.errors import KafkaError


class ReplicationTrace:
    """Interprets commands against `Replicas`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._world: Replicas | None = None
        self._shown: dict[int, str] = {}

    @property
    def world(self) -> Replicas:
        assert self._world is not None, "begin with `brokers N`"
        return self._world

    def run(self, line: str) -> list[str]:
        """Do one command; what changed, a line each."""
        word, *rest = shlex.split(line)
        options = dict(part.split("=", 1) for part in rest if "=" in part)
        said: list[str] = (
            getattr(self, f"do_{word.replace('-', '_')}")([p for p in rest if "=" not in p], options) or []
        )
        happened = said + self._changes()
        return [f"{line}:", *(f"    {each}" for each in happened)] if happened else []

    def close(self) -> None:
        """Let go of the files."""
        if self._world is not None:
            self._world.close()

    # -- what is shown ---------------------------------------------------------------------------------------------

    def _changes(self) -> list[str]:
        pictures = {0: self._controller()} | {each: _picture(node) for each, node in self.world.nodes.items()}
        changed = [picture for each, picture in pictures.items() if self._shown.get(each) != picture]
        self._shown = pictures
        return changed

    def _controller(self) -> str:
        partition = self.world.partition
        leader = "none" if partition.leader < 0 else str(partition.leader)
        sets = {"isr": partition.isr, "elr": partition.elr}
        told = "".join(f" {name} {','.join(map(str, ids))}" for name, ids in sets.items() if ids)
        return f"=   leader {leader} e{partition.leader_epoch}{told}"

    # -- commands --------------------------------------------------------------------------------------------------

    def do_brokers(self, words: list[str], options: dict[str, str]) -> None:
        self._world = Replicas(self._directory, int(words[0]), int(options.get("min.isr", "1")))
        self._world.settle()

    def do_produce(self, words: list[str], options: dict[str, str]) -> list[str]:
        node = self._node(words)
        taken = [node.produce(word.encode(), is_acks_all=options.get("acks") != "1") for word in words[1:]]
        refused = [word for word, is_taken in zip(words[1:], taken, strict=True) if not is_taken]
        return [f"refused: {' '.join(refused)}"] if refused else []

    def do_ask(self, words: list[str], options: dict[str, str]) -> None:
        node = self._node(words)
        node.send_fetch()
        self._deliver("fetch", node)

    def do_answer(self, words: list[str], options: dict[str, str]) -> None:
        self._deliver("answer", self._node(words))

    def do_fetch(self, words: list[str], options: dict[str, str]) -> None:
        for word in words:
            self.do_ask([word], options)
            self.do_answer([word], options)

    def do_lose(self, words: list[str], options: dict[str, str]) -> None:
        node_id = int(words[0])
        lost = ("fetch", "answer")
        self.world.drop(lambda each: each.kind in lost and node_id in (each.sender, each.receiver))

    def do_tell(self, words: list[str], options: dict[str, str]) -> None:
        if not words:
            self.world.deliver_all("proposal", "metadata", "decision")
            return
        told = [each for each in self.world.flying if each.receiver == int(words[0]) and each.kind == "metadata"]
        for message in told:
            self.world.deliver(message)

    def do_shrink(self, words: list[str], options: dict[str, str]) -> list[str]:
        partition = self._node(words).partition
        assert partition.followers is not None
        late = partition.followers.drop_laggards(partition.log_end_offset)
        return [f"late: {' '.join(map(str, late))}"] if late else []

    def do_wait(self, words: list[str], options: dict[str, str]) -> None:
        self.world.clock.advance(float(words[0]))

    def do_crash(self, words: list[str], options: dict[str, str]) -> None:
        node = self._node(words)
        log = node.partition.log
        node.crash(int(options.get("keep", log.log_end_offset)), int(options.get("hw", log.high_watermark)))

    def do_start(self, words: list[str], options: dict[str, str]) -> None:
        self._node(words).start()

    def do_fence(self, words: list[str], options: dict[str, str]) -> None:
        self.world.fence(int(words[0]))

    def do_unfence(self, words: list[str], options: dict[str, str]) -> None:
        self.world.unfence(int(words[0]), was_clean="unclean" not in words, was_missed="unmissed" not in words)

    def do_prefer(self, words: list[str], options: dict[str, str]) -> None:
        self.world.prefer()

    def do_allow_unclean(self, words: list[str], options: dict[str, str]) -> None:
        self.world.rules = self.world.rules._replace(is_unclean_allowed=True)

    def do_delete(self, words: list[str], options: dict[str, str]) -> list[str]:
        try:
            self._node(words).partition.delete_records(int(words[1]))
        except KafkaError as error:
            return [f"refused: {error.code.name}"]
        return []

    def do_settle(self, words: list[str], options: dict[str, str]) -> list[str]:
        self.world.settle()
        self.world.check()
        lost = {each: node.follower.lost_count for each, node in self.world.nodes.items() if node.follower is not None}
        return [f"broker {each} cut {count} committed records" for each, count in lost.items() if count]

    def _node(self, words: list[str]) -> Node:
        return self.world.nodes[int(words[0])]

    def _deliver(self, kind: str, node: Node) -> None:
        for message in [each for each in self.world.flying if each.kind == kind]:
            if node.node_id in (message.sender, message.receiver):
                self.world.deliver(message)


def _picture(node: Node) -> str:
    partition = node.partition
    values = {at: (value or b"-").decode() for at, value in node.values().items() if at >= partition.log_start_offset}
    known = [value for at, value in values.items() if at < partition.high_watermark]
    unknown = [value for at, value in values.items() if at >= partition.high_watermark]
    start = f"{partition.log_start_offset}.. " if partition.log_start_offset else ""
    is_leader = node.is_up and partition.is_leader and node.image is not None
    held = " ".join([*known, "|", *unknown])
    picture = f"{node.node_id}{'*' if is_leader else ' '}  e{partition.leader_epoch}  {start}{held}"
    return picture if node.is_up else f"{picture}  down"

"""The Java consumer that says its rack reads from the follower in it (KIP-392)."""

from contextlib import closing

from tests.compat.java_client import JavaDriver

import tailrace
from tailrace.node.settings import RACK_AWARE_SELECTOR

RACKS = ["north", "south"]
SETTINGS = {"broker.rack": RACKS, "replica.selector.class": RACK_AWARE_SELECTOR}


def test_the_java_consumer_reads_from_the_follower_in_its_rack() -> None:
    with tailrace.Cluster(brokers=2, topics=["t"], settings=SETTINGS) as cluster:
        cluster.produce("t", [b"%d" % number for number in range(10)])
        cluster.wait_until_in_sync()
        follower = 3 - cluster.leader("t", 0)
        with closing(JavaDriver(cluster.bootstrap_servers)) as java:
            answer = java.ask("read_in_rack", topic="t", partition=0, rack=RACKS[follower - 1])
            assert answer == [follower, 9]

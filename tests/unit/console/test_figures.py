"""Figures of two readings of metrics, and of two of partitions' ends."""

from __future__ import annotations

from tailrace.console.figures import Reading, added, broker_of, figures_of, figures_of_ends, parse

FIRST = """# HELP kafka_server_brokertopicmetrics_messagesin_total Records.
kafka_server_brokertopicmetrics_messagesin_total 100
kafka_server_brokertopicmetrics_messagesin_total{topic="a"} 60
kafka_server_brokertopicmetrics_messagesin_total{topic="b"} 40
kafka_server_brokertopicmetrics_bytesin_total 1000
kafka_server_brokertopicmetrics_bytesin_total{topic="a"} 600
kafka_network_requestmetrics_totaltimems_bucket{request="Produce",le="1.0"} 10
kafka_network_requestmetrics_totaltimems_bucket{request="Produce",le="2.0"} 10
kafka_network_requestmetrics_totaltimems_bucket{request="Produce",le="+Inf"} 10
kafka_consumergroup_lag_sum{consumergroup="g",topic="a"} 7
tailrace_loop_turn_ms_bucket{le="1.0"} 5
tailrace_loop_turn_ms_bucket{le="2.0"} 5
tailrace_loop_turn_ms_bucket{le="+Inf"} 5
tailrace_broker_info{version="0.1.0",node_id="3"} 1
process_cpu_seconds_total 10
process_resident_memory_bytes 5000
"""
SECOND = """kafka_server_brokertopicmetrics_messagesin_total 300
kafka_server_brokertopicmetrics_messagesin_total{topic="a"} 80
kafka_server_brokertopicmetrics_messagesin_total{topic="b"} 220
kafka_server_brokertopicmetrics_bytesin_total 500
kafka_server_brokertopicmetrics_bytesin_total{topic="a"} 700
kafka_network_requestmetrics_totaltimems_bucket{request="Produce",le="1.0"} 60
kafka_network_requestmetrics_totaltimems_bucket{request="Produce",le="2.0"} 110
kafka_network_requestmetrics_totaltimems_bucket{request="Produce",le="+Inf"} 110
kafka_consumergroup_lag_sum{consumergroup="g",topic="a"} 9
tailrace_loop_turn_ms_bucket{le="1.0"} 8
tailrace_loop_turn_ms_bucket{le="2.0"} 9
tailrace_loop_turn_ms_bucket{le="+Inf"} 9
process_cpu_seconds_total 11
process_resident_memory_bytes 6000
something_else 1
"""


def test_figures_between_two_readings() -> None:
    before = Reading(1000.0, parse(FIRST), {3: True})
    after = Reading(3000.0, parse(SECOND), {3: True, 4: False})
    found = figures_of(before, after, 77)
    assert (found["time_ms"], found["source"], found["records_in_per_s"]) == (77, "metrics", 100.0)
    assert found["bytes_in_per_s"] == 250.0, "a counter that went back counts from 0"
    assert found["topics"] == [
        {"name": "b", "records_in_per_s": 90.0, "bytes_in_per_s": 0.0},
        {"name": "a", "records_in_per_s": 10.0, "bytes_in_per_s": 50.0},
    ]
    assert found["produce_ms"] == {"p50": 1.0, "p99": 1.98}
    assert found["fetch_ms"] is None
    assert (found["lag"], found["memory_bytes"], found["cpu_percent"]) == (9, 6000, 50.0)
    assert found["loop_stall_ms"] == 2.0
    assert found["brokers"] == [{"id": 3, "is_reachable": True}, {"id": 4, "is_reachable": False}]


def test_nothing_happened() -> None:
    reading = Reading(1000.0, parse(FIRST), {3: True})
    found = figures_of(reading, reading._replace(time_ms=2000.0), 0)
    assert (found["records_in_per_s"], found["topics"], found["produce_ms"]) == (0.0, [], None)
    assert found["loop_stall_ms"] == 0.0


def test_metrics_of_brokers_are_added_up() -> None:
    samples = added([parse(FIRST), parse(SECOND)])
    assert Reading(0.0, samples, {}).of("process_cpu_seconds_total") == 21
    assert (broker_of(parse(FIRST)), broker_of(parse(SECOND))) == (3, None)


def test_ends_of_partitions() -> None:
    before = (1000.0, {("a", 0): 10, ("a", 1): 5, ("gone", 0): 3})
    after = (1500.0, {("a", 0): 20, ("a", 1): 6, ("new", 0): 9, ("b", 0): 1})
    found = figures_of_ends(before, after, 5)
    assert (found["records_in_per_s"], found["bytes_in_per_s"]) == (22.0, None)
    assert found["topics"] == [{"name": "a", "records_in_per_s": 22.0, "bytes_in_per_s": None}]

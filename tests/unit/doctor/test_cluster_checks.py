"""Each check of a cluster: silent where all is well, and telling when the one thing it is for is wrong."""

from __future__ import annotations

import pytest

from tailrace.doctor.check_settings import is_one_letter_away
from tailrace.doctor.facts import Advertised, GroupFacts, GroupPosition, OpenTransaction, Volume
from tailrace.doctor.figures import read_figures
from tailrace.doctor.finding import Severity, named, span_text
from tailrace.doctor.reach import Outcome, Reach, is_wildcard
from unit.doctor.facts_support import GB, NOW_MS, figures, partition, settings, told, well

MINUTE_MS = 60_000


def test_nothing_is_found_where_all_is_well() -> None:
    assert told(well()) == {}


def test_a_cluster_without_a_controller() -> None:
    facts = well()
    facts.state.controller = -1
    assert told(facts)["controller-missing"].severity is Severity.PROBLEM


def test_brokers_that_do_not_serve() -> None:
    facts = well()
    facts.state.brokers[0].is_fenced = True
    facts.state.brokers[1].trouble = "does not answer: it did not answer in time"
    facts.state.brokers[2].failed_log_dirs = ["/data/b"]
    found = told(facts)
    assert found["broker-fenced"].subject == "broker 1"
    assert found["broker-silent"].what == "does not answer: it did not answer in time"
    assert "/data/b" in found["log-directory-failed"].what


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.NAME_UNKNOWN, "its name cannot be resolved from here"),
        (Outcome.REFUSED, "the connection is refused"),
        (Outcome.SILENT, "nothing answers"),
        (Outcome.FAILED, "the connection fails"),
    ],
)
def test_an_advertised_address_that_leads_nowhere_says_how_far_it_led(outcome: Outcome, words: str) -> None:
    facts = well()
    facts.advertised[1] = Advertised(2, Reach("kafka-2", 9092, outcome))
    found = told(facts)["advertised-address-unreachable"]
    assert found.subject == "broker 2"
    assert "kafka-2:9092" in found.what and words in found.what


def test_an_advertised_address_of_another_cluster() -> None:
    facts = well()
    facts.advertised[1] = facts.advertised[1]._replace(cluster_id="other")
    assert "other" in told(facts)["advertised-address-elsewhere"].what


def test_a_loopback_address_is_advertised_to_clients_elsewhere() -> None:
    facts = well()
    facts.advertised = [each._replace(reach=Reach("localhost", 9092, Outcome.REACHED)) for each in facts.advertised]
    assert told(facts)["advertised-loopback"].severity is Severity.PROBLEM
    facts.bootstrap = [("127.0.0.1", 9092)]
    assert told(facts)["advertised-loopback"].severity is Severity.WARNING, "a wildcard listener, asked from here"
    for each in facts.brokers.values():
        each.values["listeners"] = "PLAINTEXT://127.0.0.1:9092"
    assert told(facts) == {}, "a broker for this machine alone"
    facts.advertised[0] = facts.advertised[0]._replace(reach=Reach("kafka-1", 9092, Outcome.REACHED))
    assert told(facts)["advertised-mixed"].subject == "brokers 2, 3"


def test_volumes_that_fill() -> None:
    facts = well()
    facts.volumes[0] = Volume(1, "/data", 100 * GB, 9 * GB)
    assert told(facts)["volume-full"].severity is Severity.WARNING
    facts.volumes[0] = Volume(1, "/data", 100 * GB, GB)
    assert told(facts)["volume-full"].severity is Severity.PROBLEM


def test_partitions_in_trouble_are_told_by_their_reason() -> None:
    facts = well()
    for index, (kind, why) in enumerate(
        [("offline", "none may lead"), ("under-min-isr", "1 of 2"), ("under-replicated", "broker 3 is away")]
    ):
        facts.state.partitions[index].problems, facts.state.partitions[index].why = [kind], why
    found = told(facts)
    assert found["partition-offline"].cause == "none may lead"
    assert found["partition-under-min-isr"].severity is Severity.PROBLEM
    assert found["partition-under-replicated"].severity is Severity.WARNING


def test_leaders_that_are_not_where_they_belong() -> None:
    facts = well()
    facts.state.partitions = [partition("orders", index, 2) for index in range(30)]
    found = told(facts)
    assert found["leaders-not-preferred"].what.startswith("30 of 30")
    assert found["leader-skew"].subject == "broker 2"


def test_one_partition_with_nearly_all_records() -> None:
    facts = well()
    facts.ends = {("orders", 0): 60_000, ("orders", 1): 100, ("orders", 2): 100}
    assert "partition 0 has 60,000 of 60,200" in told(facts)["partition-skew"].what


def test_records_from_the_future() -> None:
    facts = well()
    facts.latest_ms["orders", 2] = NOW_MS + 26 * 3_600_000
    found = told(facts)["record-from-the-future"]
    assert found.subject == "partition orders-2" and "26 h ahead" in found.what


def test_min_insync_replicas_against_the_replicas() -> None:
    facts = well()
    facts.topics["orders"].values["min.insync.replicas"] = "4"
    assert told(facts)["min-isr-above-replicas"].severity is Severity.PROBLEM
    facts.topics["orders"].values["min.insync.replicas"] = "3"
    assert told(facts)["min-isr-equals-replicas"].severity is Severity.WARNING
    facts.topics["orders"].values["min.insync.replicas"] = "1"
    assert told(facts)["min-isr-one"].severity is Severity.NOTE


def test_topics_of_one_replica() -> None:
    facts = well()
    facts.state.partitions += [partition("logs", 0, 1, (1,)), partition("__consumer_offsets", 0, 1, (1,))]
    found = told(facts)
    assert found["single-replica"].subject == "topic logs"
    assert found["internal-topic-single-replica"].severity is Severity.PROBLEM
    facts.state.brokers = facts.state.brokers[:1]
    assert "single-replica" not in told(facts), "a broker on its own has no choice"


def test_retention_that_segments_outlive() -> None:
    facts = well()
    facts.topics["orders"] = settings("retention.ms", retention_ms="60000", segment_ms="604800000")
    assert "orders (60 s, rolls after 7 days)" in told(facts)["retention-below-segment"].subject
    facts.topics["orders"] = settings("retention.bytes", retention_bytes="1000", segment_bytes="1073741824")
    assert "retention-bytes-below-segment" in told(facts)
    facts.topics["orders"] = settings(
        "retention.ms", retention_ms="60000", segment_ms="600000", cleanup_policy="compact"
    )
    assert told(facts) == {}, "nothing is deleted by time"


def test_other_traps_of_settings() -> None:
    facts = well()
    facts.topics["orders"].values["unclean.leader.election.enable"] = "true"
    facts.topics["orders"].values["max.message.bytes"] = "200000000"
    facts.brokers[1].values["default.replication.factor"] = "1"
    assert {"unclean-election", "message-above-request", "auto-created-single-replica"} <= set(told(facts))


def test_an_empty_topic_with_nearly_the_name_of_another() -> None:
    facts = well()
    facts.ends["ordres", 0] = facts.log_starts["ordres", 0] = 0
    assert told(facts)["likely-typo"].subject == "topic ordres"
    for each in facts.brokers.values():
        each.values["auto.create.topics.enable"] = "false"
    assert "likely-typo" not in told(facts)


@pytest.mark.parametrize(
    ("name", "other", "is_near"),
    [
        ("ordres", "orders", True),
        ("order", "orders", True),
        ("orderss", "orders", True),
        ("orderx", "orders", True),
        ("orders", "orders", False),
        ("orders-1", "orders-2", False),
        ("orders-1", "orders-12", False),
        ("abc", "abd", False),
        ("payments", "orders", False),
    ],
)
def test_names_one_letter_away(name: str, other: str, is_near: bool) -> None:
    assert is_one_letter_away(name, other) is is_near


def group(state: str, **position: int) -> list[GroupFacts]:
    usual = {"committed_offset": 20_000, "log_start_offset": 0, "end_offset": 20_000, "late_offset": 20_000}
    return [GroupFacts("billing", state, [GroupPosition("orders", 0, **(usual | position))])]


def test_groups_that_do_not_read() -> None:
    facts = well()
    facts.groups = group("Stable")
    assert told(facts) == {}
    facts.groups = group("Stable", committed_offset=19_990, late_offset=19_990)
    assert told(facts) == {}, "ten records behind, and none of them old"
    facts.groups = group("Stable", committed_offset=10_000)
    assert "10,000 wait" in told(facts)["group-lags"].what
    facts.groups = group("Empty", committed_offset=10_000)
    assert "no members" in told(facts)["group-without-members"].cause


def test_groups_whose_place_is_gone() -> None:
    facts = well()
    facts.groups = group("Stable", committed_offset=5, log_start_offset=10, late_offset=0)
    assert "5 records that are deleted" in told(facts)["group-missed-records"].what
    facts.groups = group("Stable", committed_offset=20_001)
    assert "group-beyond-end" in told(facts)


def transaction(quiet_ms: int, **known: object) -> OpenTransaction:
    return OpenTransaction("orders", 1, 77, 500, NOW_MS - quiet_ms, 900)._replace(**known)


def test_transactions_that_nobody_ends() -> None:
    facts = well()
    facts.transactions = [transaction(10 * MINUTE_MS)]
    assert told(facts) == {}, "it may be young"
    facts.transactions = [transaction(20 * MINUTE_MS)]
    found = told(facts)["transaction-hangs"]
    assert "abort orders:1 --start-offset 500" in found.cure and "900 records" in found.what
    known = {"transactional_id": "t", "state": "Ongoing", "timeout_ms": MINUTE_MS}
    facts.transactions = [transaction(90_000, **known)]
    assert told(facts) == {}, "its coordinator may be about to"
    facts.transactions = [transaction(10 * MINUTE_MS, **known)]
    assert "--id t" in told(facts)["transaction-hangs"].cure
    facts.transactions = [transaction(10 * MINUTE_MS, **(known | {"state": "PrepareCommit"}))]
    assert "markers cannot be written" in told(facts)["transaction-hangs"].cause


@pytest.mark.parametrize(
    ("check", "values"),
    [
        ("descriptors-run-out", {"process_open_fds": 900.0, "process_max_fds": 1024.0}),
        ("descriptors-few", {"process_max_fds": 1024.0}),
        ("broker-not-ready", {"tailrace_broker_ready": 0.0}),
        ("clock-skew", {"tailrace_clock_seconds": NOW_MS / 1000 - 30}),
        ("loop-busy", {"tailrace_loop_busy_seconds_total": 3500.0}),
        ("groups-rebalance", {"tailrace_group_rebalances_total": 600.0}),
    ],
)
def test_a_process_at_its_limits(check: str, values: dict[str, float]) -> None:
    facts = well()
    facts.figures = figures(**values)
    assert list(told(facts)) == [check]


def test_refused_records_are_explained() -> None:
    facts = well()
    text = (
        "# HELP x y\n"
        'kafka_network_requestmetrics_errors_total{request="Produce",error="INVALID_RECORD"} 12\n'
        'kafka_network_requestmetrics_errors_total{request="Fetch",error="KAFKA_STORAGE_ERROR"} 3\n'
        'tailrace_broker_info{version="1",cluster_id="c"} 1\n'
    )
    facts.figures = read_figures(text, NOW_MS)
    found = told(facts)
    assert list(found) == ["produce-refused"] and "without a key" in found["produce-refused"].cause
    assert facts.figures.cluster_id == "c"


def test_what_was_not_asked_does_not_seem_well() -> None:
    facts = well()
    facts.untold.append("groups: it did not answer in time")
    assert told(facts)["not-examined"].severity is Severity.NOTE


def test_words() -> None:
    assert named("topic", ["a"]) == "topic a"
    assert named("topic", [str(each) for each in range(7)]) == "topics 0, 1, 2, 3, 4 and 2 more"
    assert [span_text(each) for each in (5_000, 7_200_000, 604_800_000)] == ["5 s", "2 h", "7 days"]
    assert is_wildcard("0.0.0.0") and is_wildcard("[::]") and is_wildcard("") and not is_wildcard("10.0.0.1")

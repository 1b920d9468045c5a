"""The judgement of bench/compare.py, and the figures of bench/peers.py, without a broker."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from bench.rig import copies, goals, native, report
from bench.rig.copies import Copies
from bench.rig.life import figures_of
from bench.rig.loads import Moved, java_failure
from bench.rig.significance import PAIRS_MAX, PAIRS_MIN, judged, p_value
from bench.rig.workloads import ENTRIES


def pairs_with(ratio: float, count: int, seed: int, noise: float = 0.05) -> list[tuple[float, float]]:
    """Runs of a machine whose speed drifts, where the change costs `ratio`."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        drift = 1 + 0.5 * math.sin(number)
        found.append((drift * draw.lognormvariate(0, noise), drift * ratio * draw.lognormvariate(0, noise)))
    return found


def test_pairs_that_are_all_slower_are_as_unlikely_as_can_be() -> None:
    assert p_value([(1.0, 1.1 + number / 100) for number in range(8)]) == 1 / 256
    assert p_value([(1.1 + number / 100, 1.0) for number in range(8)]) == 1.0


def test_equal_pairs_say_nothing() -> None:
    assert p_value([(1.0, 1.0)] * PAIRS_MIN) == 1.0


def test_the_number_of_pairs_is_bounded() -> None:
    for count in (PAIRS_MIN - 1, PAIRS_MAX + 1):
        with pytest.raises(AssertionError):
            p_value([(1.0, 2.0)] * count)


def test_a_slow_change_is_found_through_drift_and_a_fast_one_too() -> None:
    slow, fast, same = (pairs_with(ratio, 10, seed) for ratio, seed in ((1.2, 1), (0.8, 2), (1.0, 3)))
    words = {verdict.name: verdict.word for verdict in judged({"slow": slow, "fast": fast, "same": same}, 0.02)}
    assert words == {"slow": "slower", "fast": "faster", "same": "same"}


def test_false_alarms_are_rare() -> None:
    alarms = sum(judged({"a": pairs_with(1.0, 8, seed, 0.2)}, 0.0)[0].word == "slower" for seed in range(200))
    assert alarms <= 20, "5 % of 200 are 10"


def test_many_figures_need_more_evidence_than_one() -> None:
    pairs = [(1.0, 1.1 + number / 100) for number in range(5)]
    assert judged({"a": pairs}, 0.02)[0].word == "slower"
    four = dict.fromkeys("abcd", pairs)
    assert [verdict.word for verdict in judged(four, 0.02)] == ["same"] * 4
    assert [verdict.p_slower for verdict in judged(four, 0.02)] == [4 / 32] * 4


def test_what_is_within_the_tolerance_is_the_same() -> None:
    assert judged({"a": [(1.0, 1.01)] * 8}, 0.02)[0].word == "same"


def test_figures_of_bytes_of_requests_and_of_rest() -> None:
    by_bytes = figures_of(Moved(records=1000, bytes=10**9, elapsed_s=2.0), cpu_s=0.5, peak_mb=30)
    assert (by_bytes["mb_per_s"], by_bytes["cpu_s_per_gb"], by_bytes["records_per_s"]) == (500, 0.5, 500)
    by_requests = figures_of(Moved(1000, 100_000, 2.0, requests=1000), cpu_s=0.5, peak_mb=30)
    assert (by_requests["requests_per_s"], by_requests["cpu_us_per_request"]) == (500, 500)
    assert "cpu_s_per_gb" not in by_requests
    assert figures_of(Moved(0, 0, 2.0), cpu_s=0.5, peak_mb=30)["cpu_percent"] == 25


def test_a_table_has_medians_and_their_spread_and_leaves_out_what_nobody_has() -> None:
    rounds = {
        "tailrace": [{"mb_per_s": 10.0}, {"mb_per_s": 30.0}, {"mb_per_s": 20.0}],
        "kafka": [],
        "x": [{"mb_per_s": 1.0}],
    }
    assert report.table(rounds) == ["| | MB/s |", "|---|---|", "| tailrace | 20 (10 to 30) |", "| x | 1 |"]
    assert report.summary({"produce": rounds}) == {"produce": {"tailrace": {"mb_per_s": 20.0}, "x": {"mb_per_s": 1.0}}}


def test_a_picture_has_a_bar_for_each_broker_and_the_longest_for_the_most() -> None:
    drawn = report.pictures({"produce": {"tailrace": [{"cpu_s_per_gb": 1.0}], "a<b": [{"cpu_s_per_gb": 4.0}]}})
    assert set(drawn) == {"produce-cpu"}
    assert "a&lt;b" in drawn["produce-cpu"]
    assert (
        f'width="{report.BAR_PX}.0"' in drawn["produce-cpu"] and f'width="{report.BAR_PX / 4}"' in drawn["produce-cpu"]
    )


def test_goals_are_ratios_of_what_was_measured_and_say_by_how_much_they_are_missed() -> None:
    runs = {
        "produce": {
            "tailrace": [{"cpu_s_per_gb": 1.2, "mb_per_s": 300}],
            "floor": [{"cpu_s_per_gb": 1.0}],
            "kafka": [{"mb_per_s": 250}],
        },
        "requests-50": {
            "tailrace": [{"cpu_us_per_request": 20.0, "requests_per_s": number} for number in (8.0, 9.0, 11.0)],
            "kafka": [{"requests_per_s": 10.0}],
        },
        "requests-1000": {"tailrace": [{"cpu_us_per_request": 30.0}]},
    }
    found = {
        goal.words: each.words
        for goals_of in goals.GOALS.values()
        for goal in goals_of
        if (each := goals.reached(goal, runs)) is not None
    }
    assert found == {
        "produce: CPU s/GB, tailrace over floor": "met",
        "produce: MB/s, tailrace over kafka": "**missed by 20%**",
        "requests-50: requests/s, tailrace over kafka": "**missed by 10%**, within the spread of the rounds",
        "requests-1000: CPU us/request, tailrace over its own under requests-50": "**missed by 25%**",
    }


def test_a_goal_that_was_not_measured_is_shown_with_its_reason_and_one_that_was_not_asked_is_named() -> None:
    runs = {"produce": {"tailrace": [{"cpu_s_per_gb": 1.2}], "floor": [{"cpu_s_per_gb": 1.0}]}, "fsync": {}}
    text = goals.lines(runs, {"fsync": {"kafka": "the broker died"}})
    assert text[0] == "Ratios of the medians below. 1 of the 1 that could be measured are met."
    assert "| produce: CPU s/GB, tailrace over floor | at most 1.5 | 1.2 | met |" in text
    assert "| fsync: MB/s, tailrace over kafka | at least 1 | | not measured: kafka, the broker died |" in text, (
        "the reason of the broker that failed"
    )
    assert text[-1].startswith("Not part of this run: acks-0, ")
    assert goals.lines({}, {}) == []


def test_every_goal_is_about_a_workload_that_there_is() -> None:
    named = {goal.workload for goals_of in goals.GOALS.values() for goal in goals_of} - {"start"}
    assert named <= set(ENTRIES)
    assert set(ENTRIES) - named <= {"copies-fetch"}, "each workload has a goal; the bytes of a fetch are told, no more"


def test_bytes_that_calls_moved_are_added_up_also_of_calls_that_another_came_between() -> None:
    found = Copies()
    copies.count(
        [
            '12 recvfrom(8, ""..., 262144, 0, NULL, NULL) = 1000',
            '12 write(9, ""..., 1000 <unfinished ...>',
            "13 sendfile(7, 9, [0] => [500], 500) = 500",
            "12 <... write resumed>) = 1000",
            "12 recvfrom(8, 0x7f, 262144, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)",
            "12 +++ exited with 0 +++",
        ],
        found,
    )
    assert (found.copied, found.in_place) == (2000, 500)


def test_the_reason_of_a_java_program_is_the_exception_it_ended_with_and_not_where_it_was() -> None:
    trace = "\tat org.apache.kafka.clients.Selector.poll(Selector.java:1)\n"
    written = f'[WARN] again\nException in thread "main" java.lang.OutOfMemoryError: Java heap space\n{trace}{trace}'
    assert java_failure(written) == "java.lang.OutOfMemoryError: Java heap space"
    caused = f"org.apache.kafka.common.KafkaException: no\n{trace}Caused by: java.io.IOException: why\n{trace}"
    assert java_failure(caused) == "java.io.IOException: why"
    assert java_failure("killed\n") == "killed"


def test_samples_of_perf_are_counted_by_library_by_system_call_and_by_why_the_kernel_ran() -> None:
    lines = """tailrace
\t    7f01 _PyEval_EvalFrameDefault (/usr/lib/libpython3.11.so.1.0)
\t    7f02 main (/usr/bin/python3.11)

tailrace
\t    7f02 crc (/usr/lib/python3.11/site-packages/crc32c/_crc32c.cpython-311-x86_64-linux-gnu.so)

tailrace
\tffffffff8101 tcp_sendmsg_locked ([kernel.kallsyms])
\tffffffff8102 entry_SYSCALL_64_after_hwframe ([kernel.kallsyms])
\t    7f03 __send (/usr/lib/libc.so.6)

tailrace
\tffffffff8103 clear_page ([kernel.kallsyms])
\tffffffff8104 asm_exc_page_fault ([kernel.kallsyms])

tailrace
\tffffffff8105 finish_task_switch ([kernel.kallsyms])
""".splitlines()
    found: Counter[str] = Counter()
    native.count(lines, found)
    assert found == {"the interpreter": 1, "the checksum": 1, "system call send": 1, "page faults": 1, "interrupts": 1}

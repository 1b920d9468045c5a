"""The file of bench/peers.py: it has what was measured so far, and files of several runs make one page."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.rig import report, result
from bench.rig.life import Found
from bench.rig.result import Part, Result

MACHINE = {
    "processor": "P", "cpus": 2, "memory_gb": 8.0, "kernel": "6", "python": "3.11", "librdkafka": "2", "broker_core": 0,
    "load_core": 1, "load_before": 0.1, "load_after": 0.1, "shared": False,
}  # fmt: skip


def run_of(workloads: list[str], commit: str = "commit a", path: Path | None = None) -> Result:
    versions = {"tailrace": commit, "kafka": "4.3.1"}
    return Result(Part("measure " + ",".join(workloads), workloads, 3, 1.0, versions, dict(MACHINE)), {}, path)


def test_the_file_has_each_life_as_soon_as_it_has_ended(tmp_path) -> None:
    run = run_of(["produce", "fetch"], path=tmp_path / "a.json")
    run.add("kafka", Found({"rest_mb": 400.0}, {"produce": {"mb_per_s": 100.0}}, {"fetch": "it died"}), with_start=True)
    found = result.read(tmp_path / "a.json")
    assert found["runs"] == {
        "start": {"kafka": [{"rest_mb": 400.0}]},
        "produce": {"kafka": [{"mb_per_s": 100.0}]},
        "fetch": {},
    }
    assert found["failures"] == {"fetch": {"kafka": "it died"}}
    run.add("tailrace", Found({}, {"produce": {"mb_per_s": 200.0}}, {}), with_start=True)
    found = result.read(tmp_path / "a.json")
    assert list(found["medians"]["produce"]) == ["tailrace", "kafka"], "in the order of the brokers, not of their turns"
    page = report.page(found)
    assert "Interrupted when 0 of 3 rounds were whole." in page and "kafka: it died." in page
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_life_with_settings_of_its_own_is_no_start_of_the_table() -> None:
    run = run_of(["fsync"])
    run.add("kafka", Found({"rest_mb": 400.0}, {"fsync": {"mb_per_s": 1.0}}, {}), with_start=False)
    assert list(run.as_json()["runs"]) == ["fsync"]


def test_of_a_workload_that_two_runs_measured_the_later_is_taken_whole() -> None:
    first, second = run_of(["produce", "fetch", "group"]), run_of(["idle", "fetch"], commit="commit b")
    first.add("tailrace", Found({}, {"produce": {"mb_per_s": 1.0}, "fetch": {"mb_per_s": 2.0}}, {}), with_start=True)
    first.add("kafka", Found({}, {"fetch": {"mb_per_s": 3.0}}, {"group": "why not"}), with_start=True)
    second.add("tailrace", Found({}, {"fetch": {"mb_per_s": 5.0}, "idle": {"cpu_percent": 0.0}}, {}), with_start=True)
    found = result.merged([first.as_json(), second.as_json()])
    assert found["runs"] == {
        "produce": {"tailrace": [{"mb_per_s": 1.0}]},
        "fetch": {"tailrace": [{"mb_per_s": 5.0}]},
        "group": {},
        "idle": {"tailrace": [{"cpu_percent": 0.0}]},
    }
    assert list(found["runs"]) == ["produce", "fetch", "group", "idle"], "in the order of the workloads"
    assert found["failures"] == {"group": {"kafka": "why not"}}
    assert found["medians"]["fetch"] == {"tailrace": {"mb_per_s": 5.0}}
    assert found["brokers"]["tailrace"]["version"] == "commit a, commit b"
    page = report.page(found)
    assert "`measure produce,fetch,group`\n\nTailrace commit a; produce, fetch, group." in page
    assert "`measure idle,fetch`\n\nTailrace commit b; idle, fetch." in page


def test_a_failure_that_the_later_run_did_not_have_is_gone_and_one_beside_rounds_says_so() -> None:
    first, second = run_of(["fetch"]), run_of(["fetch"])
    first.add("kafka", Found({}, {}, {"fetch": "it died"}), with_start=True)
    second.add("kafka", Found({}, {"fetch": {"mb_per_s": 3.0}}, {}), with_start=True)
    assert result.merged([first.as_json(), second.as_json()])["failures"] == {}
    second.add("kafka", Found({}, {}, {"fetch": "it hung"}), with_start=True)
    assert "kafka, in another round than the 1 above: it hung." in report.page(second.as_json())


@pytest.mark.parametrize("text", ["{}", "[1]", "not JSON"])
def test_what_is_no_result_is_refused_by_name(tmp_path, text) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json is not a result"):
        result.read(tmp_path / "x.json")

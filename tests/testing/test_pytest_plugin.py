"""The fixtures, as a project that uses them sees them: in a pytest run of its own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = bool(entry_points(group="pytest11", name="tailrace"))
PLUGIN = () if INSTALLED else ("-p", "tailrace.testing.plugin")


@pytest.fixture(autouse=True)
def source_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs below import this checkout, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))


def run(pytester: pytest.Pytester, code: str, *words: str) -> pytest.RunResult:
    pytester.makepyfile(code)
    return pytester.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", "--strict-markers", *words)


def test_every_test_gets_a_broker_of_its_own(pytester) -> None:
    result = run(
        pytester,
        """
        seen = set()

        def test_one(tailrace_broker):
            tailrace_broker.produce("t", ["a"])
            assert [r.value for r in tailrace_broker.records("t")] == [b"a"]
            seen.add(tailrace_broker.data_dir)

        def test_two(tailrace_broker):
            tailrace_broker.produce("t", ["b"])
            assert [r.value for r in tailrace_broker.records("t")] == [b"b"]
            seen.add(tailrace_broker.data_dir)

        def test_after():
            assert len(seen) == 2
            assert not any(directory.exists() for directory in seen)
        """,
    )
    result.assert_outcomes(passed=3)


def test_the_marker_gives_the_brokers_arguments(pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        @pytest.mark.tailrace(topics={"orders": 3}, settings={"log.retention.ms": 1000})
        def test_topics(tailrace_broker):
            assert set(tailrace_broker.produce("orders", ["a", "b", "c"])) == {0, 1, 2}
        """,
    )
    result.assert_outcomes(passed=1)


def test_the_session_shares_one_broker(pytester) -> None:
    result = run(
        pytester,
        """
        def test_one(tailrace_broker_session):
            tailrace_broker_session.produce("t", ["a"])

        def test_two(tailrace_broker_session):
            assert [r.value for r in tailrace_broker_session.records("t")] == [b"a"]
        """,
    )
    result.assert_outcomes(passed=2)


def test_the_factory_makes_as_many_as_are_wanted_and_stops_them(pytester) -> None:
    result = run(
        pytester,
        """
        made = []

        def test_two_brokers(tailrace_broker_factory):
            made.extend([tailrace_broker_factory(), tailrace_broker_factory(topics=["t"])])
            assert made[0].port != made[1].port

        def test_after():
            assert not any(broker.running for broker in made)
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_cluster_of_this_tests_own_with_the_markers_arguments(pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        made = []

        @pytest.mark.tailrace_cluster(brokers=2, topics={"orders": 2})
        def test_cluster(tailrace_cluster):
            made.append(tailrace_cluster)
            assert len(tailrace_cluster.bootstrap_servers.split(",")) == 2
            tailrace_cluster.kill(tailrace_cluster.leader("orders", 1))
            assert set(tailrace_cluster.produce("orders", ["a", "b"])) == {0, 1}

        def test_after():
            with pytest.raises(RuntimeError, match="does not run"):
                made[0].describe()
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_failing_test_still_stops_its_broker(pytester) -> None:
    result = run(
        pytester,
        """
        seen = []

        def test_fails(tailrace_broker):
            seen.append(tailrace_broker)
            assert False

        def test_after():
            assert not seen[0].running
        """,
    )
    result.assert_outcomes(passed=1, failed=1)


def test_fixtures_and_marker_are_listed(pytester) -> None:
    result = run(pytester, "", "--fixtures", "-v")
    result.stdout.fnmatch_lines(["*tailrace_broker*", "*A broker of this test's own*"])
    run(pytester, "", "--markers").stdout.fnmatch_lines(["*@pytest.mark.tailrace(*"])


def test_a_run_that_uses_no_broker_imports_none() -> None:
    """Every project with tailrace installed loads the plugin: it must cost nothing."""
    program = (
        "import pytest, sys; before = set(sys.modules); import tailrace.testing.plugin\n"
        "new = {name for name in set(sys.modules) - before if not name.startswith('tailrace')}\n"
        "ours = {name for name in sys.modules if name.startswith('tailrace')}\n"
        "assert ours == {'tailrace', 'tailrace.testing', 'tailrace.testing.plugin'}, ours\n"
        "assert not new, new\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr


def test_the_entry_point_names_this_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"tailrace": "tailrace.testing.plugin"}

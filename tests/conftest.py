"""What every suite has: drawn examples that are the same in every run, and failures that are told when they happen.

TAILRACE_EXPLORE=1 draws other examples each time. A run that is cut short has told what failed until then.
"""

import os

import hypothesis
import pytest

# How fast examples come says how busy the machine is, nothing of what is tested.
_UNTIMED = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("repeatable", derandomize=True, **_UNTIMED)
hypothesis.settings.register_profile("explore", **_UNTIMED)
hypothesis.settings.load_profile("explore" if os.environ.get("TAILRACE_EXPLORE") else "repeatable")


class _FailuresAtOnce:
    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"FAILED in {report.when}: {report.nodeid}")


def pytest_sessionstart(session: pytest.Session) -> None:
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        session.config.pluginmanager.register(_FailuresAtOnce(terminal))

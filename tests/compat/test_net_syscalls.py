"""A3: the system calls of an echoed message stay within a budget. Needs Debian's strace; fails without it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import echo_syscalls


@pytest.mark.compat
@pytest.mark.parametrize("kind", ["ours", "ours_stream"])
def test_one_receive_and_one_send_a_message(kind: str) -> None:
    calls = echo_syscalls.count(kind)
    assert echo_syscalls.judge(calls) == [], calls


@pytest.mark.compat
def test_the_judge_finds_what_it_should() -> None:
    wasteful = echo_syscalls.parse(
        """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 40.00    0.418000          10     40000     20000 recvfrom
 40.00    0.400000          20     20000           sendto
 20.00    0.200000         100      2000        29 futex
------ ----------- ----------- --------- --------- ----------------
100.00    1.018000          16     62000     20029 total
"""
    )
    assert [finding.split()[0] for finding in echo_syscalls.judge(wasteful)] == ["40000", "20000", "futex"]

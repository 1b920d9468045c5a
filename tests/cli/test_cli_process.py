"""The commands as processes: signals, pipes, terminals, an absent broker."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time

import pytest

from .conftest import Tailrace, command_line, environment


@pytest.mark.parametrize("words", [("topics", "list"), ("groups", "list"), ("consume", "t"), ("produce", "t")])
def test_nobody_there_is_exit_code_3_at_once(tailrace: Tailrace, words) -> None:
    def seconds() -> float:
        began = time.monotonic()
        ended = tailrace(*words, stdin=b"x\n", bootstrap="127.0.0.1:1")
        assert ended.code == 3
        assert "the connection was refused; start one with `tailrace serve`" in ended.err
        return time.monotonic() - began

    assert any(seconds() < 5 for _ in range(5))


def test_a_name_that_does_not_resolve(tailrace: Tailrace) -> None:
    ended = tailrace("topics", "list", "-b", "no-such-host.invalid:9092")
    assert ended.code == 3 and "no-such-host.invalid:9092: the name does not resolve" in ended.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_reader_with_its_code(broker, tailrace, topic, number, code) -> None:
    assert tailrace("produce", topic, stdin=b"first\n").code == 0
    words = command_line("consume", topic, "--from-beginning")
    with subprocess.Popen(
        words,
        env=environment(broker.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background job ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread here yet
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        assert run.stdout.readline() == b"first\n"  # at once, though stdout is a pipe
        run.send_signal(number)
        assert run.wait(20) == code
        assert b"Traceback" not in run.stderr.read()


def test_a_reader_that_goes_away_ends_a_long_output_quietly(broker, tailrace, topic) -> None:
    assert tailrace("produce", topic, stdin=b"x" * 1000 + b"\n" + b"y\n" * 200_000).code == 0
    words = command_line("consume", topic, "--from-beginning")
    with subprocess.Popen(
        words, env=environment(broker.address), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.wait(30) == 141
        assert run.stderr.read() == b""


def test_on_a_terminal_tables_are_drawn_and_a_delete_asks(broker, tailrace, topic) -> None:
    shown = on_terminal(broker.address, b"", "topics", "describe", topic)
    assert "\x1b[1m" in shown and "PARTITION" in shown
    refused = on_terminal(broker.address, b"n\n", "topics", "delete", topic)
    assert f"Delete {topic} and all records? [y/N]" in refused
    assert tailrace("topics", "describe", topic).code == 0
    on_terminal(broker.address, b"y\n", "topics", "delete", topic)
    assert tailrace("topics", "describe", topic).code == 1


def test_on_a_terminal_a_long_transfer_draws_a_bar(broker, topic, tmp_path) -> None:
    (tmp_path / "lines").write_bytes(b"0123456789\n" * 100_000)
    shown = on_terminal(broker.address, b"", "produce", topic, "-f", str(tmp_path / "lines"))
    assert "records/s" in shown and "%" in shown
    assert f"sent to {topic}: 100,000 records" in shown


def on_terminal(bootstrap: str, typed: bytes, *words: str) -> str:
    """What a command shows on a terminal on which `typed` is typed."""
    ours, theirs = pty.openpty()
    variables = {**environment(bootstrap), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    variables.pop("NO_COLOR", None)
    with subprocess.Popen(command_line(*words), env=variables, stdin=theirs, stdout=theirs, stderr=theirs) as run:
        os.close(theirs)
        os.write(ours, typed)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # EIO: the other side has closed
                break
            if not chunk:
                break
            shown += chunk
        run.wait(30)
    os.close(ours)
    return shown.decode(errors="replace")

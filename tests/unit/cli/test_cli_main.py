"""The entry point: what each end of a command becomes, and what start-up may import."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest

from tailrace.cli import main as main_module
from tailrace.cli.failure import CommandFailed, ExitCode, Terminated


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Put a command `try` in the table that does what the test gives it."""
    module = types.ModuleType("tailrace_cli_try")
    monkeypatch.setitem(sys.modules, "tailrace_cli_try", module)
    monkeypatch.setitem(main_module.COMMANDS, "try", main_module.CommandEntry("tailrace_cli_try:command", "Try."))

    def install(run):
        module.command = click.command("try")(run)

    return install


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (CommandFailed("no such thing."), ExitCode.REFUSED, "tailrace: no such thing.\n"),
        (CommandFailed("nobody there.", ExitCode.UNREACHABLE), ExitCode.UNREACHABLE, "tailrace: nobody there.\n"),
        (click.UsageError("too many words"), ExitCode.USAGE, "tailrace: too many words. Try `tailrace try --help`.\n"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, ""),
        (Terminated(), ExitCode.TERMINATED, ""),
        (click.Abort(), ExitCode.INTERRUPTED, ""),
    ],
)
def test_every_end_has_its_code_and_one_sentence(command, capfd, monkeypatch, failure, code, said) -> None:
    monkeypatch.setattr(main_module, "_drop_output", lambda: None)

    def run() -> None:
        raise failure

    command(run)
    assert main_module.main(["try"]) == code
    assert capfd.readouterr().err == said


def test_a_reader_that_went_away_is_not_an_error_message(command, capfd, monkeypatch) -> None:
    dropped = []
    monkeypatch.setattr(main_module, "_drop_output", lambda: dropped.append(True))

    def run() -> None:
        raise BrokenPipeError

    command(run)
    assert main_module.main(["try"]) == ExitCode.BROKEN_PIPE
    assert dropped == [True]
    assert capfd.readouterr().err == ""


def test_a_bug_is_named_as_one_and_shows_no_stack(command, capfd) -> None:
    def run() -> None:
        raise ZeroDivisionError("division by zero")

    command(run)
    assert main_module.main(["try"]) == ExitCode.BUG
    said = capfd.readouterr().err
    assert "a bug in tailrace (ZeroDivisionError: division by zero)" in said
    assert "Traceback" not in said


def test_a_bug_shows_its_stack_when_asked(command, monkeypatch) -> None:
    monkeypatch.setenv("TAILRACE_TRACEBACK", "1")

    def run() -> None:
        raise ZeroDivisionError

    command(run)
    with pytest.raises(ZeroDivisionError):
        main_module.main(["try"])


def test_what_a_command_returns_is_the_exit_code(command) -> None:
    command(lambda: 1)
    assert main_module.main(["try"]) == 1
    command(lambda: None)
    assert main_module.main(["try"]) == 0


def test_an_unknown_command_is_a_usage_error_that_points_to_help(capfd) -> None:
    assert main_module.main(["produse"]) == ExitCode.USAGE
    said = capfd.readouterr().err
    assert "produse" in said and "--help" in said and said.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["topics"], ["groups"]])
def test_no_command_at_all_shows_the_help(words, capfd) -> None:
    assert main_module.main(words) == ExitCode.USAGE
    said = capfd.readouterr().err
    assert said.startswith("Usage: tailrace") and "Commands:" in said and "Try" not in said


def test_every_command_in_the_table_exists_and_has_help(capfd) -> None:
    for name in set(main_module.COMMANDS) - {"serve"}:  # serve needs the node, and is run by tests/cli
        assert main_module.main([name, "--help"]) == 0, name
    assert "Usage: tailrace topics" in capfd.readouterr().out


def test_help_and_completion_import_no_client_and_no_drawing() -> None:
    """`serve` shares this path; its start-up budget has no room for librdkafka or rich."""
    program = (
        "import sys; from tailrace.cli.main import main; main(['--help']); main(['completion', 'bash'])\n"
        "heavy = {'confluent_kafka', 'rich', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")},
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_us_back(shell, capfd) -> None:
    assert main_module.main(["completion", shell]) == 0
    assert f"_TAILRACE_COMPLETE={shell}_complete" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tailrace top", "plain,topics\nplain,top\n"),
        ("tailrace topics cre", "plain,create\n"),
        ("tailrace groups d", None),
    ],
)
def test_the_shell_gets_our_words(typed, offered) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_TAILRACE_COMPLETE": "bash_complete"}
    source = {"PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")}
    ended = subprocess.run(
        [sys.executable, "-m", "tailrace"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, **words, **source},
    )
    assert ended.stdout == (offered or "plain,delete\nplain,describe\n")


def test_the_bash_script_is_bash(capfd) -> None:
    main_module.main(["completion", "bash"])
    script = capfd.readouterr().out
    ended = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")

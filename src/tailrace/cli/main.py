"""Entry point: find the command, import its module only then, run it, turn every failure into a sentence and a code.

`tailrace serve` must be ready in 350 ms, so this module imports click and nothing else that is large; the table below
holds each command's one-line help so that `tailrace --help` imports no command either.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Final, NamedTuple

import click

import tailrace
from tailrace.base.compiled import is_compiled
from tailrace.cli.failure import CommandFailed, ExitCode, Terminated

VERSION: Final = f"{tailrace.__version__} (hot path compiled)" if is_compiled() else tailrace.__version__


class CommandEntry(NamedTuple):
    """Where a command lives (`module:attribute`) and its line in `tailrace --help`."""

    target: str
    summary: str


COMMANDS: Final = {
    "serve": CommandEntry("tailrace.cli.serve:serve", "Run a broker."),
    "cluster": CommandEntry("tailrace.cli.cluster_commands:cluster", "Start a local cluster; describe any cluster."),
    "demo": CommandEntry("tailrace.cli.demo.command:demo", "Start a broker and watch a live event feed go through it."),
    "topics": CommandEntry("tailrace.cli.topics:topics", "List, create, describe, alter and delete topics."),
    "produce": CommandEntry("tailrace.cli.produce:produce", "Send records to a topic from stdin or files."),
    "consume": CommandEntry("tailrace.cli.consume:consume", "Print the records of a topic."),
    "groups": CommandEntry("tailrace.cli.groups:groups", "List, describe, reset and delete consumer groups."),
    "transactions": CommandEntry(
        "tailrace.cli.transactions:transactions", "List, describe and end transactions, find those that hang."
    ),
    "bench": CommandEntry("tailrace.cli.bench.command:bench", "Measure what a cluster takes, gives and answers."),
    "dump": CommandEntry("tailrace.cli.dump:dump", "Show what is inside a log file."),
    "console": CommandEntry("tailrace.cli.console:console", "Serve the web console of any Kafka cluster."),
    "top": CommandEntry("tailrace.cli.top:top", "Show what a broker does at this moment."),
    "doctor": CommandEntry("tailrace.cli.doctor:doctor", "Say what is wrong with a cluster, why, and what helps."),
    "heapdiff": CommandEntry("tailrace.cli.heapdiff:heapdiff", "Show what grew between two heap profiles."),
    "from-kafka": CommandEntry("tailrace.cli.kafka_directory:from_kafka", "Take over a directory of Apache Kafka."),
    "to-kafka": CommandEntry("tailrace.cli.kafka_directory:to_kafka", "Hand a directory over to Apache Kafka."),
    "completion": CommandEntry("tailrace.cli.completion:completion", "Print a completion script for your shell."),
}


QUIET_ENDS: Final = frozenset({ExitCode.INTERRUPTED, ExitCode.BROKEN_PIPE})
"""Ends that the user caused: the exit code says enough."""


class LazyCommands(click.Group):
    """The command group. A command's module is imported when the command is run or its help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module_name, attribute = entry.target.split(":")
        command = getattr(importlib.import_module(module_name), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # whatever the command returns
        """Run the command. Ctrl-C and a closed pipe get names of ours, before click gives them its own exit codes."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt as interrupt:
            raise CommandFailed("interrupted", ExitCode.INTERRUPTED) from interrupt
        except BrokenPipeError as closed:
            raise CommandFailed("output closed", ExitCode.BROKEN_PIPE) from closed

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="tailrace", message="%(prog)s %(version)s")
def tailrace_command() -> None:
    """A Kafka-compatible broker, and tools that work against any Kafka cluster."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code (see `failure`).

    Args:
        arguments: the words after the program's name; those of this process when None.
    """
    try:
        result = tailrace_command.main(arguments, prog_name="tailrace", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    except click.UsageError as error:
        return _show_usage_error(error)
    except click.ClickException as error:
        return _fail(error.format_message(), ExitCode.REFUSED)
    except CommandFailed as failure:
        if failure.exit_code in QUIET_ENDS:
            _drop_output()
            return failure.exit_code
        return _fail(str(failure), failure.exit_code)
    except click.Abort:  # the answer to a question was no
        return ExitCode.INTERRUPTED
    except Terminated:
        return ExitCode.TERMINATED
    except Exception as error:
        return _report_bug(error)
    return result if isinstance(result, int) else ExitCode.DONE


def _fail(message: str, exit_code: ExitCode) -> ExitCode:
    click.echo(f"tailrace: {message}", err=True)
    return exit_code


def _show_usage_error(error: click.UsageError) -> ExitCode:
    hint = f" Try `{error.ctx.command_path} --help`." if error.ctx is not None else ""
    return _fail(f"{error.format_message().rstrip('.')}.{hint}", ExitCode.USAGE)


def _report_bug(error: Exception) -> ExitCode:
    """A failure nobody foresaw. TAILRACE_TRACEBACK=1 shows where it came from."""
    if os.environ.get("TAILRACE_TRACEBACK"):
        raise error
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return _fail(
        f"this is a bug in tailrace ({what}); set TAILRACE_TRACEBACK=1 to see where, and please report it.",
        ExitCode.BUG,
    )


def _drop_output() -> None:
    """Keep the interpreter from failing when it flushes what is left for a reader that has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

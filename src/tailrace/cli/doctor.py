"""`tailrace doctor`: examine a cluster or a data directory, and print what is wrong, why, and what helps.

Exit code 0: nothing that must be mended; 1: a warning or a problem (`--fail-on problem`: problems only); 3: nobody
can be asked. Notes never count. Not its business: what is looked at, and what is wrong (`tailrace.doctor`).
"""

from __future__ import annotations

import asyncio
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import click

from tailrace.base.clock import SystemClock
from tailrace.cli.cluster import DEFAULT_BOOTSTRAP_SERVERS, DEFAULT_TIMEOUT_S
from tailrace.cli.failure import CommandFailed, ExitCode
from tailrace.cli.output import note, plural, print_json
from tailrace.cli.raw_requests import addresses
from tailrace.doctor.examine import Examination, Examined, examine_cluster
from tailrace.doctor.figures import Figures, read_figures
from tailrace.doctor.finding import Finding, Severity
from tailrace.net.loopback import is_loopback

HTTP_PORT: Final = 9080
"""The port of `http.listen` where nobody set it."""

_COLOURS: Final = {Severity.PROBLEM: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


@click.command
@click.argument("address", required=False, metavar="[HOST:PORT[,...]]", envvar="TAILRACE_BOOTSTRAP")
@click.option("--data", "directories", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Examine a log directory instead, with or without a broker on it; may be repeated.")  # fmt: skip
@click.option("--http", "http_address", metavar="HOST:PORT",
              help="A Tailrace broker's http.listen, for its own figures.  [default: port 9080, where ADDRESS is "
                   "this machine]")  # fmt: skip
@click.option("--request-timeout", "timeout_s", default=DEFAULT_TIMEOUT_S, show_default=True, metavar="SECONDS",
              type=click.FloatRange(min=0, min_open=True), help="How long to wait for each answer.")  # fmt: skip
@click.option("--fail-on", type=click.Choice(["warning", "problem"]), default="warning", show_default=True,
              help="The least that makes the exit code 1.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def doctor(
    address: str | None,
    directories: tuple[Path, ...],
    http_address: str | None,
    timeout_s: float,
    fail_on: str,
    as_json: bool,
) -> ExitCode:
    """Examine a cluster, or log directories; say what is wrong, why, and what helps.

    The address is any Kafka cluster's, 127.0.0.1:9092 unless given. Nothing is changed.
    """
    if directories:
        return _examine_directories(directories, fail_on, as_json)
    bootstrap = address or DEFAULT_BOOTSTRAP_SERVERS
    examination = Examination(addresses(bootstrap), timeout_s, SystemClock(), _figures(bootstrap, http_address))
    examined = asyncio.run(examine_cluster(examination))
    if as_json:
        cluster_id = None if examined.facts is None else examined.facts.state.cluster_id
        print_json(_document(bootstrap, cluster_id, examined.findings))
    else:
        print_findings(examined.findings)
        click.echo(_summary(bootstrap, examined))
    if examined.facts is None:
        return ExitCode.UNREACHABLE
    return exit_code(examined.findings, fail_on)


def _examine_directories(directories: tuple[Path, ...], fail_on: str, as_json: bool) -> ExitCode:
    from tailrace.doctor.directory import examine_directories  # start-up time: an address needs none of it

    examined = examine_directories(directories)
    named = ",".join(map(str, directories))
    if as_json:
        print_json(_document(named, None, examined.findings))
    else:
        print_findings(examined.findings)
        logs = plural(sum(len(each.partitions) for each in examined.facts), "log")
        segments = plural(sum(len(each.segments) for each in examined.facts), "segment")
        holders = [each.holder for each in examined.facts if each.holder is not None]
        used = f"; process {holders[0].pid} ({holders[0].command}) runs on it" if holders else ""
        click.echo(f"{named}: {counts_text(examined.findings)}; examined {logs}, {segments}{used}")
    return exit_code(examined.findings, fail_on)


def print_findings(findings: list[Finding]) -> None:
    """Each with its cause and cure, the worst first; an empty line after each."""
    for each in findings:
        head = click.style(each.severity.upper(), fg=_COLOURS[each.severity], bold=True)
        click.echo(f"{head}  {each.subject}: {each.what}.")
        click.echo(f"  cause: {each.cause}.")
        click.echo(f"  cure:  {each.cure}.\n")


def exit_code(findings: list[Finding], fail_on: str) -> ExitCode:
    """REFUSED where something is as bad as `fail_on`, a Severity's word, or worse."""
    counted = {Severity.PROBLEM} if fail_on == Severity.PROBLEM else {Severity.PROBLEM, Severity.WARNING}
    return ExitCode.REFUSED if any(each.severity in counted for each in findings) else ExitCode.DONE


def counts_text(findings: list[Finding]) -> str:
    """`1 problem, 2 warnings`; `nothing is wrong`."""
    counts = [(sum(each.severity == kind for each in findings), kind) for kind in Severity]
    told = ", ".join(plural(count, kind) for count, kind in counts if count)
    return told or "nothing is wrong"


def _summary(bootstrap: str, examined: Examined) -> str:
    told = counts_text(examined.findings)
    if examined.facts is None:
        return f"{bootstrap}: {told}; nothing more could be examined"
    counts = examined.facts.state.counts()
    looked = [
        plural(counts["brokers"], "broker"),
        plural(counts["topics"], "topic"),
        plural(counts["partitions"], "partition"),
        plural(len(examined.facts.groups), "group"),
    ]
    figures = " and a broker's own figures" if examined.facts.figures is not None else ""
    return f"{bootstrap}: {told}; examined {', '.join(looked)}{figures}"


def _document(examined: str, cluster_id: str | None, findings: list[Finding]) -> dict[str, object]:
    return {
        "examined": examined,
        "cluster_id": cluster_id,
        "counts": {kind.value: sum(each.severity == kind for each in findings) for kind in Severity},
        "findings": [each.as_json() for each in findings],
    }


def _figures(bootstrap: str, given: str | None) -> Figures | None:
    """A broker's own figures; None where it has no listener at the place where one is likely."""
    host = addresses(bootstrap)[0][0]
    if given is None and not is_loopback(host):
        return None
    address = given or f"127.0.0.1:{HTTP_PORT}"
    try:
        with urlopen(f"http://{address}/metrics", timeout=DEFAULT_TIMEOUT_S) as answer:
            return read_figures(answer.read().decode(), SystemClock().wall_ms(), address)
    except (OSError, HTTPException, ValueError) as error:
        if given is not None:
            raise CommandFailed(f"cannot read http://{address}/metrics: {error}.", ExitCode.UNREACHABLE) from error
        note(f"no figures of a broker at http://{address}; --http names another")
        return None

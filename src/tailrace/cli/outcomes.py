"""One admin request about several topics or groups: what became of each, printed and turned into an exit code.

All are carried out; the command fails at the end if one failed, so that one refusal never hides the others' fate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from confluent_kafka import KafkaError

from tailrace.cli.cluster import Cluster
from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import print_json


class Outcome(NamedTuple):
    """Words for what may become of one: "cannot `verb` `noun` NAME", "NAME `done`", or an accepted error's word."""

    noun: str
    verb: str
    done: str
    accepted: Mapping[int, str]


def finish_each(cluster: Cluster, futures: Mapping[str, Any], outcome: Outcome, *, as_json: bool) -> None:
    """Wait for one future a name, print what became of each, and fail if one was refused and not accepted."""
    results: list[dict[str, str]] = []
    failures: list[CommandFailed] = []
    for name, future in futures.items():
        try:
            cluster.wait(future, f"cannot {outcome.verb} {outcome.noun} {name}")
            results.append({outcome.noun: name, "result": outcome.done})
        except CommandFailed as failure:
            code = failure.cause.code() if isinstance(failure.cause, KafkaError) else KafkaError.UNKNOWN
            if code in outcome.accepted:
                results.append({outcome.noun: name, "result": outcome.accepted[code]})
                continue
            failures.append(failure)
            results.append({outcome.noun: name, "result": "failed", "message": str(failure)})
    report(results, noun=outcome.noun, as_json=as_json)
    if failures:
        raise CommandFailed("\ntailrace: ".join(str(failure) for failure in failures), failures[0].exit_code)


def report(results: list[dict[str, str]], *, noun: str, as_json: bool) -> None:
    """The results as one JSON array, or a line for each that did not fail."""
    if as_json:
        print_json(results)
        return
    for result in results:
        if result["result"] != "failed":
            click.echo(f"{result[noun]} {result['result']}")

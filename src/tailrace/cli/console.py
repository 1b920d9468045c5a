"""`tailrace console`: the web console of any Kafka cluster, as a process of its own.

Loopback unless told otherwise. What cannot be started is one sentence; what a browser asks is answered by `console`.
"""

from __future__ import annotations

import errno
from typing import Any

import click

from tailrace.cli.failure import CommandFailed
from tailrace.cli.pairs import parse_pairs

MISSING = "the console needs packages that are not installed: pip install 'tailrace[console]'."


@click.command
@click.option("-b", "--bootstrap", "--bootstrap-server", "bootstrap", default="127.0.0.1:9092", show_default=True,
              envvar="TAILRACE_BOOTSTRAP", metavar="HOST:PORT[,...]",
              help="Where the cluster is. Also TAILRACE_BOOTSTRAP.")  # fmt: skip
@click.option("--listen", default="127.0.0.1:9081", show_default=True, metavar="HOST:PORT",
              help="Where browsers find the console; port 0 picks a free one.")  # fmt: skip
@click.option("--allow-host", "allowed_hosts", multiple=True, metavar="NAME",
              help="A name by which browsers may ask for it, besides its address. May be repeated.")  # fmt: skip
@click.option("--read-only", is_flag=True, help="Nothing can be changed through it.")
@click.option("--metrics", multiple=True, metavar="URL",
              help="A Tailrace broker's http.listen, such as http://127.0.0.1:9080, for live figures and profiles. "
                   "May be repeated.")  # fmt: skip
@click.option("--schema-registry", metavar="URL", help="A registry with Confluent's API, to decode Avro and Protobuf.")
@click.option("-X", "--set", "properties", multiple=True, metavar="NAME=VALUE",
              help="A librdkafka property, such as security.protocol=SSL. May be repeated.")  # fmt: skip
def console(bootstrap: str, listen: str, properties: tuple[str, ...], **more: Any) -> int:
    """Serve a web page that shows and changes any Kafka cluster, until SIGTERM or Ctrl-C."""
    try:
        from tailrace.console.options import ConsoleOptions
        from tailrace.console.serving import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tailrace"):
            raise
        raise CommandFailed(MISSING) from error
    options = ConsoleOptions(
        bootstrap,
        listen=listen,
        properties=parse_pairs(properties, option="--set"),
        is_read_only=more["read_only"],
        allowed_hosts=more["allowed_hosts"],
        metrics=tuple(each.rstrip("/") for each in more["metrics"]),
        schema_registry=more["schema_registry"],
    )
    try:
        serve(options, lambda address: click.echo(f"tailrace console ready http://{address} kafka={bootstrap}"))
    except ValueError as error:
        raise click.UsageError(f"--listen {error}") from error
    except OSError as error:
        why = "is taken by another process" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise CommandFailed(f"{listen} {why}; choose another address with --listen HOST:PORT.") from error
    return 0

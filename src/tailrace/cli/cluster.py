"""The cluster a command talks to: the options that name it, and the librdkafka clients made from them.

`Cluster.metadata` is the one place that finds out whether anything answers at the address: it ends with exit code 3
within a moment when every bootstrap address refuses, and within `--request-timeout` when they stay silent. Every
client logs into nothing instead of stderr, so that what the user reads is our sentence and not librdkafka's retries.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ClusterMetadata

from tailrace.base.clock import SystemClock
from tailrace.cli.cluster_errors import explain, unreachable
from tailrace.cli.failure import CommandFailed, ExitCode
from tailrace.cli.pairs import parse_pairs

DEFAULT_BOOTSTRAP_SERVERS: Final = "127.0.0.1:9092"
DEFAULT_TIMEOUT_S: Final = 10.0

CONNECT_SLICE_S: Final = 0.25
"""How long one attempt for metadata blocks before the reasons of failure are looked at."""

ClientProperties = dict[str, Any]  # librdkafka's properties: strings, numbers, and callbacks
Result = TypeVar("Result")


@dataclass
class Cluster:
    """Address and properties given on the command line."""

    bootstrap_servers: str
    timeout_s: float
    properties: dict[str, str]
    connect_errors: list[KafkaError] = field(default_factory=list)
    _admin: AdminClient | None = None

    def admin(self) -> AdminClient:
        """The admin client, which has been seen to reach a broker.

        Kept here because librdkafka fails the calls still in flight when the last reference to a client goes.
        """
        if self._admin is None:
            self._admin = self._create(AdminClient, {})
            self.metadata(self._admin)
        return self._admin

    def producer(self, properties: ClientProperties) -> Producer:
        """A producer; `-X` wins over `properties`."""
        return self._create(Producer, properties)

    def consumer(self, properties: ClientProperties) -> Consumer:
        """A consumer; `-X` wins over `properties`."""
        return self._create(Consumer, properties)

    def metadata(self, client: AdminClient | Producer | Consumer, topic: str | None = None) -> ClusterMetadata:
        """Metadata of `topic`, or of all topics; fails with exit code 3 when no broker answers."""
        clock = SystemClock()
        deadline_ms = clock.monotonic_ms() + self.timeout_s * 1000
        while True:
            remaining_s = (deadline_ms - clock.monotonic_ms()) / 1000
            if remaining_s <= 0:
                raise unreachable(self.bootstrap_servers, self.connect_errors)
            try:
                if topic is None:
                    return client.list_topics(timeout=min(CONNECT_SLICE_S, remaining_s))
                return client.list_topics(topic, timeout=min(CONNECT_SLICE_S, remaining_s))
            except KafkaException as failure:
                self._give_up_early(client, failure)

    def _give_up_early(self, client: AdminClient | Producer | Consumer, failure: KafkaException) -> None:
        error = failure.args[0]
        if error.code() not in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
            raise explain(error)
        client.poll(0)  # runs error_cb; a consumer has nothing assigned yet, so no record can be lost here
        if any(known.code() == KafkaError._ALL_BROKERS_DOWN for known in self.connect_errors):
            raise unreachable(self.bootstrap_servers, self.connect_errors)
        for known in self.connect_errors:
            if known.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
                raise explain(known)

    def _create(self, client_type: Callable[..., Result], properties: ClientProperties) -> Result:
        merged: ClientProperties = {
            "client.id": "tailrace-cli",
            "bootstrap.servers": self.bootstrap_servers,
            "error_cb": self.connect_errors.append,
            **properties,
            **self.properties,
        }
        try:
            return client_type(merged, logger=_silent_logger())
        except (KafkaException, TypeError, ValueError) as failure:
            raise _refused_property(failure) from failure

    def wait(self, future: Any, what: str = "") -> Any:  # a Future whose value is whatever the admin call returns
        """The value of an admin future. A refusal becomes `CommandFailed`, with `what` saying what was attempted."""
        try:
            return future.result(timeout=self.timeout_s + 1.0)
        except KafkaException as failure:
            raise explain(failure.args[0], what) from failure
        except TimeoutError as failure:
            problem = f"{what}: " if what else ""
            raise CommandFailed(
                f"{problem}no answer within {self.timeout_s:g} s; try a longer --request-timeout.", ExitCode.UNREACHABLE
            ) from failure


def cluster_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add the options that name a cluster; the command gets them as one `cluster` argument."""

    @click.option("-b", "--bootstrap-server", "bootstrap_servers", default=DEFAULT_BOOTSTRAP_SERVERS, show_default=True,
                  envvar="TAILRACE_BOOTSTRAP", metavar="HOST:PORT[,...]",
                  help="Where the cluster is. Also TAILRACE_BOOTSTRAP.")  # fmt: skip
    @click.option("--request-timeout", "timeout_s", default=DEFAULT_TIMEOUT_S, show_default=True, metavar="SECONDS",
                  type=click.FloatRange(min=0, min_open=True), help="How long to wait for an answer.")  # fmt: skip
    @click.option("-X", "properties", multiple=True, metavar="NAME=VALUE",
                  help="A librdkafka property, such as security.protocol=SSL. May be repeated.")  # fmt: skip
    @functools.wraps(command)
    def with_cluster(
        *, bootstrap_servers: str, timeout_s: float, properties: tuple[str, ...], **arguments: Any
    ) -> Result:
        cluster = Cluster(bootstrap_servers, timeout_s, parse_pairs(properties, option="-X"))
        return command(cluster=cluster, **arguments)

    return with_cluster


def _silent_logger() -> logging.Logger:
    logger = logging.getLogger("tailrace.cli.librdkafka")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    return logger


def _refused_property(failure: Exception) -> CommandFailed:
    error = failure.args[0]
    reason = error.str() if isinstance(error, KafkaError) else str(failure)
    return CommandFailed(f"librdkafka refused a property: {reason}. Check -X.", ExitCode.USAGE)

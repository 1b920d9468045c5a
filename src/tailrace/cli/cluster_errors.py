"""What a cluster's refusals mean, in one sentence with cause and cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError

from tailrace.cli.failure import CommandFailed, ExitCode

UNREACHABLE_CODES: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
    }
)

CURES: Final = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "`tailrace topics list` shows the topics there are",
    KafkaError._UNKNOWN_TOPIC: "`tailrace topics list` shows the topics there are",
    KafkaError._UNKNOWN_PARTITION: "`tailrace topics describe` shows the topic's partitions",
    KafkaError.TOPIC_ALREADY_EXISTS: "use --if-not-exists to accept that, or `tailrace topics alter` to change it",
    KafkaError.INVALID_REPLICATION_FACTOR: "a topic cannot have more replicas than the cluster has brokers",
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the topic, and -X message.max.bytes for the client",
    KafkaError.NON_EMPTY_GROUP: "stop its members first; `tailrace groups describe` shows them",
    KafkaError.UNKNOWN_MEMBER_ID: "stop the group's members first; `tailrace groups describe` shows them",
    KafkaError.GROUP_ID_NOT_FOUND: "`tailrace groups list` shows the groups there are",
    KafkaError.UNSUPPORTED_VERSION: "this cluster does not serve that request",
    KafkaError._UNSUPPORTED_FEATURE: "this cluster does not serve that request",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check -X sasl.mechanism, sasl.username and sasl.password",
    KafkaError._AUTHENTICATION: "check -X sasl.mechanism, sasl.username and sasl.password",
    KafkaError._SSL: "check -X security.protocol and the ssl.* properties",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "ask the cluster's owner for access to the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "ask the cluster's owner for access to the group",
    KafkaError.NOT_ENOUGH_REPLICAS: "too few replicas are in sync; `tailrace topics describe` shows them",
}


def explain(error: KafkaError, what: str = "") -> CommandFailed:
    """The failure of a command for `error`; `what` says what was being done ("cannot create topic orders")."""
    reason = error.str().rstrip(".").removeprefix("Local: ").removeprefix("Broker: ")
    sentence = f"{what}: {reason}" if what else reason
    cure = CURES.get(error.code())
    exit_code = ExitCode.UNREACHABLE if error.code() in UNREACHABLE_CODES else ExitCode.REFUSED
    return CommandFailed(f"{sentence}; {cure}." if cure else f"{sentence}.", exit_code, error)


def unreachable(bootstrap_servers: str, errors: Sequence[KafkaError]) -> CommandFailed:
    """The failure for a cluster that cannot be reached, with the most telling of librdkafka's reasons."""
    reasons = " ".join(error.str() for error in errors)
    if "Connection refused" in reasons:
        why = "the connection was refused"
    elif "resolve" in reasons or any(error.code() == KafkaError._RESOLVE for error in errors):
        why = "the name does not resolve"
    else:
        why = "it did not answer in time"
    return CommandFailed(
        f"cannot reach a broker at {bootstrap_servers}: {why}; start one with `tailrace serve`, "
        "or name another with --bootstrap-server.",
        ExitCode.UNREACHABLE,
    )

"""What went wrong, for a person: a status, Kafka's or our name of it, the cause in a sentence, and the cure.

Problem      raised anywhere below the API; becomes {"error", "cause", "cure"}
"""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from tailrace.base.errors import ErrorCode, TailraceError
from tailrace.client.plain_requests import NotAnswered, NotServed


class Problem(TailraceError):
    """An answer that is a refusal. `error` is a name in capitals, `cause` a sentence, `cure` one or None."""

    def __init__(self, status: int, error: str, cause: str, cure: str | None = None) -> None:
        super().__init__(cause)
        self.status = status
        self.error = error
        self.cause = cause
        self.cure = cure

    def as_json(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": self.error, "cause": self.cause, "cure": self.cure}


_UNREACHABLE: Final = frozenset(
    {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._DESTROY}
)
_TIMED_OUT: Final = frozenset(
    {KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._MSG_TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}
)
_NAMES: Final = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "UNKNOWN_TOPIC_OR_PARTITION",
    KafkaError._UNKNOWN_TOPIC: "UNKNOWN_TOPIC_OR_PARTITION",
    KafkaError._UNKNOWN_PARTITION: "UNKNOWN_TOPIC_OR_PARTITION",
}
_STATUSES: Final = {
    "UNKNOWN_TOPIC_OR_PARTITION": 404,
    "GROUP_ID_NOT_FOUND": 404,
    "TRANSACTIONAL_ID_NOT_FOUND": 404,
    "TOPIC_ALREADY_EXISTS": 409,
    "NON_EMPTY_GROUP": 409,
    "UNSUPPORTED_VERSION": 501,
    "CLUSTER_AUTHORIZATION_FAILED": 403,
    "TOPIC_AUTHORIZATION_FAILED": 403,
    "GROUP_AUTHORIZATION_FAILED": 403,
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": 403,
}
_CURES: Final = {
    "UNKNOWN_TOPIC_OR_PARTITION": "The list of topics shows those there are.",
    "GROUP_ID_NOT_FOUND": "The list of groups shows those there are.",
    "TOPIC_ALREADY_EXISTS": "Choose another name, or change the topic that is there.",
    "INVALID_REPLICATION_FACTOR": "A topic cannot have more replicas than the cluster has brokers.",
    "MESSAGE_TOO_LARGE": "Raise max.message.bytes of the topic.",
    "NON_EMPTY_GROUP": "Stop its members first.",
    "UNKNOWN_MEMBER_ID": "Stop the group's members first.",
    "NOT_ENOUGH_REPLICAS": "Too few replicas are in sync: see the topic's partitions.",
    "INVALID_CONFIG": "Correct the value; the setting's description says what it may hold.",
    "UNSUPPORTED_VERSION": "This cluster does not serve that request.",
    "TOPIC_DELETION_DISABLED": "Set delete.topic.enable of the brokers.",
}


def not_found(what: str, cure: str | None = None) -> Problem:
    """404 for a thing of ours."""
    return Problem(404, "NOT_FOUND", what, cure)


def bad_request(cause: str, cure: str | None = None) -> Problem:
    """400: the request cannot be meant like this."""
    return Problem(400, "BAD_REQUEST", cause, cure)


def unreachable(bootstrap: str, why: str) -> Problem:
    """503: no broker answers."""
    return Problem(
        503,
        "UNREACHABLE",
        f"No broker answers at {bootstrap}: {why.rstrip('.')}.",
        "Start the broker, or start the console with another --bootstrap.",
    )


def of_kafka(error: KafkaError, bootstrap: str, what: str = "") -> Problem:
    """What librdkafka reports, for a person. `what` says what was attempted ("The topic was not created")."""
    reason = error.str().removeprefix("Local: ").removeprefix("Broker: ").rstrip(".")
    code = error.code()
    if code in _UNREACHABLE:
        return unreachable(bootstrap, reason)
    if code in _TIMED_OUT:
        return Problem(504, "TIMED_OUT", f"The cluster did not answer in time: {reason}.", "Try again.")
    name = _NAMES.get(code) or (_known_name(code) if code >= 0 else error.name().lstrip("_"))
    return _named(name, f"{what}: {reason}." if what else f"{reason}.")


def of_code(code: int, what: str, message: str | None = None) -> Problem:
    """The refusal of a broker by its code. `message` is the broker's own."""
    name = _known_name(code)
    return _named(name, f"{what}: {(message or name.lower().replace('_', ' ')).rstrip('.')}.")


def of_exception(error: Exception, bootstrap: str) -> Problem | None:
    """The problem behind an exception; None for one that is our own fault."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, KafkaException):
        return of_kafka(error.args[0], bootstrap)
    if isinstance(error, NotServed):
        return Problem(501, "NOT_SUPPORTED", _sentence(str(error)), "A newer cluster may.")
    if isinstance(error, NotAnswered):
        return unreachable(bootstrap, str(error))
    if isinstance(error, TimeoutError):
        return Problem(504, "TIMED_OUT", "The cluster did not answer in time.", "Try again.")
    return None


def _named(name: str, cause: str) -> Problem:
    return Problem(_STATUSES.get(name, 400), name, _sentence(cause), _CURES.get(name))


def _known_name(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"ERROR_{code}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]

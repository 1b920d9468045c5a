"""Examine a cluster: reach it, ask it, judge. What a tool or a page calls.

    address --reach--> brokers --questions--> ClusterFacts --checks--> findings, the worst first

Reads only. Works against any Kafka cluster with a listener without TLS and SASL. Not its business: words on a
terminal, exit codes, data directories (`directory`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import TailraceError
from tailrace.client.cluster_questions import describe_cluster
from tailrace.client.plain_requests import BrokerAddress, PlainRequests
from tailrace.doctor import check_brokers, check_figures, check_groups, check_partitions, check_settings
from tailrace.doctor.facts import ClusterFacts
from tailrace.doctor.figures import Figures
from tailrace.doctor.finding import Finding, problem, worst_first
from tailrace.doctor.group_questions import ask_groups
from tailrace.doctor.questions import ask_all, attempt
from tailrace.doctor.reach import Outcome, Reach, try_to_reach
from tailrace.doctor.transaction_questions import ask_transactions

CLUSTER_CHECKS: Final[tuple[Callable[[ClusterFacts], Iterator[Finding]], ...]] = (
    check_brokers.check_controller,
    check_brokers.check_brokers_serve,
    check_brokers.check_advertised,
    check_brokers.check_advertised_loopback,
    check_brokers.check_volumes,
    check_partitions.check_replicas,
    check_partitions.check_leader_skew,
    check_partitions.check_record_skew,
    check_partitions.check_dates,
    check_settings.check_min_insync,
    check_settings.check_replication_factor,
    check_settings.check_acks_one,
    check_settings.check_segment_roll,
    check_settings.check_unclean_election,
    check_settings.check_message_size,
    check_settings.check_auto_creation,
    check_groups.check_lag,
    check_groups.check_lost_positions,
    check_groups.check_transactions,
    check_figures.check_figures,
    check_brokers.check_untold,
)

CLIENT_ID: Final = "tailrace-doctor"


class Examined(NamedTuple):
    """What was found. `facts` is None where nobody could be asked."""

    findings: list[Finding]
    facts: ClusterFacts | None


class Examination(NamedTuple):
    """What to examine. `timeout_s`: how long each connection and each answer may take."""

    bootstrap: list[BrokerAddress]
    timeout_s: float
    clock: Clock
    figures: Figures | None = None


async def examine_cluster(examination: Examination) -> Examined:
    """Everything that is found at an address. Raises nothing for a cluster that is not there: that is a finding."""
    timeout_s = examination.timeout_s
    reaches = [await try_to_reach(host, port, timeout_s) for host, port in examination.bootstrap]
    unreached = [_unreachable(each) for each in reaches if each.outcome is not Outcome.REACHED]
    if len(unreached) == len(reaches):
        return Examined(unreached, None)
    asks = PlainRequests(examination.bootstrap, timeout_s, CLIENT_ID)
    try:
        facts = await _ask(asks, examination)
    except TailraceError as error:
        return Examined([*unreached, _not_kafka(examination.bootstrap, error)], None)
    finally:
        await asks.close()
    return Examined(worst_first([*unreached, *judge(facts)]), facts)


def judge(facts: ClusterFacts) -> list[Finding]:
    """What every check finds, the worst first."""
    return worst_first(finding for check in CLUSTER_CHECKS for finding in check(facts))


async def _ask(asks: PlainRequests, examination: Examination) -> ClusterFacts:
    state = await describe_cluster(asks)
    facts = ClusterFacts(examination.bootstrap, examination.clock.wall_ms(), state)
    figures = examination.figures
    if figures is not None and figures.cluster_id in ("", state.cluster_id):
        facts.figures = figures
    await ask_all(asks, facts, examination.timeout_s)
    await attempt(facts, "groups", lambda: ask_groups(asks, facts))
    await attempt(facts, "transactions", lambda: ask_transactions(asks, facts))
    return facts


def _unreachable(reach: Reach) -> Finding:
    words = {
        Outcome.NAME_UNKNOWN: (
            f"cannot be resolved ({reach.words})",
            "the name is misspelt, or known in another network only",
            "check the name with `getent hosts`",
        ),
        Outcome.REFUSED: (
            "refuses connections",
            "no broker runs there, or it listens at another port or on loopback only",
            "start one with `tailrace serve`, or look at its `listeners` setting",
        ),
        Outcome.SILENT: (
            "does not answer",
            "a firewall drops the packets, or the machine is down",
            "look for what is between here and there",
        ),
        Outcome.FAILED: (f"cannot be reached: {reach.words}", "there is no way from here to it", "check the address"),
    }
    what, cause, cure = words[reach.outcome]
    return problem("address-unreachable", f"address {reach.address}", what, cause, cure)


def _not_kafka(bootstrap: list[BrokerAddress], error: TailraceError) -> Finding:
    return problem(
        "address-not-understood",
        f"address {','.join(f'{host}:{port}' for host, port in bootstrap)}",
        f"takes the connection, and does not answer as a Kafka broker does: {error}",
        "the listener wants TLS or SASL, which this examination does not speak, or something else listens there",
        "name a listener of PLAINTEXT; the brokers' `listeners` setting has them",
    )

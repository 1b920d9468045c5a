"""Brokers: who is there, whether others reach them, their volumes. Pure: facts -> findings."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.doctor.facts import Advertised, ClusterFacts
from tailrace.doctor.finding import Finding, named, note, problem, warning
from tailrace.doctor.limits import VOLUME_PROBLEM_SHARE, VOLUME_WARNING_SHARE
from tailrace.doctor.reach import Outcome, is_wildcard
from tailrace.net.loopback import is_loopback


def check_controller(facts: ClusterFacts) -> Iterator[Finding]:
    """Somebody must settle what others leave behind."""
    if facts.state.controller >= 0:
        return
    yield problem(
        "controller-missing",
        "the cluster",
        "has no controller: nobody elects leaders, creates topics or changes settings",
        "the brokers cannot reach the metadata store or each other, or most of the controllers are down",
        "look at the log of any broker for why it cannot reach them; produce and fetch go on meanwhile",
    )


def check_brokers_serve(facts: ClusterFacts) -> Iterator[Finding]:
    """Each broker is heard of, answers, and has all its log directories."""
    for broker in facts.state.brokers:
        who = f"broker {broker.broker}"
        if broker.is_fenced:
            yield problem(
                "broker-fenced",
                who,
                "is fenced: it leads nothing and serves nobody",
                "it is dead, stopped, still starting, or cut off from the cluster",
                "start it, or look at its log; one that is gone for good: move its replicas, then "
                f"`tailrace cluster remove-broker {broker.broker}`",
            )
        elif broker.trouble:
            yield problem(
                "broker-silent",
                who,
                broker.trouble,
                "it is overloaded or stopped, or its address leads elsewhere from here",
                f"look at the log of {who}, and at what is found of its advertised address",
            )
        if broker.failed_log_dirs:
            yield problem(
                "log-directory-failed",
                who,
                f"lost {named('log directory', broker.failed_log_dirs)}",
                "the disk gave an input or output error, or the volume is gone",
                "repair or replace the disk, then restart the broker; its replicas are copied again",
            )


def check_advertised(facts: ClusterFacts) -> Iterator[Finding]:
    """What each broker tells clients to connect to can be reached from here, and is a broker of this cluster."""
    for each in facts.advertised:
        if each.reach.outcome is not Outcome.REACHED:
            yield _not_reached(each)
        elif each.cluster_id and each.cluster_id != facts.state.cluster_id:
            yield problem(
                "advertised-address-elsewhere",
                f"broker {each.broker}",
                f"advertises {each.reach.address}, where a broker of another cluster ({each.cluster_id}) answers",
                "two clusters advertise the same address, or a port is forwarded to the wrong one",
                "give each broker an advertised.listeners of its own and restart it",
            )


def _not_reached(found: Advertised) -> Finding:
    reach = found.reach
    what, cause = {
        Outcome.NAME_UNKNOWN: (
            f"its name cannot be resolved from here ({reach.words})",
            f"{reach.host} is a name of the broker's own network, such as a container's",
        ),
        Outcome.REFUSED: (
            "the connection is refused",
            "nothing listens there as seen from here: a port that is not published, or another than the broker's",
        ),
        Outcome.SILENT: ("nothing answers", "a firewall drops the packets, or the address is of another network"),
        Outcome.FAILED: (f"the connection fails: {reach.words}", "there is no way from here to that address"),
    }[reach.outcome]
    return problem(
        "advertised-address-unreachable",
        f"broker {found.broker}",
        f"advertises {reach.address} to clients, and from here {what}",
        f"{cause}; a client gets as far as the list of brokers and then fails",
        "set advertised.listeners of that broker to an address that its clients reach (`tailrace serve --set "
        "advertised.listeners=PLAINTEXT://HOST:PORT`); a second listener serves clients of another network",
    )


def check_advertised_loopback(facts: ClusterFacts) -> Iterator[Finding]:
    """A loopback address sends every client to its own machine."""
    asked_remotely = any(not is_loopback(host) for host, _ in facts.bootstrap)
    loopback = [each for each in facts.advertised if is_loopback(each.reach.host)]
    for each in loopback:
        listeners = facts.brokers[each.broker].values.get("listeners", "") if each.broker in facts.brokers else ""
        is_open = any(is_wildcard(_host(text)) for text in listeners.split(",") if text)
        if asked_remotely:
            yield problem(
                "advertised-loopback",
                f"broker {each.broker}",
                f"advertises {each.reach.address}, which is every client's own machine",
                "advertised.listeners is not set, and the listener's own address is a loopback address",
                "set advertised.listeners to the address by which clients know this broker, and restart it",
            )
        elif is_open:
            yield warning(
                "advertised-loopback",
                f"broker {each.broker}",
                f"listens to every network ({listeners}), and advertises {each.reach.address}: clients on other "
                "machines find the list of brokers and then connect to themselves",
                "advertised.listeners names a loopback address",
                "set advertised.listeners to the address by which clients know this broker, or listen on loopback",
            )
    if loopback and len(facts.advertised) > len(loopback):
        brokers = [str(each.broker) for each in loopback]
        yield warning(
            "advertised-mixed",
            named("broker", brokers),
            "advertise loopback addresses and others of the cluster do not: no client reaches all of them",
            "advertised.listeners is set on some brokers only",
            "set it on every broker",
        )


def _host(listener: str) -> str:
    """The host of `NAME://HOST:PORT`."""
    return listener.partition("://")[2].rpartition(":")[0]


def check_volumes(facts: ClusterFacts) -> Iterator[Finding]:
    """Room under the log directories."""
    for volume in facts.volumes:
        share = volume.usable_bytes / volume.total_bytes
        if share >= VOLUME_WARNING_SHARE:
            continue
        make = problem if share < VOLUME_PROBLEM_SHARE else warning
        yield make(
            "volume-full",
            f"broker {volume.broker}",
            f"has {share:.1%} ({volume.usable_bytes / 1e9:.1f} GB) left on the volume of {volume.log_dir}",
            "records are kept for longer than there is room for",
            "shorten retention.ms or retention.bytes of the largest topics, delete topics that nobody reads, or "
            "grow the volume",
        )


def check_untold(facts: ClusterFacts) -> Iterator[Finding]:
    """What was not looked at must not seem well."""
    for each in facts.untold:
        yield note(
            "not-examined",
            "the examination",
            f"could not look at {each}",
            "the cluster does not serve that request, refuses it, or did not answer",
            "ask again later, or on another listener",
        )

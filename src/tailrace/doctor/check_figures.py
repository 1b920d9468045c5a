"""A broker's own figures: limits of its process, its loop, errors it gave, its clock. Pure: facts -> findings.

Only a Tailrace broker with an HTTP listener tells them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tailrace.doctor.facts import ClusterFacts
from tailrace.doctor.figures import Figures
from tailrace.doctor.finding import Finding, named, problem, warning
from tailrace.doctor.limits import (
    CLOCK_SKEW_MS,
    DESCRIPTORS_MIN,
    DESCRIPTORS_SHARE,
    LOOP_BUSY_SHARE,
    REBALANCES_AFTER_S,
    REBALANCES_PER_MINUTE,
)

_SUBJECT: Final = "the broker's process"


def check_figures(facts: ClusterFacts) -> Iterator[Finding]:
    """Every check of figures, where there are some."""
    if facts.figures is None:
        return
    for check in (_check_descriptors, _check_ready, _check_clock, _check_loop, _check_rebalances, _check_refusals):
        yield from check(facts.figures)


def _check_descriptors(figures: Figures) -> Iterator[Finding]:
    used, most = figures.value("process_open_fds"), figures.value("process_max_fds")
    if used is None or most is None:
        return
    if used > most * DESCRIPTORS_SHARE:
        yield problem(
            "descriptors-run-out",
            _SUBJECT,
            f"has {used:,.0f} of {most:,.0f} files and sockets open",
            "many clients, or many partitions that are written to, and a low RLIMIT_NOFILE",
            "raise the limit of the service (LimitNOFILE= of systemd, ulimit -n of a shell) and restart",
        )
    elif most < DESCRIPTORS_MIN:
        yield warning(
            "descriptors-few",
            _SUBJECT,
            f"may open {most:,.0f} files and sockets",
            "the hard limit of RLIMIT_NOFILE is low; a broker raises its own limit as far as that",
            "raise it (LimitNOFILE=1048576 of systemd, ulimit -Hn of a shell)",
        )


def _check_ready(figures: Figures) -> Iterator[Finding]:
    if figures.value("tailrace_broker_ready") == 0:
        yield problem(
            "broker-not-ready",
            _SUBJECT,
            "says that it is not ready",
            "it is starting, stopping or fenced",
            f"http://{figures.address}/readyz has the reasons",
        )


def _check_clock(figures: Figures) -> Iterator[Finding]:
    told_s = figures.value("tailrace_clock_seconds")
    if told_s is None:
        return
    ahead_ms = told_s * 1000 - figures.read_ms
    if abs(ahead_ms) > CLOCK_SKEW_MS:
        way = "ahead of" if ahead_ms > 0 else "behind"
        yield warning(
            "clock-skew",
            _SUBJECT,
            f"is {abs(ahead_ms) / 1000:.1f} s {way} the clock here: retention, searches by time and timeouts of "
            "transactions go by the broker's",
            "one of the two machines does not synchronise its clock",
            "run an NTP client (chrony, systemd-timesyncd) on both",
        )


def _check_loop(figures: Figures) -> Iterator[Finding]:
    busy_s = figures.value("tailrace_loop_busy_seconds_total")
    if busy_s is not None and figures.age_s > REBALANCES_AFTER_S and busy_s > figures.age_s * LOOP_BUSY_SHARE:
        yield warning(
            "loop-busy",
            _SUBJECT,
            f"was busy for {busy_s / figures.age_s:.0%} of its life: it is at the limit of one core",
            "more requests than one loop serves, often many small ones",
            "larger batches (linger.ms of producers, fetch.min.bytes of consumers), or another broker",
        )


def _check_rebalances(figures: Figures) -> Iterator[Finding]:
    count = figures.value("tailrace_group_rebalances_total")
    if count is None or figures.age_s < REBALANCES_AFTER_S:
        return
    per_minute = count / (figures.age_s / 60)
    if per_minute > REBALANCES_PER_MINUTE:
        yield warning(
            "groups-rebalance",
            _SUBJECT,
            f"saw {count:,.0f} rebalances, {per_minute:.1f} a minute: consumers stand still in each",
            "members come and go, or take longer for a poll than max.poll.interval.ms",
            "the broker's log says which group and why; static membership (group.instance.id) survives restarts",
        )


def _check_refusals(figures: Figures) -> Iterator[Finding]:
    counts: Counter[str] = Counter()
    for labels, value in figures.samples.get("kafka_network_requestmetrics_errors_total", []):
        if labels.get("request") == "Produce" and labels.get("error") != "NONE" and value:
            counts[labels.get("error", "")] += int(value)
    causes = {
        "INVALID_RECORD": (
            "records without a key for a compacted topic, or a timestamp outside what the topic allows",
            "give every record a key, or take `compact` from cleanup.policy",
        ),
        "MESSAGE_TOO_LARGE": (
            "batches larger than max.message.bytes",
            "raise max.message.bytes of the topic together with max.request.size of the producer, or send less at once",
        ),
        "NOT_ENOUGH_REPLICAS": (
            "fewer replicas in sync than min.insync.replicas",
            "`tailrace cluster describe` says which and why",
        ),
        "KAFKA_STORAGE_ERROR": ("a volume is full, or a disk failed", "docs/operations/disk-trouble.md"),
        "UNKNOWN_TOPIC_OR_PARTITION": (
            "producers name a topic that is not there",
            "create it, or mend the name; auto.create.topics.enable decides whether it comes by itself",
        ),
    }
    for code, count in counts.items():
        if code in causes:
            cause, cure = causes[code]
            yield warning(
                "produce-refused",
                named("error", [code]),
                f"was the answer to {count:,} partitions of Produce requests since the broker started",
                cause,
                cure,
            )

"""`tailrace groups`: list, describe, reset and delete consumer groups and share groups of any Kafka cluster."""

from __future__ import annotations

import sys
from typing import Final

import click
from confluent_kafka import ConsumerGroupState, KafkaError

from tailrace.cli.cluster import Cluster, cluster_options
from tailrace.cli.cluster_errors import explain
from tailrace.cli.failure import CommandFailed
from tailrace.cli.group_details import GroupDetails, describe_group
from tailrace.cli.group_epochs import GroupEpochs, partitions_text
from tailrace.cli.group_reset import Move, commit, plan_moves
from tailrace.cli.outcomes import Outcome, finish_each
from tailrace.cli.output import note, plural, print_json, print_table
from tailrace.cli.positions import Position, PositionKind, TimeType, format_time
from tailrace.cli.share_groups import ShareGroupDetails, list_share_groups

NUMBERED_TARGETS: Final[dict[str, PositionKind]] = {"to_offset": "offset", "to_time": "time", "shift_by": "shift"}


@click.group
def groups() -> None:
    """List, describe, reset and delete consumer groups and share groups."""


@groups.command("list")
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_groups(cluster: Cluster, as_json: bool) -> None:
    """List groups with their state and type."""
    result = cluster.wait(cluster.admin().list_consumer_groups(request_timeout=cluster.timeout_s))
    if result.errors:
        raise explain(result.errors[0].args[0], "cannot list all groups")
    rows = [(group.group_id, state_name(group.state), group.type.name.lower()) for group in result.valid]
    rows += [(name, state.lower(), "share") for name, state in list_share_groups(cluster)]
    rows.sort()
    if as_json:
        print_json([{"group": name, "state": state, "type": kind} for name, state, kind in rows])
    elif rows:
        print_table(("group", "state", "type"), rows)
    else:
        note("no groups; `tailrace consume TOPIC --group NAME` makes one")


def state_name(state: ConsumerGroupState) -> str:
    """`stable`, `preparing_rebalancing`, `empty`, ..."""
    return state.name.lower()


@groups.command("describe")
@cluster_options
@click.argument("names", nargs=-1, required=True, metavar="GROUP...")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def describe(cluster: Cluster, names: tuple[str, ...], as_json: bool) -> None:
    """Show members, offsets and lag, and why it last rebalanced; with the consumer protocol also epochs and targets.

    Of a share group start offsets take the place of committed ones.
    """
    details = [describe_group(cluster, cluster.admin(), name) for name in names]
    if as_json:
        print_json([group.as_json() for group in details])
        return
    for index, group in enumerate(details):
        if index:
            click.echo()
        _print_group(group)


def _print_group(group: GroupDetails | ShareGroupDetails) -> None:
    click.echo(
        f"{group.name}  {group.state}  {plural(len(group.members), 'member')}  "
        f"{group.kind}  coordinator {group.coordinator}  assignor {group.assignor or '-'}  lag {group.total_lag:,}"
    )
    if isinstance(group, ShareGroupDetails):
        rows = [(each.topic, each.partition, each.start_offset, each.lag, ",".join(each.members) or None)
                for each in group.partitions]  # fmt: skip
        print_table(("topic", "partition", "start", "lag", "members"), rows)
        return
    last = group.last_rebalance
    if last is not None:
        when = "" if last["at_ms"] is None else f"{format_time(last['at_ms'])}  generation {last['generation']}  "
        click.echo(f"last rebalance  {when}{last['reason']}")
    if group.partitions:
        print_table(
            ("topic", "partition", "committed", "end", "lag", "member", "client", "host"),
            [
                (part.topic, part.partition, part.committed_offset, part.end_offset, part.lag,
                 part.member_id, part.client_id, part.host)
                for part in group.partitions
            ],
        )  # fmt: skip
    if group.epochs is not None:
        _print_epochs(group.epochs)


def _print_epochs(epochs: GroupEpochs) -> None:
    click.echo(f"\ngroup epoch {epochs.epoch}  assignment epoch {epochs.assignment_epoch}")
    if epochs.members:
        print_table(
            ("member", "instance", "protocol", "state", "epoch", "subscribed", "assigned", "target"),
            [
                (each.member_id, each.instance_id, each.kind, each.state(epochs.assignment_epoch), each.epoch,
                 " ".join((*each.subscribed_topics, each.subscribed_regex)).strip() or "-",
                 partitions_text(each.assigned), partitions_text(each.target))
                for each in epochs.members
            ],
        )  # fmt: skip


@groups.command("reset")
@cluster_options
@click.argument("name", metavar="GROUP")
@click.option("-t", "--topic", "topics", multiple=True, metavar="TOPIC[:P,...]",
              help="Topic, or some of its partitions; may be repeated.")  # fmt: skip
@click.option("--all-topics", is_flag=True, help="Every topic the group has committed offsets for.")
@click.option("--to-earliest", is_flag=True, help="To the first record kept.")
@click.option("--to-latest", is_flag=True, help="To the end.")
@click.option("--to-offset", type=click.IntRange(min=0), help="To this offset, kept within what there is.")
@click.option("--to-time", type=TimeType(), metavar="TIME",
              help="To the first record from then on: ms since 1970, ISO 8601, or an age such as -2h.")  # fmt: skip
@click.option("--shift-by", type=int, metavar="N", help="Forward by N records, or back when negative.")
@click.option("--execute/--dry-run", default=False, help="Do it, or only show what would be done (the default).")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def reset(cluster: Cluster, name: str, topics: tuple[str, ...], all_topics: bool, execute: bool, as_json: bool,
          **targets: bool | int | None) -> None:  # fmt: skip
    """Move a group's committed offsets, or a share group's start offsets. The group must have no members.

    Shows the plan; add --execute to carry it out.
    """
    position = _target(targets)
    if bool(topics) == all_topics:
        raise click.UsageError("give --topic or --all-topics")
    admin = cluster.admin()
    moves = plan_moves(cluster, admin, name, topics, position)
    if not moves:
        raise CommandFailed(f"group {name} has committed no offsets; name the topics with --topic.")
    if execute:
        commit(cluster, admin, name, moves)
    _print_moves(moves, executed=execute, as_json=as_json)


def _target(targets: dict[str, bool | int | None]) -> Position:
    chosen: list[Position] = []
    if targets["to_earliest"]:
        chosen.append(Position("earliest"))
    if targets["to_latest"]:
        chosen.append(Position("latest"))
    for option, kind in NUMBERED_TARGETS.items():
        number = targets[option]
        if number is not None:
            chosen.append(Position(kind, number))
    if len(chosen) != 1:
        raise click.UsageError("give one of --to-earliest, --to-latest, --to-offset, --to-time and --shift-by")
    return chosen[0]


def _print_moves(moves: list[Move], *, executed: bool, as_json: bool) -> None:
    if as_json:
        print_json([{**move._asdict(), "executed": executed} for move in moves])
        return
    print_table(("topic", "partition", "committed", "new"), moves)
    if not executed:
        note("nothing was changed; add --execute to do it")


@groups.command("delete")
@cluster_options
@click.argument("names", nargs=-1, required=True, metavar="GROUP...")
@click.option("--if-exists", is_flag=True, help="A group that does not exist is not an error.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Nothing is asked when stdin is not a terminal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def delete(cluster: Cluster, names: tuple[str, ...], if_exists: bool, yes: bool, as_json: bool) -> None:
    """Delete groups and their committed offsets. A group must have no members."""
    admin = cluster.admin()
    if sys.stdin.isatty() and not yes:
        click.confirm(f"Delete {', '.join(names)} and the committed offsets?", abort=True, err=True)
    accepted = {KafkaError.GROUP_ID_NOT_FOUND: "absent"} if if_exists else {}
    futures = admin.delete_consumer_groups(list(names), request_timeout=cluster.timeout_s)
    finish_each(cluster, futures, Outcome("group", "delete", "deleted", accepted), as_json=as_json)

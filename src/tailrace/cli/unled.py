"""Why partitions have no leader: the log directories that the brokers say are offline (DescribeLogDirs).

The protocol says which directory, not what is wrong with it: that is in the broker's log. Not its business: TLS and
SASL, see `raw_requests`; then nothing is found out, and the partitions are shown without a reason.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.cli.cluster import Cluster
from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import plural
from tailrace.cli.raw_requests import RawCluster, run
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_log_dirs import DescribeLogDirsRequest, DescribeLogDirsResponse


def explain_unled(cluster: Cluster, count: int) -> str:
    """A sentence about `count` > 0 partitions without a leader."""
    what = f"{plural(count, 'partition')} without a leader can be neither read nor written"
    failed = run(cluster.bootstrap_servers, cluster.timeout_s, _failed_directories)
    if not failed:
        return f"{what}; the log of a broker that should lead says why."
    return f"{what}. Offline: {', '.join(failed)}. The broker's log says why; it is served again after a restart."


async def _failed_directories(cluster: RawCluster) -> list[str]:
    """`PATH on HOST:PORT` of each log directory that a broker says has failed."""
    found = []
    try:
        for host, port in await cluster.brokers():
            answer: DescribeLogDirsResponse = await cluster.ask(
                ApiKey.DESCRIBE_LOG_DIRS, DescribeLogDirsRequest(None), (host, port)
            )
            failed = [each for each in answer.results if each.error_code == ErrorCode.KAFKA_STORAGE_ERROR]
            found += [f"log directory {each.log_dir} on {host}:{port}" for each in failed]
    except CommandFailed:
        pass  # a broker that is down, or that wants TLS: what the others said is said
    return found

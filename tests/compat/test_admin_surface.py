"""Every method of the Java client's Admin, called once: each has the outcome it has with Apache Kafka.

But for what this broker does not serve, where the client says UnsupportedVersionException: docs/operations has the
list, in admin-clients.md.
"""

import json
import subprocess
from pathlib import Path

from tests.compat.java_client import compiled
from tests.harness.brokers import KafkaProcess, chosen_broker, java_command

from tailrace.broker.served import SERVED

WAIT_S = 120.0
NEEDS = {
    "addRaftVoter": "ADD_RAFT_VOTER",
    "alterClientQuotas": "ALTER_CLIENT_QUOTAS",
    "alterShareGroupOffsets": "ALTER_SHARE_GROUP_OFFSETS",
    "alterUserScramCredentials": "ALTER_USER_SCRAM_CREDENTIALS",
    "createDelegationToken": "CREATE_DELEGATION_TOKEN",
    "deleteShareGroupOffsets": "DELETE_SHARE_GROUP_OFFSETS",
    "describeDelegationToken": "DESCRIBE_DELEGATION_TOKEN",
    "describeMetadataQuorum": "DESCRIBE_QUORUM",
    "describeShareGroups": "SHARE_GROUP_DESCRIBE",
    "describeStreamsGroups": "STREAMS_GROUP_DESCRIBE",
    "expireDelegationToken": "EXPIRE_DELEGATION_TOKEN",
    "listShareGroupOffsets": "DESCRIBE_SHARE_GROUP_OFFSETS",
    "removeRaftVoter": "REMOVE_RAFT_VOTER",
    "renewDelegationToken": "RENEW_DELEGATION_TOKEN",
    "unregisterBroker": "UNREGISTER_BROKER",
}
"""Methods whose API is not served, or was not when this was written: one that is served must do as Kafka does."""
BY_THE_WAY = {"deleteShareGroups": "GroupIdNotFoundException"}
"""The group could not be made before."""
PAGE = Path(__file__).parents[2] / "docs" / "operations" / "admin-clients.md"


def surface(address: str) -> dict[str, str]:
    """Method -> "ok" or the exception's name."""
    command = [*java_command("-Xmx256m", log_level="OFF", classpath=(compiled(),)), "AdminSurface", address]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert finished.returncode == 0, finished
    outcomes: dict[str, str] = json.loads(finished.stdout.splitlines()[-1])
    return outcomes


def test_every_method_of_admin(tmp_path: Path) -> None:
    """Brokers of its own: it needs an empty one, and leaves quotas and users behind."""
    outcomes = []
    for kind in (KafkaProcess, chosen_broker()):
        broker = kind(tmp_path / str(len(outcomes)))
        broker.start()
        try:
            outcomes.append(surface(broker.address))
        finally:
            broker.kill()
    expected, found = outcomes
    served = {key.name for key in SERVED}
    if chosen_broker() is not KafkaProcess:
        missing = {method: "UnsupportedVersionException" for method, api in NEEDS.items() if api not in served}
        if "alterShareGroupOffsets" in missing:
            missing |= BY_THE_WAY
        expected |= missing
    assert found == expected


def test_the_page_names_what_is_not_served() -> None:
    page = PAGE.read_text()
    share = {method for method, api in NEEDS.items() if "SHARE" in api}
    named = {method for method in NEEDS if f"`{method}`" in page}
    unserved = {method for method, api in NEEDS.items() if api not in {key.name for key in SERVED}}
    assert named == unserved - share, "the table of what is not served"

"""The Java client's driver, compiled when its source changed."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.compat.line_driver import LineDriver, LineMember
from tests.harness.brokers import BrokerFailed, cache_directory, java_command, kafka_libraries

SOURCES = Path(__file__).with_name("java")


class JavaDriver(LineDriver):
    name = "java"

    def command(self) -> list[str]:
        return [*java_command("-Xmx256m", classpath=(compiled(),)), "Driver"]

    def join_rolling(self, group: str, topic: str, is_assigned_by_broker: bool, cooperative: bool) -> LineMember:
        """A member that commits by itself, of the consumer protocol or of the classic one."""
        number = self.ask(
            "join",
            group=group,
            topic=topic,
            instance_id=None,
            cooperative=cooperative,
            is_assigned_by_broker=is_assigned_by_broker,
            commits_by_itself=True,
            session_timeout_ms=60_000,  # a busy member that was thrown out would read twice
            heartbeat_interval_ms=300,
        )
        return LineMember(self, number)


def streams_libraries() -> Path:
    """The folder of Kafka Streams' jars; BrokerFailed with the cure when it is not there."""
    libraries = cache_directory() / "streams-libs"
    if not any(libraries.glob("kafka-streams-*.jar")):
        raise BrokerFailed(f"no Kafka Streams in {libraries}: run tools/compat.sh, or tools/compat_install.py streams")
    return libraries


def compiled(folder: Path = SOURCES, *libraries: Path) -> Path:
    """The folder of the compiled sources; each state of the sources has its own."""
    sources = sorted(folder.glob("*.java"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    classes = cache_directory() / "java-classes" / digest
    if not (classes / "done").exists():
        classes.parent.mkdir(parents=True, exist_ok=True)
        classpath = os.pathsep.join(f"{each}/*" for each in (kafka_libraries(), *libraries))
        # Apart, and then in their place at once: another worker may be at the same.
        made = Path(tempfile.mkdtemp(dir=classes.parent))
        subprocess.run(["javac", "-nowarn", "-cp", classpath, "-d", str(made), *map(str, sources)], check=True)
        (made / "done").touch()
        try:
            made.rename(classes)
        except OSError:  # it is there: another worker's, or what an earlier run left half made
            shutil.copytree(made, classes, dirs_exist_ok=True)
            shutil.rmtree(made)
    return classes

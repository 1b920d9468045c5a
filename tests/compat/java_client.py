"""The Java client's driver, compiled when its source changed."""

import hashlib
import os
import subprocess
from pathlib import Path

from tests.compat.line_driver import LineDriver
from tests.harness.brokers import BrokerFailed, cache_directory, java_command, kafka_libraries

SOURCES = Path(__file__).with_name("java")


class JavaDriver(LineDriver):
    name = "java"

    def command(self) -> list[str]:
        return [*java_command("-Xmx256m", classpath=(compiled(),)), "Driver"]


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
        classes.mkdir(parents=True, exist_ok=True)
        classpath = os.pathsep.join(f"{each}/*" for each in (kafka_libraries(), *libraries))
        command = ["javac", "-nowarn", "-cp", classpath, "-d", str(classes), *map(str, sources)]
        subprocess.run(command, check=True)
        (classes / "done").touch()
    return classes

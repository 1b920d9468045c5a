"""The Java client's driver, compiled when its source changed."""

import hashlib
import subprocess
from pathlib import Path

from tests.compat.line_driver import LineDriver
from tests.harness.brokers import cache_directory, java_command, kafka_libraries

SOURCES = Path(__file__).with_name("java")


class JavaDriver(LineDriver):
    name = "java"

    def command(self) -> list[str]:
        return [*java_command("-Xmx256m", classpath=(compiled(),)), "Driver"]


def compiled() -> Path:
    """The folder of the compiled sources; each state of the sources has its own."""
    sources = sorted(SOURCES.glob("*.java"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    classes = cache_directory() / "java-classes" / digest
    if not (classes / "done").exists():
        classes.mkdir(parents=True, exist_ok=True)
        command = ["javac", "-nowarn", "-cp", f"{kafka_libraries()}/*", "-d", str(classes), *map(str, sources)]
        subprocess.run(command, check=True)
        (classes / "done").touch()
    return classes

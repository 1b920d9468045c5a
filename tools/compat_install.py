"""Installs what tests/compat is judged by: Apache Kafka's jars, kafkajs, kcat, etcd; a JVM, Node, Go, Chromium, network
tools.

Every step is idempotent, takes what is there already, and fails loudly. It needs Linux with `apt-get` and root for
what is missing; everything but Debian packages goes to the cache directory (see `tests/harness/brokers.py`).

    python tools/compat_install.py [debian] [kafka] [streams] [quix] [kafkajs] [kafka-python]   (none: all)
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
COMPAT = REPOSITORY / "tests" / "compat"
sys.path.insert(0, str(REPOSITORY))

from tests.harness.brokers import cache_directory  # noqa: E402

OLDEST_JAVA = 17
OLDEST_NODE = 18
DEBIAN_TOOLS = (("mvn", "maven"), ("npm", "npm"), ("kcat", "kcat"), ("etcd", "etcd-server"))
DEBIAN_TOOLS += (
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("go", "golang-go"),
    ("prometheus", "prometheus"),
    ("chromium", "chromium"),
)


def main(wanted: list[str]) -> None:
    """Install the parts named, in order."""
    parts = {"debian": debian, "kafka": kafka, "streams": streams, "quix": quix}
    parts |= {"kafkajs": kafkajs, "kafka-python": kafka_python_sources}
    unknown = set(wanted) - set(parts)
    if unknown:
        raise SystemExit(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    for name in wanted or list(parts):
        parts[name]()


def debian() -> None:
    """A JDK, Maven, Node, Go, kcat, etcd, Prometheus, Chromium and tools for networks: what is missing or too old."""
    missing = []
    if major_version(["javac", "-version"]) < OLDEST_JAVA:
        missing.append("openjdk-17-jdk-headless")
    if major_version(["node", "--version"]) < OLDEST_NODE:
        missing.append("nodejs")
    missing += [name for tool, name in DEBIAN_TOOLS if not shutil.which(tool)]
    if missing:
        run(["apt-get", "update", "-q"])
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing])
    if major_version(["javac", "-version"]) < OLDEST_JAVA or major_version(["node", "--version"]) < OLDEST_NODE:
        raise SystemExit(f"need JDK {OLDEST_JAVA} and Node {OLDEST_NODE} or later")


def kafka() -> None:
    """Kafka's broker, clients and tools with all they need, as tests/compat/java/pom.xml lists them."""
    copy_jars(COMPAT / "java" / "pom.xml", cache_directory() / "kafka-libs")


def streams() -> None:
    """Kafka Streams, its store, Connect's file connectors, MirrorMaker; what else they need, `kafka` has installed."""
    only = "-DincludeArtifactIds=kafka-streams,rocksdbjni,connect-file,connect-mirror,connect-mirror-client"
    copy_jars(COMPAT / "java" / "streams" / "pom.xml", cache_directory() / "streams-libs", only)


def copy_jars(pom: Path, libraries: Path, *options: str) -> None:
    """Lay the jars a pom lists in a folder."""
    if is_current(libraries, pom):
        return
    shutil.rmtree(libraries, ignore_errors=True)
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libraries}", *options]
    run(["mvn", "-q", "-B", "-f", str(pom), *copy])
    mark_current(libraries, pom)


def quix() -> None:
    """Quix Streams in a virtual environment of its own: it pins the client it brings."""
    requirements = COMPAT / "quix" / "requirements.txt"
    environment = cache_directory() / "quix"
    if is_current(environment, requirements):
        return
    run([sys.executable, "-m", "venv", "--clear", str(environment)])
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "-r", str(requirements)])
    mark_current(environment, requirements)


def kafkajs() -> None:
    """kafkajs and its codecs, as tests/compat/node/package.json pins them."""
    package = COMPAT / "node" / "package.json"
    modules = cache_directory() / "node"
    if is_current(modules, package):
        return
    shutil.rmtree(modules, ignore_errors=True)
    modules.mkdir(parents=True)
    shutil.copy(package, modules)
    run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], modules)
    mark_current(modules, package)


def kafka_python_sources() -> None:
    """kafka-python's source distribution, of the version that is installed: it carries the integration tests."""
    from importlib.metadata import version

    release = version("kafka-python")
    sources = cache_directory() / f"kafka-python-{release}"
    if (sources / "test").is_dir():
        return
    download = cache_directory() / "download"
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir(parents=True)
    wanted = ["--no-deps", "--no-binary", ":all:", f"kafka-python=={release}"]
    run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", str(download), *wanted])
    [archive] = download.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(download, filter="data")
    [unpacked] = [path for path in download.iterdir() if path.is_dir()]
    unpacked.replace(sources)


def major_version(command: list[str]) -> int:
    """The first number a tool says of itself; 0 when it is not there."""
    if shutil.which(command[0]) is None:
        return 0
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"\d+", said.stdout + said.stderr)
    return int(found[0]) if found else 0


def is_current(directory: Path, source: Path) -> bool:
    """Whether `directory` was filled from what `source` says now."""
    mark = directory / ".made-from"
    return mark.exists() and mark.read_text() == digest(source)


def mark_current(directory: Path, source: Path) -> None:
    """Written last, so that a download cut short is begun again."""
    (directory / ".made-from").write_text(digest(source))


def digest(source: Path) -> str:
    """What tells two contents of a file apart."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def run(command: list[str], directory: Path | None = None) -> None:
    """Run one step in sight of the user; the first that fails ends it all."""
    print("+", " ".join(command), flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    finished = subprocess.run(command, cwd=directory, env=environment, check=False)
    if finished.returncode != 0:
        raise SystemExit(f"failed with status {finished.returncode}: {' '.join(command)}")


if __name__ == "__main__":
    main(sys.argv[1:])

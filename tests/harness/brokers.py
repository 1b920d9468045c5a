"""Real broker processes for tests: Tailrace, or Apache Kafka as the oracle the tests themselves are judged by.

Invariant: a broker keeps its data directory and its port from the first start to the last, so a client that was
connected before a `kill -9` finds the same broker after the restart.
It installs nothing (`tools/compat_install.py` does) and knows no client.

The environment variable TAILRACE_COMPAT_BROKER chooses: `tailrace` (the default) or `kafka`.
"""

import base64
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

START_TIMEOUT_S = 180.0
ORACLE_STARTS = 3
"""How often Apache Kafka is started, where it ends by itself before it is ready; what it said is told each time."""
STOP_TIMEOUT_S = 120.0
CHOSEN_PORTS = (12_000, 32_000)
"""Below what Linux, macOS and Windows give to connections."""
LOG_TAIL_BYTES = 8_192
COMPLAINT = re.compile(r"^.*(?:\b(?:ERROR|FATAL)\b|Exception\b).*$", re.MULTILINE)
COMPLAINTS_TOLD = 10

# Both brokers are started with these, so that their answers can be compared.
COMMON_SETTINGS = {
    "num.partitions": "1",
    "offsets.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
}


class BrokerFailed(Exception):
    """A broker did not start or did not stop; the message ends with what it last wrote."""


class BrokerProcess:
    """One broker process on one data directory and, after its first start, one port."""

    name = "?"
    # How long after DeleteRecords a crash may still bring the records back.
    LOG_START_CHECKPOINT_S = 0.0

    def __init__(self, directory: Path, settings: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.settings = {**COMMON_SETTINGS, **(settings or {})}
        self.log_path = directory / "broker.log"
        self.host = "127.0.0.1"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """`host:port`, the bootstrap address."""
        return f"{self.host}:{self.port}"

    @property
    def data_directory(self) -> Path:
        """Where the partition folders (`topic-0`, ...) are."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the process and return once it answers; BrokerFailed with its complaints and last words otherwise."""
        assert self.process is None, "already running"
        command = self._command()
        offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self._environment()
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready(self._written_since(offset)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                ended = self.process.poll()
                self.kill()
                how = f"ended with {ended}" if ended is not None else f"took more than {START_TIMEOUT_S} s"
                complaints = COMPLAINT.findall(self._written_since(offset))[:COMPLAINTS_TOLD]
                said = "\n".join([*complaints, "its last words:", self.log_tail()])
                raise BrokerFailed(f"{self.name} {how} before it was ready: {' '.join(command)}\n{said}")
            time.sleep(0.02)

    def kill(self) -> None:
        """`kill -9`: nothing is flushed, nothing is closed."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """SIGTERM; the exit status. BrokerFailed when it does not stop in time."""
        assert self.process is not None, "not running"
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokerFailed(f"{self.name} did not stop in {STOP_TIMEOUT_S} s\n{self.log_tail()}") from None
        self.process = None
        return status

    def pause(self) -> None:
        """SIGSTOP: it holds everything and does nothing."""
        assert self.process is not None, "not running"
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End `pause`."""
        assert self.process is not None, "not running"
        self.process.send_signal(signal.SIGCONT)

    def kill_and_restart(self) -> None:
        """Crash the process and start it on the same data and port."""
        self.kill()
        self.start()

    def log_tail(self) -> str:
        """The last of what the process wrote, over all its lives."""
        return self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if self.log_path.exists() else ""

    def _written_since(self, offset: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _ready(self, written: str) -> bool:
        raise NotImplementedError


class TailraceProcess(BrokerProcess):
    """`tailrace serve` in a process of its own."""

    name = "tailrace"
    READY = re.compile(r"^tailrace ready kafka=(\S+):(\d+) data=", re.MULTILINE)

    @property
    def data_directory(self) -> Path:
        return self.directory / "data"

    def _command(self) -> list[str]:
        if self.port == 0:
            # Not port 0: its number could be that of a client's connection while the broker is down.
            (self.port,) = free_ports(1)
        command = [sys.executable, "-m", "tailrace", "serve", "--listen", self.address]
        command += ["--data-dir", str(self.data_directory)]
        for name, value in {"http.listen": "", **self.settings}.items():
            command += ["--set", f"{name}={value}"]
        return command

    def _environment(self) -> dict[str, str]:
        return tailrace_environment()

    def _ready(self, written: str) -> bool:
        found = self.READY.search(written)
        if found is None:
            return False
        self.port = int(found[2])
        return True


class KafkaProcess(BrokerProcess):
    """Apache Kafka from its Maven artifacts: one node that is broker and KRaft controller.

    The port is chosen here and not by port 0, because Kafka must be told the address it advertises.
    """

    name = "kafka"
    HEAP = ("-Xms256m", "-Xmx512m")
    LOG_START_CHECKPOINT_S = 1.5

    @property
    def data_directory(self) -> Path:
        return self.directory / "data"

    def start(self) -> None:
        """Start it as any broker; one that ends while it starts, which is no fault of what is tested, is started again.

        One that never ran gets other ports and an empty directory.
        """
        is_new = self.port == 0
        for attempt in range(1, ORACLE_STARTS + 1):
            try:
                super().start()
                break
            except BrokerFailed as failed:
                if attempt == ORACLE_STARTS:
                    raise
                print(f"start {attempt} of {ORACLE_STARTS}: {failed}")
                if is_new:
                    self.port = 0
                    shutil.rmtree(self.data_directory, ignore_errors=True)

    def _command(self) -> list[str]:
        if self.port == 0:
            self.port, self.controller_port = free_ports(2)
            self._format()
        return [*java_command(*self.HEAP, log_level="INFO"), "kafka.Kafka", str(self._properties_path())]

    def _ready(self, written: str) -> bool:
        return "Kafka Server started" in written

    def _properties_path(self) -> Path:
        return self.directory / "server.properties"

    def write_properties(self) -> None:
        """Write `server.properties`: for a directory that is formatted already, before the first start."""
        self._properties_path().write_text("".join(f"{k}={v}\n" for k, v in self._properties().items()))

    def _format(self) -> None:
        self.write_properties()
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        # A leading dash would read as an option.
        arguments = ["format", "--standalone", f"--cluster-id={cluster_id}", "-c", str(self._properties_path())]
        # With this feature a cluster has a dynamic min.insync.replicas of its own, which no other broker shows.
        arguments += ["--feature", "eligible.leader.replicas.version=0"]
        command = [*java_command("-Xmx256m"), "kafka.tools.StorageTool", *arguments]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
        if finished.returncode != 0:
            raise BrokerFailed(f"cannot format Kafka's directory:\n{finished.stdout}{finished.stderr}")

    def _properties(self) -> dict[str, str]:
        listeners = f"PLAINTEXT://{self.host}:{self.port},CONTROLLER://{self.host}:{self.controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"{self.host}:{self.controller_port}",
            "listeners": listeners,
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.data_directory),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "log.initial.task.delay.ms": "500",
            "log.flush.start.offset.checkpoint.interval.ms": "500",
            # Kafka keeps a crashed broker's registration for this long and fences the new one meanwhile.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            **self.settings,
        }


def tailrace_environment() -> dict[str, str]:
    """In which `python -m tailrace` is the one of this checkout."""
    source = str(Path(__file__).resolve().parents[2] / "src")
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{inherited}" if inherited else source}


def cache_directory() -> Path:
    """Where `tools/compat_install.py` puts what it fetches: TAILRACE_COMPAT_CACHE, or a folder of the user's cache."""
    chosen = os.environ.get("TAILRACE_COMPAT_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailrace-compat"


def kafka_libraries() -> Path:
    """The folder of Kafka's jars; BrokerFailed with the cure when it is not there."""
    libraries = cache_directory() / "kafka-libs"
    if not any(libraries.glob("kafka_2.13-*.jar")):
        raise BrokerFailed(f"no Apache Kafka in {libraries}: run tools/compat.sh, or tools/compat_install.py kafka")
    return libraries


def java_command(*options: str, log_level: str = "WARN", classpath: tuple[Path, ...] = ()) -> list[str]:
    """`java` with Kafka's classpath and a console log at `log_level` (stderr stays free of banners)."""
    configuration = Path(__file__).with_name("log4j2.properties")
    entries = [str(path) for path in classpath] + [f"{kafka_libraries()}/*"]
    flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]
    logging = [f"-Dlog4j2.configurationFile={configuration}", f"-Dtailrace.log.level={log_level}"]
    return ["java", *flags, *options, *logging, "-cp", os.pathsep.join(entries)]


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, of those that no connection and no `port 0` gets: they stay free for a restart.

    Another process that chooses in the same way takes one of them meanwhile once in ten thousand times: the broker then
    fails loudly.
    """
    found: list[int] = []
    chance = random.SystemRandom()  # tests that set a seed would choose the same
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port = chance.randrange(*CHOSEN_PORTS)
            opened = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                opened.bind(("127.0.0.1", port))
                found.append(port)
    return found


def chosen_broker() -> type[BrokerProcess]:
    """The kind of broker this run is about."""
    kinds: dict[str, type[BrokerProcess]] = {"tailrace": TailraceProcess, "kafka": KafkaProcess}
    return kinds[os.environ.get("TAILRACE_COMPAT_BROKER", "tailrace")]

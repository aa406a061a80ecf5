"""A Kafka broker of one node as a process of ours: on loopback, stopped when we stop.

It is a Java program from Maven Central, broker and controller in one (KRaft). Its jars come from
our cache, which Maven fills once. Ready means that the broker says so itself: it listens before
its own controller knows it, and a client would be told then that there is no broker.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from typing_extensions import override

from adapters.processes.cache import WayFailedError, alone, cache_dir
from adapters.processes.child import Child
from adapters.processes.maven import fetch_jars
from adapters.processes.ports import LOOPBACK, free_ports
from adapters.processes.served import ServedChild
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.processes.cache import Progress

VERSION = "4.3.1"
_ARTIFACTS = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3",
)
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_START_SECONDS = 180.0
_FORMAT_SECONDS = 60.0
_STOP_SECONDS = 10.0
_ATTEMPTS = 3
_READY = "Kafka Server started"
_HINT = "install Java (17 or newer) and Maven, or name a broker that runs"
#: Warnings, and the one line that tells that it is ready.
_LOGGING = """status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.ready.name = kafka.server.KafkaRaftServer
logger.ready.level = info
"""


def is_there() -> bool:
    """Whether the jars are in the cache, and Java to run them on PATH."""
    return _has_jars(_cached()) and shutil.which("java") is not None


def find_or_install(progress: Progress) -> list[str]:
    """The command that runs a class of Kafka's; the class and its arguments come after it.

    Args:
        progress: Told in a sentence what is going on when it has to be fetched.

    Raises:
        UnreachableError: There are no jars and no way to get them, or no Java.
    """
    folder = _cached()
    java = shutil.which("java")
    if java is None:
        raise _nothing_to_run("`java` is not on PATH")
    if not _has_jars(folder):
        with alone(folder.parent, service="Kafka", what="Kafka", progress=progress):
            if not _has_jars(folder):  # another process may have made it while we waited
                progress(f"fetching Kafka {VERSION} with Maven, once")
                try:
                    fetch_jars(_ARTIFACTS, folder, is_complete=_has_jars)
                except WayFailedError as failure:
                    raise _nothing_to_run(str(failure)) from None
    return [java, *_JVM, "-cp", str(folder / "*")]


class KafkaServer(ServedChild):
    """A broker. A context manager; ``start`` and ``stop`` do the same.

    Started again after a stop it has the same address and all that was written.

    Args:
        folder: Of its data, its settings and its log (``kafka.log``); made if need be.
        port: Where clients connect; a free one, the same at each start, if None.
        options: Kafka's own settings, over ours.
        progress: Told what is going on when its jars have to be fetched.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self.folder = folder.absolute()
        self.log_file = self.folder / "kafka.log"
        self._options = dict(options or {})
        self._progress = progress
        self._wanted_port = port
        self._ports: tuple[int, int] | None = None

    @property
    def address(self) -> str:
        """``host:port``, the bootstrap server, once it has started for the first time."""
        if self._ports is None:
            raise RuntimeError("the broker has not started")
        return f"{LOOPBACK}:{self._ports[0]}"

    @override
    def start(self) -> Self:
        """Start it, and wait until it serves. One that runs stays as it is.

        Raises:
            UnreachableError: There is none, or it does not start; the message says why.
        """
        if self._child is not None and self._child.poll() is None:
            return self
        command = find_or_install(self._progress)
        keeps_ports = self._ports is not None
        for attempt in range(1, _ATTEMPTS + 1):
            if self._ports is None:
                broker, controller = free_ports(2)
                self._ports = (self._wanted_port or broker, controller)
            failure = self._try_start(command, *self._ports)
            if failure is None:
                return self
            if attempt == _ATTEMPTS or "in use" not in failure:
                raise UnreachableError(
                    "Kafka",
                    f"Kafka does not start: {_telling_line(failure)}",
                    hint=f"see {self.log_file}",
                )
            if not keeps_ports:
                self._ports = None
        raise AssertionError("the last attempt raises")

    def _try_start(self, command: Sequence[str], port: int, controller: int) -> str | None:
        """Start it once. None if it serves, else what it wrote."""
        self.folder.mkdir(parents=True, exist_ok=True)
        written = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._write_settings(port, controller)
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        java, *options = command
        settings = self.folder / "server.properties"
        if not (self.folder / "data" / "meta.properties").exists():
            self._format([java, logging, *options], settings)
        child = Child(
            [java, logging, *options, "kafka.Kafka", settings],
            cwd=self.folder,
            log=self.log_file,
            grace=_STOP_SECONDS,
        )
        deadline = time.monotonic() + _START_SECONDS
        try:
            while child.poll() is None and time.monotonic() < deadline:
                if _READY in self._said(written):
                    self._child = child
                    return None
                time.sleep(0.05)
            return self._said(written) or "it wrote nothing into its log"
        finally:
            if self._child is not child:
                child.stop()

    def _said(self, since: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def _format(self, command: Sequence[str], settings: Path) -> None:
        """Makes its data folder, which it does not do by itself."""
        cluster = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        arguments = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)]
        try:
            done = subprocess.run(  # noqa: S603 (a list, no shell)
                [*command, *arguments],
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=_FORMAT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnreachableError("Kafka", "Kafka cannot format its data folder in time") from None
        if done.returncode != 0:
            reason = _telling_line(done.stderr + done.stdout)
            raise UnreachableError("Kafka", f"Kafka cannot format its data folder: {reason}")

    def _write_settings(self, port: int, controller: int) -> None:
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "group.initial.rebalance.delay.ms": "0",
            **dict.fromkeys(_SINGLE, "1"),
            **self._options,
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.folder / "server.properties").write_text("".join(lines))
        (self.folder / "log4j2.properties").write_text(_LOGGING)


#: What a cluster has several of.
_SINGLE = (
    "offsets.topic.num.partitions",
    "offsets.topic.replication.factor",
    "transaction.state.log.num.partitions",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.num.partitions",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
)


def _cached() -> Path:
    return cache_dir() / "kafka" / VERSION


def _nothing_to_run(reason: str) -> UnreachableError:
    return UnreachableError("Kafka", f"there is no Kafka to run: {reason}", hint=_HINT)


def _has_jars(folder: Path) -> bool:
    return any(folder.glob("kafka_2.13-*.jar")) and any(folder.glob("log4j-slf4j-impl-*.jar"))


def _telling_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "Exception" in line or "ERROR" in line or "FATAL" in line]
    return (telling or lines or ["it ended without a word"])[0][:500]

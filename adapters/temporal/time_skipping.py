"""Temporal's test server, whose clock skips to whatever happens next, as a process of ours.

It is a Java program from Maven Central. Where it comes from, in this order: the folder of jars in
``STEPLOOM_TEST_SERVER_JARS``, our cache, Maven into our cache, downloaded (as a native program) by
Temporal's SDK into our cache. ``STEPLOOM_TEST_SERVER_ADDRESS`` names one that runs already.

It listens on every address of the machine and cannot be told otherwise, so it should live no
longer than it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from typing_extensions import override

from adapters.processes.cache import WayFailedError, alone, cache_dir
from adapters.processes.child import Child
from adapters.processes.maven import fetch_jars
from adapters.processes.ports import LOOPBACK, free_ports
from adapters.processes.served import ServedChild
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from adapters.processes.cache import Progress

VERSION = "1.38.0"
_MAIN = "io.temporal.testserver.TestServer"
_WHAT = "Temporal's test server"
#: It lives for seconds to minutes: a quick start and little memory are worth more than speed.
_JVM = ("-Xmx512m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_DOWNLOAD_SECONDS = 300.0
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_ATTEMPTS = 3
_HINT = (
    "install Java (11 or newer) and Maven, or set STEPLOOM_TEST_SERVER_JARS to a folder with "
    f"temporal-test-server {VERSION} and what it depends on, or STEPLOOM_TEST_SERVER_ADDRESS to "
    "the host:port of one that runs"
)


def find_or_install(progress: Progress) -> list[str]:
    """The command that runs the server; its port comes after it.

    Args:
        progress: Told in a sentence what is going on when it has to be fetched.

    Raises:
        UnreachableError: No way worked; the message has the reason of each.
    """
    named = os.environ.get("STEPLOOM_TEST_SERVER_JARS")
    if named:
        return _named(Path(named))
    folder = _cached()
    found = _command(folder)
    if found is not None:
        return found
    reasons: list[str] = []
    with alone(folder.parent, service="Temporal", what=_WHAT, progress=progress):
        found = _command(folder)  # another process may have made it while we waited
        if found is not None:
            return found
        for way in (_fetch_with_maven, _download_with_sdk):
            try:
                way(folder, progress)
            except WayFailedError as failure:
                reasons.append(str(failure))
                progress(str(failure))
                continue
            found = _command(folder)
            if found is not None:
                return found
    raise UnreachableError(
        "Temporal", "there is no Temporal test server to run: " + "; ".join(reasons), hint=_HINT
    )


class TimeSkippingServer(ServedChild):
    """The test server. A context manager; ``start`` and ``stop`` do the same.

    Its clock is locked at first: it goes on as any other until somebody unlocks it.
    """

    def __init__(
        self, progress: Progress = lambda _: None, *, log_file: Path | None = None
    ) -> None:
        self._progress = progress
        name = f"steploom-test-server-{os.getpid()}.log"
        self._log_file = log_file or Path(tempfile.gettempdir()) / name
        self._address: str | None = None

    @property
    def address(self) -> str:
        """``host:port``, once it has started."""
        if self._address is None:
            raise RuntimeError("the server has not started")
        return self._address

    @override
    def start(self) -> Self:
        """Starts it, unless one was named that runs, and waits until it listens.

        Raises:
            UnreachableError: There is none, or it does not start.
        """
        named = os.environ.get("STEPLOOM_TEST_SERVER_ADDRESS")
        if named:
            self._address = named
            return self
        command = find_or_install(self._progress)
        for attempt in range(1, _ATTEMPTS + 1):
            (port,) = free_ports(1)
            self._log_file.unlink(missing_ok=True)
            self._child = Child([*command, str(port)], log=self._log_file, grace=_STOP_SECONDS)
            if self._listens(self._child, port):
                self._address = f"{LOOPBACK}:{port}"
                return self
            tail = self._child.log_tail()
            self.stop()
            if attempt == _ATTEMPTS or "in use" not in tail:
                lines = tail.splitlines() or ["it ended without a word"]
                raise UnreachableError(
                    "Temporal",
                    f"Temporal's test server does not start: {lines[0][:300]}",
                    hint=f"see {self._log_file}; {_HINT}",
                )
        raise AssertionError("the last attempt raises")

    @override
    def stop(self) -> None:
        """Stops it, if it is ours. Twice does no harm."""
        if self._child is not None:
            # It keeps nothing that would be lost.
            self._child.kill()
            self._child = None
            self._log_file.unlink(missing_ok=True)

    def _listens(self, child: Child, port: int) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1.0):
                return True
            time.sleep(0.02)
        return False


def _cached() -> Path:
    return cache_dir() / "temporal-test-server" / VERSION


def _command(folder: Path) -> list[str] | None:
    """The command for what is in a folder: a native program, or the jars with Java."""
    program = folder / "temporal-test-server"
    if os.access(program, os.X_OK):
        return [str(program)]
    java = shutil.which("java")
    if java is None or not any(folder.glob("temporal-test-server-*.jar")):
        return None
    return [java, *_JVM, "-cp", str(folder / "*"), _MAIN]


def _named(folder: Path) -> list[str]:
    found = _command(folder)
    if found is not None:
        return found
    reason = "has no temporal-test-server-*.jar"
    if shutil.which("java") is None:
        reason = "needs Java, and there is none on PATH"
    raise UnreachableError(
        "Temporal", f"STEPLOOM_TEST_SERVER_JARS names {folder}, which {reason}", hint=_HINT
    )


def _fetch_with_maven(target: Path, progress: Progress) -> None:
    progress(f"fetching {_WHAT} {VERSION} with Maven, once")
    fetch_jars(
        [f"io.temporal:temporal-test-server:{VERSION}"],
        target,
        is_complete=lambda folder: _command(folder) is not None,
    )


def _download_with_sdk(target: Path, progress: Progress) -> None:
    """Lets the SDK download the program. It does so only as part of starting a server."""
    if platform.machine() not in {"x86_64", "AMD64", "arm64"}:
        raise WayFailedError(f"Temporal's SDK has none for {platform.machine()} to download")
    progress("downloading Temporal's test server with Temporal's SDK")
    folder = target.parent / f"download.{os.getpid()}"
    folder.mkdir()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(asyncio.wait_for(_start_and_stop(folder), _DOWNLOAD_SECONDS))
        except Exception as error:  # noqa: BLE001 (the SDK's own errors are RuntimeErrors and more)
            failures.append(error)

    try:
        # A thread, for whoever calls us may have an event loop already.
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failures:
            reason = str(failures[0]).splitlines() or [type(failures[0]).__name__]
            raise WayFailedError(f"downloading it failed: {reason[0][:300]}")
        made = next((file for file in folder.glob("temporal*") if os.access(file, os.X_OK)), None)
        if made is None:
            raise WayFailedError("downloading it left no program behind")
        target.mkdir(exist_ok=True)
        made.rename(target / "temporal-test-server")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _start_and_stop(folder: Path) -> None:
    # Imported here: the SDK takes half a second to load, and is needed in this rare case alone.
    from temporalio.testing import WorkflowEnvironment  # noqa: PLC0415

    environment = await WorkflowEnvironment.start_time_skipping(download_dest_dir=str(folder))
    await environment.shutdown()

"""Temporal's development server as a process of ours: on loopback, stopped when we stop.

Ready means that its namespace answers, not that a port is open: the server opens its ports before
it has made its namespaces.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from adapters.processes.child import Child
from adapters.processes.ports import LOOPBACK, free_ports
from adapters.processes.served import ServedChild
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_ATTEMPTS = 3


class TemporalServer(ServedChild):
    """``temporal server start-dev``. A context manager; ``start`` and ``stop`` do the same.

    Args:
        binary: The ``temporal`` program.
        db_file: Where it keeps its data between starts; in memory if None.
        port: Of its gRPC frontend; a free one if None.
        ui_port: Of its web UI; a free one if None.
        namespace: Made at the start, beside ``default``.
        search_attributes: Names and types (``Keyword``, ``Int``, …) to register at the start.
        headless: Without the web UI.
        dynamic_config: Temporal's dynamic configuration; any JSON values.
        log_file: Where it writes; beside ``db_file``, or in the temporary folder, if None.
    """

    def __init__(
        self,
        binary: Path,
        *,
        db_file: Path | None = None,
        port: int | None = None,
        ui_port: int | None = None,
        namespace: str = "default",
        search_attributes: Mapping[str, str] | None = None,
        headless: bool = False,
        dynamic_config: Mapping[str, Any] | None = None,
        log_file: Path | None = None,
    ) -> None:
        self.binary = binary
        self.namespace = namespace
        self.db_file = db_file.absolute() if db_file else None
        self.headless = headless
        self.log_file = log_file or _default_log(self.db_file)
        self._wanted = (port, ui_port)
        self._search_attributes = dict(search_attributes or {})
        self._dynamic_config = dict(dynamic_config or {})
        self._port: int | None = None
        self._ui_port: int | None = None
        self._http_port = 0
        self._log_start = 0

    @property
    def address(self) -> str:
        """``host:port`` of the frontend, once it has started."""
        if self._port is None:
            raise RuntimeError("the server has not started")
        return f"{LOOPBACK}:{self._port}"

    @property
    def ui_url(self) -> str | None:
        """The web UI; None if headless."""
        return None if self._ui_port is None else f"http://{LOOPBACK}:{self._ui_port}"

    @override
    def start(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            UnreachableError: It does not start; the message says why, the hint what to do.
        """
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> None:
        """Start it and return at once, for those who have something else to start meanwhile."""
        port, ui_port = self._wanted
        free, free_ui, self._http_port, metrics = free_ports(4)
        self._port = port or free
        self._ui_port = None if self.headless else (ui_port or free_ui)
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        try:
            with contextlib.ExitStack() as held:
                lock = [] if self.db_file is None else [held.enter_context(_locked(self.db_file))]
                self._child = Child(
                    [self.binary, *self._arguments(metrics)],
                    # A profile of the user's (TEMPORAL_ADDRESS, TEMPORAL_TLS, …) is for clients.
                    env={k: v for k, v in os.environ.items() if not k.startswith("TEMPORAL_")},
                    log=self.log_file,
                    stop_signal=signal.SIGTERM,
                    grace=_STOP_SECONDS,
                    keep_open=lock,
                )
        except OSError as error:
            raise UnreachableError(
                "Temporal",
                f"Temporal's development server cannot be started: {error}",
                hint="choose a folder for its data and its log that can be written, or set "
                "STEPLOOM_TEMPORAL_ADDRESS to a server that runs",
            ) from error

    def wait_until_ready(self) -> None:
        """Wait until its namespace answers; with other ports if one was taken meanwhile.

        Raises:
            UnreachableError: It has ended, or does not answer in time.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            if self._wait_once():
                return
            tail = self._child.log_tail(self._log_start) if self._child else ""
            self.stop()
            if attempt == _ATTEMPTS or "address already in use" not in tail:
                reason = _telling_line(tail)
                raise UnreachableError(
                    "Temporal",
                    f"Temporal's development server does not start: {reason}",
                    hint=f"see {self.log_file}, or set STEPLOOM_TEMPORAL_ADDRESS to a server that "
                    "runs",
                )
            self.launch()

    def _arguments(self, metrics_port: int) -> list[str]:
        arguments = [
            "server",
            "start-dev",
            f"--ip={LOOPBACK}",
            f"--port={self._port}",
            f"--http-port={self._http_port}",
            f"--metrics-port={metrics_port}",
            f"--namespace={self.namespace}",
            "--log-level=warn",
            "--color=never",
        ]
        if self._ui_port is None:
            arguments.append("--headless")
        else:
            arguments.append(f"--ui-port={self._ui_port}")
        if self.db_file is not None:
            arguments.append(f"--db-filename={self.db_file}")
        for name, kind in self._search_attributes.items():
            arguments.append(f"--search-attribute={name}={kind}")
        for name, value in self._dynamic_config.items():
            arguments.append(f"--dynamic-config-value={name}={json.dumps(value)}")
        return arguments

    def _wait_once(self) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.poll() is None:
            if self._answers():
                return True
            time.sleep(0.05)
        return False

    def _answers(self) -> bool:
        """Ask for the namespace through the HTTP API: no gRPC client, no event loop, no proxy."""
        connection = http.client.HTTPConnection(LOOPBACK, self._http_port, timeout=5)
        try:
            connection.request("GET", f"/api/v1/namespaces/{self.namespace}")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextlib.contextmanager
def _locked(db_file: Path) -> Iterator[int]:
    """A lock on the data, for the server to inherit, so that two never write into one file.

    One whose parent was killed takes a second or two to stop; a new one waits for it.
    """
    db_file.parent.mkdir(parents=True, exist_ok=True)
    with db_file.with_name(f"{db_file.name}.lock").open("w") as lock:
        deadline = time.monotonic() + _STOP_SECONDS + 5.0
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnreachableError(
                        "Temporal",
                        f"another Temporal server uses {db_file}",
                        hint="stop the `steploom dev` that started it, or choose another folder "
                        "with --data-dir",
                    ) from None
                time.sleep(0.05)
        yield lock.fileno()


def _default_log(db_file: Path | None) -> Path:
    if db_file is not None:
        return db_file.with_suffix(".log")
    return Path(tempfile.gettempdir()) / f"steploom-temporal-{os.getpid()}.log"


def _telling_line(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return (telling or lines or ["it ended without a word"])[-1][:500]

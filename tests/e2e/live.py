"""A ``steploom dev`` that runs, and the ways to talk to it: our command line, Temporal's, SQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from adapters.temporal.binary import find_or_install_temporal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
_READY = 120.0


@contextmanager
def work_folder() -> Iterator[Path]:
    """An empty folder with a space in its name, away from any repository."""
    # Not pytest's: only its owner can enter that, and Postgres never runs as root.
    folder = Path(tempfile.mkdtemp(prefix="steploom e2e "))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def environment(**more: str) -> dict[str, str]:
    """Ours, with nothing in it that leads to other services."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"STEPLOOM_POSTGRES_BIN", "TEMPORAL_CLI_PATH"}
        or not name.startswith(("STEPLOOM_", "TEMPORAL_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **more}


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Its result."""
        return json.loads(self.stdout)

    @property
    def error(self) -> dict[str, Any]:
        """Its error, for ``--output json``."""
        value: dict[str, Any] = json.loads(self.stderr.splitlines()[-1])["error"]
        return value


def run_steploom(folder: Path, *args: str, timeout: float = 120) -> Done:
    """Runs a command in a folder, without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "steploom", *args],
        cwd=folder,
        env=environment(USER="tester"),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Live:
    """A running stack. ``info`` is its ``.steploom/dev.json``."""

    folder: Path
    info: dict[str, Any]
    temporal_binary: Path

    def steploom(self, *args: str, code: int = 0) -> Done:
        """A command of ours that has to end with this exit code."""
        done = run_steploom(self.folder, *args)
        assert done.code == code, f"{args}: {done}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *args: str, code: int = 0) -> Any:
        """A command's result, from ``--output json``."""
        return self.steploom(*args, "--output", "json", code=code).json

    def temporal(self, *args: str) -> Any:
        """What Temporal's own command line answers."""
        done = subprocess.run(
            [
                str(self.temporal_binary),
                *args,
                "--address",
                self.info["temporal"],
                "--namespace",
                self.info["namespace"],
                "--output",
                "json",
            ],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=60,
            check=False,
        )
        return json.loads(done.stdout) if done.stdout.strip() else {"error": done.stderr}

    def start_with_temporal(self, start: Any) -> tuple[str, dict[str, Any]]:
        """Starts a run as anybody can who has Temporal's command line; returns how it ended."""
        name = f"by-temporal-{uuid4().hex[:8]}"
        self.temporal(
            *("workflow", "start", "--type", "DefinitionWorkflow", "--task-queue", "steploom"),
            *("--workflow-id", name, "--input", json.dumps(start)),
        )
        return name, self.temporal("workflow", "result", "--workflow-id", name)

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows, from Postgres itself."""
        with psycopg.connect(self.info["database"], row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> dict[str, Any]:
        """The one row of a query."""
        [one] = self.rows(query, *values)
        return one

    def write(self, name: str, document: Any) -> str:
        """Writes a file in the folder; returns its name."""
        (self.folder / name).write_text(json.dumps(document))
        return name

    def wait_for(self, execution: str, status: str, seconds: float = 30) -> dict[str, Any]:
        """What ``show`` says, when a step of the run (or the run) has this status."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # Not by our command line, which would take a second each time.
            found = self.rows(
                "SELECT i.status, s.status AS step FROM workflow_instances AS i"
                " LEFT JOIN workflow_steps AS s ON s.trace_id = i.trace_id"
                " WHERE i.execution_id = %s",
                execution,
            )
            if status in {value for row in found for value in row.values()}:
                shown: dict[str, Any] = self.json("show", execution)
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{execution} did not become {status}")


@contextmanager
def running_dev(folder: Path, args: Sequence[str] = ()) -> Iterator[Live]:
    """Starts ``steploom dev`` in a folder, and stops it with SIGTERM."""
    binary = find_or_install_temporal(lambda _: None)
    log = folder / "dev.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "steploom", "dev", *args],
            cwd=folder,
            env=environment(TEMPORAL_CLI_PATH=str(binary)),
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
        )
    try:
        file = folder / ".steploom" / "dev.json"
        deadline = time.monotonic() + _READY
        while not file.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Live(folder, json.loads(file.read_text()), binary)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 0, log.read_text()
    assert not file.exists()

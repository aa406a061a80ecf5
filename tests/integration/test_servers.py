"""The servers that `steploom dev` and the tests start: real ones, started and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from adapters.postgres.binaries import find_binaries
from adapters.postgres.server import EmbeddedPostgres
from adapters.processes.accounts import STATE, unprivileged_account
from adapters.processes.child import Child, wait_until_gone
from adapters.processes.ports import free_ports
from adapters.temporal.binary import find_or_install_temporal
from adapters.temporal.server import TemporalServer
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a space in its path that every user can enter."""
    base = Path(tempfile.mkdtemp(prefix="steploom test "))
    base.chmod(0o755)
    yield base
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def temporal_binary() -> Path:
    return find_or_install_temporal(lambda _: None)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_postgres_keeps_its_data_and_its_password_between_starts(folder: Path) -> None:
    """What was committed before a stop is there after the next start, with the same password."""
    with EmbeddedPostgres(folder / "pg") as first:
        with psycopg.connect(first.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        password = first.url.split("@", maxsplit=1)[0]
        pid = first.pid
    assert not _alive(pid)
    with EmbeddedPostgres(folder / "pg") as second, psycopg.connect(second.url) as connection:
        assert second.url.split("@", maxsplit=1)[0] == password
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_postgres_asks_for_its_password(folder: Path) -> None:
    """Another user of the machine who finds the port gets nowhere without the password."""
    with EmbeddedPostgres(folder / "pg") as server:
        without = server.url.replace(server.url.split(":")[2].split("@")[0], "wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(without)
        mode = (folder / "pg" / "password").stat().st_mode
        assert mode & 0o077 == 0


def test_postgres_listens_where_it_is_told(folder: Path) -> None:
    """A given port is used."""
    port = free_ports(1)[0]
    with EmbeddedPostgres(folder / "pg", port) as server:
        assert f"@127.0.0.1:{port}/" in server.url


def test_postgres_recovers_from_a_kill(folder: Path) -> None:
    """After SIGKILL of the server its lock file is stale; the next start gets over it."""
    server = EmbeddedPostgres(folder / "pg").start()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    os.kill(server.pid, signal.SIGKILL)
    assert wait_until_gone(server.pid, 10)
    server.stop()
    with EmbeddedPostgres(folder / "pg") as again, psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_postgres_gets_over_a_lock_of_a_process_that_is_another_now(folder: Path) -> None:
    """A stale lock whose process id a different program has by now does not stop a start."""
    with EmbeddedPostgres(folder / "pg"):
        pass
    lock = folder / "pg" / "data" / "postmaster.pid"
    account = unprivileged_account() if os.geteuid() == 0 else None
    stranger = Child(["/bin/sleep", "60"], cwd=Path("/"), account=account)
    try:
        lock.write_text(f"{stranger.pid}\n{lock.parent}\n1\n1\n\n127.0.0.1\n\nready\n")
        if account is not None:
            account.own(lock)
        with EmbeddedPostgres(folder / "pg") as server, psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        stranger.kill()


def test_a_second_postgres_on_a_taken_port_says_so(folder: Path) -> None:
    """A given port that is taken is an error in one sentence, with the next thing to try."""
    with EmbeddedPostgres(folder / "one") as one:
        with pytest.raises(UnreachableError) as caught:
            EmbeddedPostgres(folder / "two", one.port).start()
        assert "does not start" in caught.value.message
        assert caught.value.hint is not None


def test_a_folder_named_for_binaries_that_has_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """STEPLOOM_POSTGRES_BIN is meant: a wrong one is an error, not passed over."""
    monkeypatch.setenv("STEPLOOM_POSTGRES_BIN", str(folder))
    with pytest.raises(UnreachableError, match="STEPLOOM_POSTGRES_BIN"):
        find_binaries()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for Postgres")
def test_root_may_keep_the_data_below_a_closed_folder(folder: Path) -> None:
    """Below a folder that only root can enter, the data is linked elsewhere; no mode changes."""
    closed = folder / "home"
    closed.mkdir(mode=0o700)
    link = closed / "project" / "pg"
    try:
        with EmbeddedPostgres(link) as server, psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert link.is_symlink()
        assert link.resolve().parent == STATE
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(link.resolve())


async def test_temporal_keeps_its_runs_between_starts(folder: Path, temporal_binary: Path) -> None:
    """A run that was started before a stop is running after the next start."""
    file = folder / "temporal.db"
    with TemporalServer(temporal_binary, db_file=file, namespace="ours") as server:
        client = await Client.connect(server.address, namespace="ours")
        await client.start_workflow("Anything", id="kept", task_queue="nobody")
        pid = server.pid
        assert server.ui_url is not None
    assert not _alive(pid)
    with TemporalServer(temporal_binary, db_file=file, namespace="ours", headless=True) as server:
        assert server.ui_url is None
        client = await Client.connect(server.address, namespace="ours")
        described = await client.get_workflow_handle("kept").describe()
        assert described.status is WorkflowExecutionStatus.RUNNING


def test_a_new_temporal_waits_for_one_that_is_stopping(folder: Path, temporal_binary: Path) -> None:
    """After the parent's death the old server may still write; two never do so at once."""
    file = folder / "temporal.db"
    first = TemporalServer(temporal_binary, db_file=file, headless=True).start()
    pid = first.pid
    assert first._child is not None
    first._child._close_pipe()  # as the parent's death does: stop, and nobody waits
    assert _alive(pid)
    with TemporalServer(temporal_binary, db_file=file, headless=True):
        assert not _alive(pid)
    first.stop()


def test_a_temporal_that_cannot_start_says_why(folder: Path, temporal_binary: Path) -> None:
    """One sentence with the server's own reason, and where its log is."""
    (folder / "temporal.db").mkdir()
    server = TemporalServer(temporal_binary, db_file=folder / "temporal.db", headless=True)
    with pytest.raises(UnreachableError, match="does not start") as caught:
        server.start()
    assert "temporal.log" in (caught.value.hint or "")


_PARENT = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from adapters.postgres.server import EmbeddedPostgres
    from adapters.temporal.server import TemporalServer
    folder, binary = Path(sys.argv[1]), Path(sys.argv[2])
    postgres = EmbeddedPostgres(folder / "pg").start()
    temporal = TemporalServer(binary, headless=True, log_file=folder / "t.log").start()
    print(postgres.pid, temporal.pid, flush=True)
    if sys.argv[3] == "stay":
        time.sleep(600)
    """
)


@pytest.mark.parametrize("end", ["stay", "leave"])
def test_no_server_outlives_its_parent(folder: Path, temporal_binary: Path, end: str) -> None:
    """Killed with SIGKILL or ended without a stop: no server is left, and Postgres is not hurt."""
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(folder), str(temporal_binary), end],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    if end == "stay":
        assert all(_alive(pid) for pid in pids)
        parent.kill()
    parent.wait(30)
    parent.stdout.close()
    assert all(wait_until_gone(pid, 15) for pid in pids)
    log = (folder / "pg" / "postgres.log").read_text()
    assert "database system is shut down" in log


def test_a_guard_that_is_killed_takes_its_program_along() -> None:
    """The second line of defence on Linux: the program is told when its guard dies."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process of its parent's death")
    child = Child(["/bin/sleep", "60"])
    guard = child._guard.pid
    os.kill(guard, signal.SIGKILL)
    assert wait_until_gone(child.pid, 10)
    child.stop()


def test_a_program_that_does_not_stop_is_killed(folder: Path) -> None:
    """After its grace a program that ignores the request is killed, its own children too."""
    script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    child = Child(["/bin/sh", "-c", script], grace=0.3, log=folder / "log")
    pid = child.pid
    while not child.log_tail():
        time.sleep(0.02)
    grandchild = int(child.log_tail())
    assert child.stop() == 128 + signal.SIGKILL
    assert not _alive(pid)
    assert wait_until_gone(grandchild, 10)


def test_a_program_that_is_not_there_ends_with_127(folder: Path) -> None:
    """What cannot be run says so in the log, as a shell would."""
    child = Child([folder / "no such program"], log=folder / "log")
    assert child.wait(10) == 127
    assert "cannot run" in child.log_tail()
    child.stop()

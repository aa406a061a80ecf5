"""The folder of a private Postgres server: where it is, whose it is, and its lock.

Apart from ``server.py``, which runs what is made here.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.processes.accounts import STATE, Account, unprivileged_account
from adapters.processes.child import Child, wait_until_gone
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from adapters.postgres.binaries import Binaries

SUPERUSER = "postgres"
#: A fast shutdown writes a checkpoint; a busy disk may take its time over that.
STOP_SECONDS = 20.0

_INIT_SECONDS = 60.0


def account_if_root() -> Account | None:
    """Whom the server runs as if we are root; None if it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    account = unprivileged_account()
    if account is None:
        raise UnreachableError(
            "Postgres",
            "Postgres refuses to run as root, and there is no user 'postgres' or 'nobody' that "
            "it could run as",
            hint="run steploom as a normal user, or set STEPLOOM_DATABASE_URL to a server that "
            "runs",
        )
    return account


def prepare_home(data_dir: Path, account: Account | None) -> Path:
    """Make the folder where the server's user can reach it. Returns where it really is."""
    try:
        if data_dir.is_symlink():
            home = data_dir.resolve()
            home.mkdir(mode=0o711, parents=True, exist_ok=True)
            return home
        data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        if account is None or account.can_enter(data_dir):
            return data_dir
        name = sha256(str(data_dir).encode()).hexdigest()[:16]
        home = STATE / name
        STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
        home.mkdir(mode=0o711, exist_ok=True)
        for folder in (STATE, home):
            folder.chmod(folder.stat().st_mode | 0o111)  # the umask may have taken these
        data_dir.rmdir()
        data_dir.symlink_to(home, target_is_directory=True)
    except OSError as error:
        raise UnreachableError(
            "Postgres",
            f"the data folder {data_dir} cannot be made: {error}",
            hint="choose another with --data-dir, or set STEPLOOM_DATABASE_URL to a server that "
            "runs",
        ) from error
    return home


def major_of(data: Path) -> int | None:
    """The major version that a cluster belongs to, None if there is no cluster."""
    version = data / "PG_VERSION"
    return int(version.read_text().strip()) if version.exists() else None


def init_once(home: Path, binaries: Binaries, account: Account | None) -> str:
    """Make the cluster unless it is there. The administrator's password."""
    password_file = home / "password"
    data = home / "data"
    if data.exists():
        try:
            return password_file.read_text().strip()
        except OSError as error:
            raise UnreachableError(
                "Postgres",
                f"the password of the data in {home} cannot be read: {error}",
                hint=f"move {home} away to begin with an empty database",
            ) from error
    password = secrets.token_hex(16)
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(password + "\n")
    # Under another name until it is whole, so that an interrupted start leaves nothing half made.
    partial = home / "data.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    if account is not None:
        account.own(password_file)
        account.own(partial)
    maker = Child(
        [
            binaries.initdb,
            "--pgdata",
            partial,
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Sorts alike on every machine, and needs no locale installed.
            "--no-locale",
            "--no-sync",
        ],
        cwd=Path("/"),
        log=home / "postgres.log",
        account=account,
    )
    try:
        code = maker.wait(_INIT_SECONDS)
    except subprocess.TimeoutExpired:
        code = 1
    finally:
        maker.kill()
    if code != 0:
        raise UnreachableError(
            "Postgres",
            f"initdb cannot make a database in {home}: {last_line(maker.log_tail())}",
            hint=f"see {home / 'postgres.log'}, or set STEPLOOM_DATABASE_URL to a server that runs",
        )
    partial.rename(data)
    return password


def clear_stale_lock(data: Path) -> None:
    """Remove the lock of a server that is gone, and wait for one that is just stopping.

    Postgres does the first itself unless another process has got the old one's id, which in
    containers, where ids start over, is likely. A postmaster works in its data folder, by which
    /proc tells the two apart; without /proc Postgres decides.
    """
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    if not Path("/proc/self/cwd").exists():
        return
    if _works_in(pid, data) and not wait_until_gone(pid, STOP_SECONDS):
        raise UnreachableError(
            "Postgres",
            f"another Postgres server (process {pid}) runs in {data}",
            hint="stop the `steploom dev` that started it, or that process",
        )
    lock.unlink(missing_ok=True)


def _works_in(pid: int, data: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except OSError:
        return False


def last_line(text: str) -> str:
    """The line of a log that says best what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error:" in line]
    return (telling or lines or ["no reason given"])[-1]

"""A private Postgres server, for development, the demo and the tests.

It listens on loopback alone, asks for a password, and stops when we do, however we end. Its folder
holds ``data`` (the cluster), ``password`` (readable by its owner only) and ``postgres.log``.

Postgres refuses to run as root, while containers and CI often are: then it runs as ``postgres`` or
``nobody``. Where that user cannot reach the folder, such as below a home with mode 0700, the folder
becomes a link into /var/lib/steploom.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg

from adapters.postgres.binaries import find_binaries
from adapters.postgres.cluster import (
    STOP_SECONDS,
    SUPERUSER,
    account_if_root,
    clear_stale_lock,
    init_once,
    last_line,
    major_of,
    prepare_home,
)
from adapters.processes.child import Child
from adapters.processes.ports import LOOPBACK, free_ports
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from adapters.postgres.binaries import Binaries
    from adapters.processes.accounts import Account

DATABASE = "steploom"

_START_SECONDS = 60.0
_ATTEMPTS = 4
#: What a start may find in its way for a moment: a port just taken, a server just killed.
_PASSING = ("could not bind", "Address already in use", "pre-existing shared memory", "lock file")
#: For data that nobody keeps. A crash may lose it; a test is three times as fast.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """A Postgres server in a folder. A context manager; ``start`` and ``stop`` do the same.

    Args:
        data_dir: Its folder, made if need be. What is in it stays between starts.
        port: Where to listen on 127.0.0.1; a free port if None.
        durable: False for data that may be lost in a crash, as in tests.
    """

    def __init__(self, data_dir: Path, port: int | None = None, *, durable: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self._wanted_port = port
        self._durable = durable
        self._port: int | None = None
        self._password: str | None = None
        self._child: Child | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it has started."""
        if self._port is None:
            raise RuntimeError("the server has not started")
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        if self._child is None:
            raise RuntimeError("the server has not started")
        return self._child.pid

    @property
    def url(self) -> str:
        """The administrator's URL of the database ``steploom``: ``postgresql://…``."""
        return f"postgresql://{SUPERUSER}:{self._password}@{LOOPBACK}:{self.port}/{DATABASE}"

    def start(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            UnreachableError: It cannot be started here; the message says why, the hint what to do.
        """
        account = account_if_root()
        home = prepare_home(self.data_dir, account)
        data = home / "data"
        binaries = find_binaries(account, major=major_of(data))
        self._password = init_once(home, binaries, account)
        for attempt in range(1, _ATTEMPTS + 1):
            clear_stale_lock(data)
            self._port = self._wanted_port or free_ports(1)[0]
            failure = self._try_start(home, binaries, account)
            if failure is None:
                self._create_database()
                return self
            if attempt == _ATTEMPTS or not any(sign in failure for sign in _PASSING):
                raise UnreachableError(
                    "Postgres",
                    f"Postgres does not start in {self.data_dir}: {last_line(failure)}",
                    hint=f"see {home / 'postgres.log'}, or set STEPLOOM_DATABASE_URL to a server "
                    "that runs",
                )
            time.sleep(0.5)
        raise AssertionError("unreachable")

    def poll(self) -> int | None:
        """Its exit code if it has ended by itself, else None."""
        return None if self._child is None else self._child.poll()

    def stop(self) -> None:
        """Stop it: a fast shutdown, and a kill if that takes too long. Twice does no harm."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _try_start(self, home: Path, binaries: Binaries, account: Account | None) -> str | None:
        """Start it once. None if it answers, else what its log says."""
        log = home / "postgres.log"
        written = log.stat().st_size if log.exists() else 0
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            # No socket: its path may be too long or its folder missing, and loopback is enough.
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if self._durable else _NOT_DURABLE),
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        child = Child(
            [binaries.postgres, "-D", home / "data", *settings],
            log=log,
            stop_signal=signal.SIGINT,
            grace=STOP_SECONDS,
            account=account,
            cwd=Path("/"),
        )
        deadline = time.monotonic() + _START_SECONDS
        try:
            while child.poll() is None and time.monotonic() < deadline:
                if self._answers():
                    self._child = child
                    return None
                time.sleep(0.03)
            return child.log_tail(written) or "it wrote nothing into its log"
        finally:
            if self._child is not child:
                child.stop()

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self._connect():
            return True
        return False

    def _connect(self) -> psycopg.Connection:
        url = f"postgresql://{SUPERUSER}@{LOOPBACK}:{self.port}/postgres"
        return psycopg.connect(url, password=self._password, connect_timeout=5, autocommit=True)

    def _create_database(self) -> None:
        with self._connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if known.fetchone() is None:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')


@contextlib.contextmanager
def temporary_postgres() -> Iterator[EmbeddedPostgres]:
    """A server whose data is gone afterwards. Not durable, hence quick; for tests.

    Its folder is one that every user can enter, unlike those that pytest makes, so it needs no
    link elsewhere when root runs the tests.
    """
    folder = Path(tempfile.mkdtemp(prefix="steploom-pg-"))
    folder.chmod(0o711)
    try:
        with EmbeddedPostgres(folder / "postgres", durable=False) as server:
            yield server
    finally:
        shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)

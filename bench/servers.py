"""The servers of a benchmark: Temporal and Postgres as `steploom dev` starts them, data on disk.

What Postgres was given is read from it, processor time from /proc where there is one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

from adapters.postgres.migrate import upgrade
from adapters.postgres.server import EmbeddedPostgres
from adapters.postgres.urls import with_database
from adapters.temporal import search_attributes
from adapters.temporal.binary import find_or_install_temporal
from adapters.temporal.connection import TemporalConnection, connect
from adapters.temporal.server import TemporalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Those that hold rows themselves: partitions, not what is partitioned.
_TABLES = """
SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


class Given(NamedTuple):
    """What a database was given until now: transactions that wrote, and bytes of the log."""

    transactions: int
    wal: int


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers while they run."""

    temporal: TemporalServer
    postgres: EmbeddedPostgres

    def database(self, side: str) -> str:
        """The URL of a side's own database."""
        return with_database(self.postgres.url, f"bench_{side}")

    def version(self) -> str:
        """Postgres's version."""
        with psycopg.connect(self.postgres.url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]).split()[0] if row else "?"

    def given(self) -> Given:
        """What Postgres was given since it began. Only one side works at a time."""
        with psycopg.connect(self.postgres.url) as connection:
            row: Any = connection.execute(
                "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
                " (pg_current_wal_insert_lsn() - '0/0')::bigint"
            ).fetchone()
        return Given(*row)

    def rows(self, side: str) -> int:
        """How many rows a side's database has, in all tables."""
        with psycopg.connect(self.database(side)) as connection:
            names = [str(name) for (name,) in connection.execute(_TABLES)]
            counts = [_count(connection, name) for name in names]
        return sum(counts)

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time that each server has used; nothing where nobody says."""
        used = {"temporal": self.temporal.pid, "postgres": self.postgres.pid}
        if not Path("/proc/self/stat").exists():
            return {}
        return {name: _cpu_of_tree(pid) for name, pid in used.items()}


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 (its own quoted name)
    return int(row[0]) if row else 0


def _cpu_of_tree(root: int) -> float:
    """Of a process and its children, those that have ended included."""
    ticks, parents = dict[int, int](), dict[int, int]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        ticks[int(folder.name)] = sum(map(int, fields[11:15]))
    total, left = 0, [root]
    while left:
        pid = left.pop()
        total += ticks.get(pid, 0)
        left += [child for child, parent in parents.items() if parent == pid]
    return total / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_servers(sides: Sequence[str], say: Callable[[str], None]) -> Iterator[Servers]:
    """Fresh servers with a database for each side; everything is gone afterwards."""
    # Not below the user's home, which Postgres may not enter when root runs this.
    folder = Path(tempfile.mkdtemp(prefix="steploom-bench-"))
    folder.chmod(0o711)
    try:
        binary = find_or_install_temporal(say)
        with (
            TemporalServer(binary, db_file=folder / "temporal.db", headless=True) as temporal,
            EmbeddedPostgres(folder / "postgres") as postgres,
        ):
            servers = Servers(temporal, postgres)
            asyncio.run(_register(temporal.address))
            for side in sides:
                _create(servers, side)
            yield servers
    finally:
        shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


async def _register(address: str) -> None:
    await search_attributes.register(await connect(TemporalConnection(address=address)))


def _create(servers: Servers, side: str) -> None:
    with psycopg.connect(servers.postgres.url, autocommit=True) as connection:
        name = sql.Identifier(f"bench_{side}")
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    if side in {"on", "off"}:
        upgrade(servers.database(side))

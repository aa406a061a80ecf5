"""The pool: every transaction has its org, times are UTC, a server that was away is survived."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from adapters.postgres.database import Database
from adapters.postgres.urls import describe, libpq_url, sqlalchemy_url, with_database
from definitions.errors import InvalidInputError, UnreachableError
from tests.integration.facts import DEFAULT
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from uuid import UUID

_ORG = "SELECT nullif(current_setting('app.current_org_id', true), '') AS org"


async def org_of(database: Database, org: UUID | None) -> str | None:
    async with database.transaction(org) as connection:
        row = await (await connection.execute(_ORG)).fetchone()
    assert row is not None
    return row["org"]  # type: ignore[no-any-return]


async def test_the_org_ends_with_its_transaction(database_url: str) -> None:
    """One connection serves two orgs, and carries nothing from one to the other."""
    async with Database(database_url, pool_size=1) as database:
        assert await org_of(database, DEFAULT) == str(DEFAULT)
        assert await org_of(database, None) is None


async def test_a_body_that_raises_writes_nothing(database: Database) -> None:
    """The transaction is undone as a whole."""

    async def fail_halfway() -> None:
        async with database.transaction(DEFAULT) as connection:
            await connection.execute(
                "INSERT INTO users (id, org_id, name) VALUES (%s, %s, 'x')", (DEFAULT, DEFAULT)
            )
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        await fail_halfway()
    async with database.transaction(DEFAULT) as connection:
        cursor = await connection.execute("SELECT FROM users")
        assert await cursor.fetchall() == []


async def test_times_come_back_as_utc(database_url: str) -> None:
    """Whatever zone the server or the database is set to."""
    name = describe(database_url).rpartition("/")[2]
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE \"{name}\" SET timezone TO 'Asia/Tokyo'")
    async with (
        Database(database_url) as database,
        database.transaction(None) as connection,
    ):
        row = await (await connection.execute("SELECT now() AS now")).fetchone()
    assert row is not None
    assert row["now"].utcoffset() == timedelta(0)


async def test_connections_that_died_are_replaced(database: Database, database_url: str) -> None:
    """After a restart of the server no transaction fails for a connection's sake."""
    async with database.transaction(None), database.transaction(None):
        pass
    as_administrator(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    for _ in range(4):
        assert await org_of(database, DEFAULT) == str(DEFAULT)


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:s3cret@127.0.0.1:1/x", "postgresql://nobody:s3cret@127.0.0.1:{port}/x"],
)
async def test_a_server_that_does_not_answer_is_named(postgres_server: str, url: str) -> None:
    """One sentence with host, port and database, a hint, and no password anywhere."""
    address = describe(postgres_server).partition("/")[0]
    url = url.replace("127.0.0.1:{port}", address)
    with pytest.raises(UnreachableError) as caught:
        await Database(url, timeout=2).open()
    assert f"Postgres at {describe(url)} does not answer" in caught.value.message
    assert "STEPLOOM_DATABASE_URL" in (caught.value.hint or "")
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_addresses() -> None:
    """Each form of a URL is understood; the printed one holds neither user nor password."""
    url = "postgresql://ann:p%40ss@db.example:5433/loom?sslmode=require"
    assert libpq_url(url.replace("postgresql:", "postgres:")) == url
    assert libpq_url(sqlalchemy_url(url)) == url
    assert describe(url) == "db.example:5433/loom"
    assert describe(with_database(url, "other")) == "db.example:5433/other"
    assert "p%40ss" in with_database(url, "other")
    with pytest.raises(InvalidInputError) as caught:
        libpq_url("mysql://ann:s3cret@db/loom")
    assert "s3cret" not in str(caught.value)

"""A real Postgres for tests of any tier: one server, one migrated template, a database per test.

A tier's ``conftest`` imports the fixtures that it wants. ``STEPLOOM_TEST_DATABASE_URL`` names a
server to use (its user must be a superuser); otherwise one is started, with nothing of it kept.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from psycopg.rows import dict_row

from adapters.postgres.database import Database
from adapters.postgres.migrate import upgrade
from adapters.postgres.server import EmbeddedPostgres
from adapters.postgres.urls import with_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The administrator's URL of a server that lives as long as the session."""
    given = os.environ.get("STEPLOOM_TEST_DATABASE_URL")
    if given:
        yield given
        return
    folder: Path = tmp_path_factory.mktemp("postgres")
    with EmbeddedPostgres(folder, durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def database_template(postgres_server: str) -> Iterator[str]:
    """The name of a migrated database that nobody connects to."""
    name = f"steploom_template_{uuid4().hex[:12]}"
    _administer(postgres_server, "CREATE DATABASE {}", name)
    upgrade(with_database(postgres_server, name))
    yield name
    _administer(postgres_server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """A fresh database without any schema."""
    name = f"steploom_test_{uuid4().hex[:12]}"
    _administer(postgres_server, "CREATE DATABASE {}", name)
    yield with_database(postgres_server, name)
    _administer(postgres_server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def database_url(postgres_server: str, database_template: str) -> Iterator[str]:
    """A fresh, migrated database."""
    with fresh_database(postgres_server, database_template) as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The open pool of a fresh, migrated database."""
    async with Database(database_url) as opened:
        yield opened


@contextmanager
def fresh_database(server: str, template: str) -> Iterator[str]:
    """A copy of the template; dropped afterwards."""
    name = f"steploom_test_{uuid4().hex[:12]}"
    _administer(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
    try:
        yield with_database(server, name)
    finally:
        _administer(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def as_administrator(url: str, statement: str, *values: object) -> list[dict[str, Any]]:
    """What a statement answers to a superuser, whom no policy binds; committed."""
    with psycopg.connect(url, row_factory=dict_row, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def _administer(server: str, statement: str, *names: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

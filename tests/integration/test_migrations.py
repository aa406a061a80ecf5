"""The schema: built by migrations, equal to its description, guarded against change."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from adapters.postgres.database import Database
from adapters.postgres.migrate import alembic_config, current, downgrade, upgrade
from adapters.postgres.schema import HEAD, REVISIONS, check_schema
from adapters.postgres.tables import metadata
from adapters.postgres.urls import sqlalchemy_url
from definitions.errors import RefusedError, SteploomError, UnreachableError
from definitions.identity import org_id
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
INDEXES = {
    "workflow_definitions_workflow_id_idx": "UNIQUE INDEX * btree (org_id, workflow_id)",
    "workflow_definitions_triggers_idx": "INDEX * gin (triggers)",
    "workflow_instances_status_idx": "INDEX * btree (status)",
    "workflow_instances_correlation_idx": "INDEX * btree (correlation_id)",
    "workflow_instances_definition_idx": "INDEX * btree (workflow_definition_id)",
}

PARTITIONS = "SELECT relname FROM pg_class WHERE relispartition"


def query(url: str, statement: str) -> Sequence[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def alembic_upgrade(url: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env={**os.environ, "STEPLOOM_DATABASE_URL": url},
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_up_down_and_up_again(empty_database_url: str) -> None:
    """Every migration can be taken back, leaves nothing behind, and can be made again."""
    url = empty_database_url
    assert upgrade(url) == (None, HEAD)
    assert upgrade(url) == (HEAD, HEAD)
    assert downgrade(url, "base") == (HEAD, "base")
    left = query(
        url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relname NOT LIKE 'alembic_version%'"
        " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    )
    assert left == []
    for revision in REVISIONS:
        assert upgrade(url, revision)[1] == revision


def test_the_migrations_build_what_is_described(database_url: str) -> None:
    """Nothing differs between the migrated schema and ``tables.py``, defaults included."""
    engine = sa.create_engine(sqlalchemy_url(database_url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        partitions = set(connection.scalars(sa.text(PARTITIONS)))

        def described(found: Any, name: str | None, kind: str, *_: Any) -> bool:
            # A key that refers to a partitioned table is listed once for each partition, too.
            if kind == "foreign_key_constraint":
                return found.referred_table.name not in partitions
            return kind != "table" or name not in partitions

        options = {"compare_server_default": True, "include_object": described}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_revisions_that_the_code_knows_are_the_migrations() -> None:
    """``schema.REVISIONS`` lists the migrations in their order, each named as its file."""
    scripts = list(ScriptDirectory.from_config(alembic_config()).walk_revisions())
    assert tuple(reversed([script.revision for script in scripts])) == REVISIONS
    assert [Path(script.path).stem for script in scripts] == [s.revision for s in scripts]


def test_the_specified_indexes_have_their_names_and_columns(database_url: str) -> None:
    """The five indexes are there under the names that the specification gives them."""
    rows = query(database_url, "SELECT indexname, indexdef FROM pg_indexes")
    found = {str(name): str(definition) for name, definition in rows}
    for name, expected in INDEXES.items():
        start, _, end = expected.partition(" * ")
        definition = found[name]
        assert definition.startswith(f"CREATE {start} {name} ")
        assert definition.endswith(end)


def test_the_default_org_is_made(database_url: str) -> None:
    """A migrated database has the org that a start without one names."""
    assert query(database_url, "SELECT id FROM organizations WHERE slug = 'default'") == [
        (org_id("default"),)
    ]


def test_long_revision_names_fit(empty_database_url: str) -> None:
    """A later revision's name of more than 32 characters can be stored."""
    upgrade(empty_database_url, REVISIONS[0])
    assert query(
        empty_database_url,
        "SELECT character_maximum_length FROM information_schema.columns"
        " WHERE table_name = 'alembic_version'",
    ) == [(64,)]


async def test_two_migrations_at_once_are_one_after_the_other(empty_database_url: str) -> None:
    """In one process or in several, all of them succeed, and the schema is there once."""
    async with asyncio.TaskGroup() as group:
        for migrate in (upgrade, upgrade, alembic_upgrade, alembic_upgrade):
            group.create_task(asyncio.to_thread(migrate, empty_database_url))
    assert current(empty_database_url) == HEAD


def test_an_unknown_revision_is_refused(database_url: str) -> None:
    """A database that a newer steploom migrated is left alone."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '099_from_the_future'")
    with pytest.raises(RefusedError, match="099_from_the_future"):
        upgrade(database_url)


def test_a_database_that_is_not_there_is_unreachable() -> None:
    """The error says where, never with which password."""
    with pytest.raises(UnreachableError) as caught:
        upgrade("postgresql://someone:s3cret@127.0.0.1:1/nowhere")
    assert "127.0.0.1:1/nowhere" in caught.value.message
    assert "s3cret" not in repr(caught.value) + str(caught.value.__cause__)


async def test_a_worker_finds_the_schema_that_it_needs(database: Database) -> None:
    """The right schema passes."""
    await check_schema(database)


@pytest.mark.parametrize("revision", [None, REVISIONS[0]])
async def test_an_older_schema_names_the_command(
    empty_database_url: str, revision: str | None
) -> None:
    """A schema that is missing or older stops the worker with ``steploom migrate`` as the hint."""
    if revision is not None:
        upgrade(empty_database_url, revision)
    async with Database(empty_database_url) as database:
        with pytest.raises(SteploomError) as caught:
            await check_schema(database)
    assert caught.value.hint == "steploom migrate"


async def test_a_newer_schema_stops_a_worker(database: Database, database_url: str) -> None:
    """A revision that the code does not know is refused."""
    as_administrator(database_url, "UPDATE alembic_version SET version_num = '099_from_the_future'")
    with pytest.raises(RefusedError, match="newer"):
        await check_schema(database)


def test_the_alembic_command_does_the_same(empty_database_url: str) -> None:
    """``alembic upgrade head`` with ``alembic.ini`` migrates ``STEPLOOM_DATABASE_URL``."""
    alembic_upgrade(empty_database_url)
    assert current(empty_database_url) == HEAD


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_events SET event_type = 'other'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ],
)
def test_audit_events_are_append_only(database_url: str, change: str) -> None:
    """The database itself refuses to change, delete or truncate audit events."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO audit_events (event_id, event_timestamp, event_type, event_data, org_id,"
            " seq) VALUES (gen_random_uuid(), now(), 'workflow.started', '{}',"
            " gen_random_uuid(), 1)"
        )
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            connection.execute(change)

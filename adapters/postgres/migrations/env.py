"""How Alembic runs our migrations: in one transaction, one process at a time.

The connection comes from ``adapters.postgres.migrate``, or, under the ``alembic`` command, from
``STEPLOOM_DATABASE_URL``. Revision names are longer than the 32 characters that Alembic gives its
own version column, so that is made wider here. The roles are made before, where we may make roles,
and what the application may do is granted anew after each run, which also makes the coming months.
"""

from __future__ import annotations

import os
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.ddl.postgresql import PostgresqlImpl
from typing_extensions import override

from adapters.postgres.migrations.sqlfile import execute_file, printable_file
from adapters.postgres.tables import metadata
from adapters.postgres.urls import sqlalchemy_url

#: A number that nobody else uses: "steploom" in ASCII.
LOCK = 0x737465706C6F6F6D

_MAKE_PARTITIONS = """
DO $$
BEGIN
    IF to_regproc('create_execution_partitions') IS NOT NULL THEN
        PERFORM create_execution_partitions();
    END IF;
END
$$
"""


class _LongRevisionNames(PostgresqlImpl):
    # Defining the class is what registers it (alembic.ddl.impl.ImplMeta).
    __dialect__ = "postgresql"

    @override
    def version_table_impl(self, **names: Any) -> sa.Table:
        table = super().version_table_impl(**names)
        table.c.version_num.type = sa.String(64)
        return table


def _database_url() -> str:
    url = os.environ.get("STEPLOOM_DATABASE_URL")
    if not url:
        message = "set STEPLOOM_DATABASE_URL to the database that is to be migrated"
        raise SystemExit(message)
    return sqlalchemy_url(url)


def _run(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        execute_file(connection, "roles.sql")
        context.run_migrations()
        execute_file(connection, "grants.sql")
        connection.execute(sa.text(_MAKE_PARTITIONS))


def _print_sql() -> None:
    context.configure(
        dialect_name="postgresql",
        target_metadata=metadata,
        literal_binds=True,
        # Not the driver's own style, in which every % of a text would be printed twice.
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.execute(printable_file("roles.sql"))
        context.run_migrations()
        context.execute(printable_file("grants.sql"))


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    _print_sql()
elif given is not None:
    _run(given)
else:
    engine = sa.create_engine(_database_url(), poolclass=sa.NullPool)
    with engine.connect() as opened:
        _run(opened)

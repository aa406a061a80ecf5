"""``steploom migrate``: brings a database's schema to what this code works with.

All steps run in one transaction under an advisory lock (see ``migrations/env.py``), so that two
migrations at once are one after the other, and a failing one leaves nothing behind.
"""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from adapters.postgres.schema import HEAD, newer_schema
from adapters.postgres.urls import describe, sqlalchemy_url, unreachable

MIGRATIONS = Path(__file__).parent / "migrations"

#: Alembic keeps the migration under way in module globals, so one at a time in a process.
_ONE_AT_A_TIME = threading.Lock()


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration for our migrations, without any file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(database_url: str, revision: str = HEAD) -> tuple[str | None, str]:
    """Migrates up to a revision; returns the ones before and after (equal: nothing to do).

    The first revision also makes the org ``default``.

    Raises:
        UnreachableError: The database does not answer.
        RefusedError: The database is at a revision that this code does not know.
    """
    return _move(database_url, revision, up=True)


def downgrade(database_url: str, revision: str) -> tuple[str | None, str]:
    """Takes migrations back, with the data in what they made; ``base`` takes back all.

    Raises:
        UnreachableError: The database does not answer.
        RefusedError: The database is at a revision that this code does not know.
    """
    return _move(database_url, revision, up=False)


def current(database_url: str) -> str | None:
    """The revision of a database; ``None`` for one that was never migrated.

    Raises:
        UnreachableError: The database does not answer.
    """
    with _engine(database_url).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _move(database_url: str, revision: str, *, up: bool) -> tuple[str | None, str]:
    before = current(database_url)
    scripts = ScriptDirectory.from_config(alembic_config())
    known = {script.revision for script in scripts.walk_revisions()}
    if before is not None and before not in known:
        raise newer_schema(describe(database_url), before)
    with _ONE_AT_A_TIME, _engine(database_url).connect() as connection:
        config = alembic_config(connection)
        (command.upgrade if up else command.downgrade)(config, revision)
    return before, current(database_url) or "base"


def _engine(database_url: str) -> sa.Engine:
    engine = sa.create_engine(
        sqlalchemy_url(database_url),
        poolclass=sa.NullPool,
        connect_args={"connect_timeout": 10, "application_name": "steploom migrate"},
    )
    try:
        engine.connect().close()
    except OperationalError as error:
        # Not chained: SQLAlchemy's error is about the same thing, at ten times the length.
        raise unreachable(database_url, error.orig) from error.orig
    return engine

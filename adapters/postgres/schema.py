"""Which schema this code works with, and whether a database has it.

A worker asks this at its start; it needs neither Alembic nor SQLAlchemy for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import errors

from definitions.errors import RefusedError, SteploomError

if TYPE_CHECKING:
    from adapters.postgres.database import Database

#: Every revision, the oldest first. A test holds it against the migrations themselves.
REVISIONS = (
    "001_create_definitions_and_instances",
    "002_create_records",
    "003_create_actions_and_outbox",
    "014_add_workflow_execution_tables",
    "015_secure_tenants",
    "016_move_records",
    "017_keep_requirements",
    "018_seal_audit_events",
    "019_create_payloads",
    "021_create_provider_workflows",
    "022_publish_runs",
    "023_match_triggers",
    "024_prune_audit_events",
    "025_track_changes",
)
HEAD = REVISIONS[-1]


def newer_schema(where: str, revision: str) -> RefusedError:
    """The error for a database that a newer steploom migrated."""
    return RefusedError(
        f"the schema of {where} is at revision {revision!r}, which this steploom does not know: "
        "a newer one migrated it",
        hint="upgrade steploom to the version that migrated this database",
    )


async def check_schema(database: Database) -> None:
    """Returns when the database has exactly the schema that this code works with.

    Raises:
        UnreachableError: The database does not answer.
        SteploomError: Its schema is missing or older; the hint is ``steploom migrate``.
        RefusedError: Its schema is newer.
    """
    try:
        async with database.transaction(None) as connection:
            cursor = await connection.execute("SELECT version_num FROM alembic_version")
            row = await cursor.fetchone()
    except errors.UndefinedTable:
        row = None
    revision = row["version_num"] if row else None
    if revision == HEAD:
        return
    if revision is None or revision in REVISIONS:
        found = f"is at revision {revision}" if revision else "is empty"
        raise SteploomError(
            f"the schema of {database} {found}, and this steploom needs {HEAD}",
            hint="steploom migrate",
        )
    raise newer_schema(str(database), revision)

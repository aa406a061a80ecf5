"""Old executions: which they are, everything of one of them, and their removal.

What is old is for ``old_executions()`` to say, and what goes with an execution for
``remove_executions()`` (``sql/workflow_execution_maintenance.sql``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from adapters.postgres.database import Database

#: How many are looked up at a time.
PAGE = 20_000

_ITSELF = sql.SQL("t.id = ANY (%(ids)s)")
_OF_THE_TRACE = sql.SQL(
    "(t.trace_id, t.org_id) IN"
    " (SELECT i.trace_id, i.org_id FROM workflow_instances AS i WHERE i.id = ANY (%(ids)s))"
)
_OF_THE_INSTANCE = sql.SQL("t.instance_id = ANY (%(ids)s)")
#: Where everything of an execution is, and in which order it is read.
_TABLES: tuple[tuple[str, sql.SQL, sql.SQL], ...] = (
    ("workflow_instances", _ITSELF, sql.SQL("t.id")),
    ("workflow_trace", _OF_THE_INSTANCE, sql.SQL("t.id")),
    ("workflow_steps", _OF_THE_TRACE, sql.SQL("t.first_seq, t.path, t.iteration")),
    ("workflow_step_attempts", _OF_THE_TRACE, sql.SQL("t.path, t.iteration, t.attempt")),
    ("workflow_trace_context", _OF_THE_TRACE, sql.SQL("t.context_key")),
    ("workflow_events", _OF_THE_TRACE, sql.SQL("t.seq, t.id")),
    ("payloads", _OF_THE_INSTANCE, sql.SQL("t.sha256")),
    ("outbox_events", _OF_THE_INSTANCE, sql.SQL("t.seq, t.id")),
    ("audit_events", _OF_THE_INSTANCE, sql.SQL("t.seq, t.event_id")),
)
#: Tables whose rows go with the execution.
_REMOVED = tuple(table for table in _TABLES if table[0] not in {"outbox_events", "audit_events"})
_ROWS = sql.SQL(
    "SELECT to_jsonb(t)::text AS row FROM {} AS t WHERE t.org_id = %(org)s AND {} ORDER BY {}"
)
_COUNT = sql.SQL("(SELECT count(*) FROM {} AS t WHERE t.org_id = %(org)s AND {})")
_OLD = """
SELECT i.id, i.execution_id, i.workflow_id, i.version, i.completed_at, i.seq, i.updated_at
FROM old_executions(execution_retention(%(older_than)s), %(now)s) AS o
JOIN workflow_instances AS i ON i.id = o.id
WHERE i.org_id = %(org)s
  AND (%(after)s::timestamptz IS NULL OR (o.completed_at, o.id) > (%(after)s, %(after_id)s))
ORDER BY o.completed_at, o.id
LIMIT %(limit)s
"""
#: Those that are still as they were found.
_UNCHANGED = """
SELECT i.id
FROM workflow_instances AS i
JOIN unnest(%(ids)s::uuid[], %(seqs)s::bigint[], %(updated)s::timestamptz[])
    AS f (id, seq, updated_at) ON f.id = i.id
WHERE i.org_id = %(org)s AND i.seq = f.seq AND i.updated_at = f.updated_at
  AND i.completed_at IS NOT NULL
ORDER BY i.id
FOR UPDATE OF i
"""


class OldExecution(NamedTuple):
    """An execution whose time is over, as it was when it was found."""

    id: UUID
    execution_id: str
    workflow_id: str
    version: str
    completed_at: datetime
    seq: int
    updated_at: datetime


class Removed(NamedTuple):
    """What is gone: which executions, and how many rows of theirs."""

    ids: frozenset[UUID]
    rows: int


class OldExecutions:
    """The old executions of one org."""

    def __init__(
        self, database: Database, org_id: UUID, *, older_than: str | None, now: datetime
    ) -> None:
        """``older_than``: an ISO 8601 duration for definitions that say no retention."""
        self._database = database
        self._org_id = org_id
        self._older_than = older_than
        self._now = now

    async def find(self) -> AsyncIterator[OldExecution]:
        """All of them, the one that ended first coming first."""
        last: OldExecution | None = None
        while True:
            values = {
                "org": self._org_id,
                "older_than": self._older_than,
                "now": self._now,
                "after": last.completed_at if last is not None else None,
                "after_id": last.id if last is not None else None,
                "limit": PAGE,
            }
            async with self._database.transaction(self._org_id) as connection:
                cursor = await connection.execute(_OLD, values)
                found = [OldExecution(**row) for row in await cursor.fetchall()]
            for last in found:
                yield last
            if len(found) < PAGE:
                return

    async def rows(self, instance_id: UUID) -> list[tuple[str, str]]:
        """Everything of an execution: table and row, the row as JSON text with all its digits."""
        found: list[tuple[str, str]] = []
        async with self._database.transaction(self._org_id) as connection:
            for table, condition, order in _TABLES:
                query = _ROWS.format(sql.Identifier(table), condition, order)
                cursor = await connection.execute(query, self._named([instance_id]))
                found += [(table, row["row"]) for row in await cursor.fetchall()]
        return found

    async def count_rows(self, ids: Sequence[UUID]) -> int:
        """How many rows would go with these executions."""
        async with self._database.transaction(self._org_id) as connection:
            cursor = await connection.execute(_count(), self._named(ids))
            row = await cursor.fetchone()
        return int(row["rows"]) if row is not None else 0

    async def remove(self, executions: Sequence[OldExecution]) -> Removed:
        """Removes those that are still as they were found, in one transaction."""
        values = {
            "org": self._org_id,
            "ids": [one.id for one in executions],
            "seqs": [one.seq for one in executions],
            "updated": [one.updated_at for one in executions],
        }
        async with self._database.transaction(self._org_id) as connection:
            cursor = await connection.execute(_UNCHANGED, values)
            ids = [row["id"] for row in await cursor.fetchall()]
            cursor = await connection.execute(_count(), self._named(ids))
            row = await cursor.fetchone()
            await connection.execute("SELECT remove_executions(%s)", (ids,))
        return Removed(frozenset(ids), int(row["rows"]) if row is not None else 0)

    def _named(self, ids: Sequence[UUID]) -> dict[str, Any]:
        return {"org": self._org_id, "ids": list(ids)}


def _count() -> sql.Composed:
    parts = [_COUNT.format(sql.Identifier(table), condition) for table, condition, _ in _REMOVED]
    return sql.SQL("SELECT {} AS rows").format(sql.SQL(" + ").join(parts))

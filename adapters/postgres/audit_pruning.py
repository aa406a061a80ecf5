"""The oldest audit events of an org: which they are, what they are, and their removal.

Which ones can go is for ``prunable_audit_events()`` to say, and ``prune_audit_events()`` asks it
once more before it removes them (``sql/prune_audit_events.sql``). Only who acts as the owner of
the tables may call the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from psycopg import errors, sql

from adapters.postgres.audit_seals import EVENT_TEXT
from definitions.errors import RefusedError
from definitions.seals import ORIGIN

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from adapters.postgres.database import Database

_ALLOWED = """
SELECT has_function_privilege('prune_audit_events(timestamptz, text, bigint, bigint)', 'EXECUTE')
    AS allowed
"""
_BEFORE = "SELECT now() - execution_retention(%(older_than)s) AS before"
_ANCHOR = """
SELECT position, hash FROM audit_anchors WHERE org_id = %(org)s ORDER BY position DESC LIMIT 1
"""
_PORTION = """
SELECT p.last_position, p.last_hash, p.stopped_by, p.stopped_at,
       e.event_data->'data'->'workflow'->>'execution_id' AS execution
FROM prunable_audit_events(%(before)s, %(after)s, %(limit)s) AS p
LEFT JOIN audit_seals AS s ON s.org_id = %(org)s AND s.position = p.stopped_at
LEFT JOIN audit_events AS e ON e.org_id = s.org_id AND e.event_id = s.event_id
"""
_LINKS = sql.SQL("""
SELECT s.position, s.event_hash, s.previous_hash, s.hash, s.sealed_at, {} AS event
FROM audit_seals AS s
JOIN audit_events AS e ON e.org_id = s.org_id AND e.event_id = s.event_id
WHERE s.org_id = %(org)s AND s.position > %(after)s AND s.position <= %(upto)s
ORDER BY s.position
""").format(sql.SQL(EVENT_TEXT))
_PRUNE = """
SELECT prune_audit_events(%(before)s, %(by)s, %(after)s, %(upto)s) AS removed
"""


class Portion(NamedTuple):
    """What can go: the links behind ``after`` up to ``upto``, whose hash is ``hash``.

    ``stopped_by`` says why the link ``stopped_at`` is kept, that of the execution ``execution``:
    ``younger``, ``on_record``, ``last`` or ``damaged``; None where more may follow, or none is
    there.
    """

    after: int
    upto: int
    hash: str
    stopped_by: str | None
    stopped_at: int | None
    execution: str | None


class AuditPruning:
    """Removes audit events. Every method is about one org alone."""

    def __init__(self, database: Database) -> None:
        """``database``: opened by the owner of the tables; to look, by anybody."""
        self._database = database

    async def check_right(self) -> None:
        """Returns where events may be removed by who has connected.

        Raises:
            RefusedError: They may not.
        """
        async with self._database.transaction(None) as connection:
            row = await (await connection.execute(_ALLOWED)).fetchone()
        if row is None or not row["allowed"]:
            raise _not_allowed()

    async def before(self, older_than: str) -> datetime:
        """The time that so long ago it was, by the clock of the database.

        Args:
            older_than: An ISO 8601 duration.
        """
        async with self._database.transaction(None) as connection:
            row = await (await connection.execute(_BEFORE, {"older_than": older_than})).fetchone()
        if row is None:
            raise AssertionError("a SELECT without FROM has one row")
        before: datetime = row["before"]
        return before

    async def anchor(self, org_id: UUID) -> tuple[int, str]:
        """Position and hash of the last link that is gone; 0 and ``ORIGIN`` where none is."""
        rows = await self._rows(org_id, _ANCHOR)
        return (rows[0]["position"], rows[0]["hash"]) if rows else (0, ORIGIN)

    async def portion(self, org_id: UUID, before: datetime, after: int, limit: int) -> Portion:
        """What can go of the links behind a position."""
        [row] = await self._rows(org_id, _PORTION, before=before, after=after, limit=limit)
        return Portion(
            after=after,
            upto=row["last_position"],
            hash=row["last_hash"] or ORIGIN,
            stopped_by=row["stopped_by"],
            stopped_at=row["stopped_at"],
            execution=row["execution"],
        )

    async def links(self, org_id: UUID, portion: Portion) -> list[dict[str, Any]]:
        """The links of a portion, each with the text of its event as it was hashed."""
        return await self._rows(org_id, _LINKS, after=portion.after, upto=portion.upto)

    async def remove(self, org_id: UUID, portion: Portion, before: datetime, by: str) -> int:
        """Removes a portion in one transaction; returns how many events went.

        None where somebody else has removed the same meanwhile.

        Raises:
            RefusedError: Who has connected may not remove them, or one is to be kept by now.
            UnreachableError: The database did not answer. The portion is gone, or it is not.
        """
        try:
            [row] = await self._rows(
                org_id, _PRUNE, before=before, by=by, after=portion.after, upto=portion.upto
            )
        except errors.InsufficientPrivilege:
            raise _not_allowed() from None
        except errors.RestrictViolation as error:
            raise RefusedError(
                error.diag.message_primary or str(error),
                hint="start it again: something has changed meanwhile",
            ) from error
        return int(row["removed"])

    async def _rows(
        self, org_id: UUID, query: sql.Composed | LiteralString, **values: Any
    ) -> list[dict[str, Any]]:
        async with self._database.transaction(org_id) as connection:
            return await (await connection.execute(query, {"org": org_id, **values})).fetchall()


def _not_allowed() -> RefusedError:
    return RefusedError(
        "audit events are removed by the owner of the tables alone",
        hint="set STEPLOOM_DATABASE_URL to a login that acts as steploom_owner, as for "
        "`steploom migrate`",
    )

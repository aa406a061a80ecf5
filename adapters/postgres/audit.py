"""Reads the audit events: in pages, newest first, and along their chain, to check it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple
from uuid import UUID

from psycopg import sql

from adapters.postgres.audit_seals import EVENT_TEXT, AuditSealer
from adapters.postgres.pages import page_end, read_page_end
from definitions.errors import InvalidInputError
from definitions.seals import Anchor, Link
from definitions.views import AuditPage, AuditView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from adapters.postgres.database import Database

#: The most that one page holds.
MAX_PAGE = 1000
#: Links that are read at a time.
_LINKS = 2000

_WORKFLOW = "event_data->'data'->'workflow'"
#: What ``list_events`` can ask for, by the name of its argument.
FILTERS = {
    "event_type": sql.SQL("event_type = %(event_type)s"),
    "instance_id": sql.SQL("instance_id = %(instance_id)s"),
    "execution_id": sql.SQL(f"{_WORKFLOW}->>'execution_id' = %(execution_id)s"),
    "workflow_id": sql.SQL(f"{_WORKFLOW}->>'workflow_id' = %(workflow_id)s"),
    "since": sql.SQL("event_timestamp >= %(since)s"),
    "until": sql.SQL("event_timestamp < %(until)s"),
    "after_time": sql.SQL("(event_timestamp, event_id) < (%(after_time)s, %(after_id)s)"),
}
_EVENTS = sql.SQL(
    "SELECT event_id, event_timestamp, event_type, event_data, instance_id, seq FROM audit_events"
    " WHERE org_id = %(org)s"
)
_NEWEST_FIRST = sql.SQL(" ORDER BY event_timestamp DESC, event_id DESC LIMIT %(limit)s")

CHAIN = sql.SQL("""
SELECT s.position, s.event_id, s.event_hash, s.previous_hash, s.hash,
       CASE WHEN e.event_id IS NOT NULL THEN {} END AS text
FROM audit_seals AS s
LEFT JOIN audit_events AS e ON e.org_id = s.org_id AND e.event_id = s.event_id
WHERE s.org_id = %(org)s AND s.position > %(after)s
ORDER BY s.position
LIMIT %(limit)s
""").format(sql.SQL(EVENT_TEXT))
_ANCHOR = """
SELECT a.position, a.hash, a.removed, a.pruned_at, a.pruned_by, a.event_id,
       CASE WHEN e.event_type = 'audit.pruned' THEN e.event_data->'data'->'audit' END AS told
FROM audit_anchors AS a
LEFT JOIN audit_events AS e ON e.org_id = a.org_id AND e.event_id = a.event_id
WHERE a.org_id = %(org)s
ORDER BY a.position DESC
LIMIT 1
"""
_HEAD = "SELECT position FROM audit_seals WHERE org_id = %(org)s ORDER BY position DESC LIMIT 1"
_WAITING = """
SELECT count(*) AS events, min(recorded_at) AS since FROM audit_unsealed WHERE org_id = %(org)s
"""
#: Events without a seal that do not wait for one: in one statement, so that a sealer who is at work
#: meanwhile makes no difference.
_ASTRAY = """
SELECT e.event_id
FROM audit_events AS e
WHERE e.org_id = %(org)s
  AND NOT EXISTS (
      SELECT FROM audit_seals AS s WHERE s.org_id = e.org_id AND s.event_id = e.event_id)
  AND NOT EXISTS (
      SELECT FROM audit_unsealed AS u WHERE u.org_id = e.org_id AND u.event_id = e.event_id)
ORDER BY e.recorded_at, e.event_id
LIMIT 1
"""
#: Events that waited for a seal and are no more.
_VANISHED = """
SELECT u.event_id
FROM audit_unsealed AS u
WHERE u.org_id = %(org)s
  AND NOT EXISTS (
      SELECT FROM audit_events AS e WHERE e.org_id = u.org_id AND e.event_id = u.event_id)
ORDER BY u.recorded_at, u.event_id
LIMIT 1
"""


class Waiting(NamedTuple):
    """The events without a seal: how many, and since when the oldest was written."""

    events: int
    since: datetime | None


class Audit:
    """The audit events, read-only but for the sealer. Every method sees one org alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.sealer = AuditSealer(database)

    async def list_events(
        self,
        org_id: UUID,
        *,
        event_type: str | None = None,
        instance_id: UUID | None = None,
        execution_id: str | None = None,
        workflow_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> AuditPage:
        """A page of events, newest first.

        Args:
            org_id: Whose events.
            event_type: Only these.
            instance_id: Only of this run, which need not be on record any more.
            execution_id: Only of runs with this execution id; slower than ``instance_id``.
            workflow_id: Only of runs of this definition.
            since: That happened at this time or later.
            until: That happened before this time.
            limit: The most to return, up to ``MAX_PAGE``.
            after: ``AuditPage.next`` of the page before.

        Raises:
            InvalidInputError: ``after`` is no such text, or ``limit`` is out of range.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"a page holds 1 to {MAX_PAGE} events, not {limit}")
        after_time, after_id = read_page_end(after)
        values: dict[str, Any] = {
            "event_type": event_type,
            "instance_id": instance_id,
            "execution_id": execution_id,
            "workflow_id": workflow_id,
            "since": since,
            "until": until,
            "after_time": after_time,
            "after_id": after_id,
        }
        query = events_query([name for name in FILTERS if values[name] is not None])
        # One more than asked for tells whether there is another page.
        rows = await self._rows(query, {**values, "org": org_id, "limit": limit + 1})
        items = [AuditView.model_validate(row) for row in rows[:limit]]
        end = None
        if len(rows) > limit:
            end = page_end(items[-1].event_timestamp, items[-1].event_id)
        return AuditPage(items=items, next=end)

    async def chain(self, org_id: UUID, *, after: int = 0) -> AsyncIterator[Sequence[Link]]:
        """The links of an org's chain behind a position, in their order, in pages."""
        while True:
            values = {"org": org_id, "after": after, "limit": _LINKS}
            page = [Link(**row) for row in await self._rows(CHAIN, values)]
            if not page:
                return
            yield page
            after = page[-1].position

    async def anchor(self, org_id: UUID) -> Anchor | None:
        """The last link that was pruned, if any was."""
        rows = await self._rows(_ANCHOR, {"org": org_id})
        return Anchor(**rows[0]) if rows else None

    async def head(self, org_id: UUID) -> int:
        """The position of the last link; 0 where there is none."""
        rows = await self._rows(_HEAD, {"org": org_id})
        return int(rows[0]["position"]) if rows else 0

    async def waiting(self, org_id: UUID) -> Waiting:
        """The events that have no seal yet."""
        [row] = await self._rows(_WAITING, {"org": org_id})
        return Waiting(**row)

    async def astray(self, org_id: UUID) -> UUID | None:
        """The first event that has no seal and waits for none, if there is one."""
        return await self._first(_ASTRAY, org_id)

    async def vanished(self, org_id: UUID) -> UUID | None:
        """The first event that waits for a seal and is not there, if there is one."""
        return await self._first(_VANISHED, org_id)

    async def _first(self, query: LiteralString, org_id: UUID) -> UUID | None:
        rows = await self._rows(query, {"org": org_id})
        return rows[0]["event_id"] if rows else None

    async def _rows(
        self, query: sql.Composed | LiteralString, values: dict[str, Any]
    ) -> list[dict[str, Any]]:
        async with self._database.transaction(values["org"]) as connection:
            return await (await connection.execute(query, values)).fetchall()


def events_query(filters: Sequence[str]) -> sql.Composed:
    """The query of a page of events; all these filters hold."""
    parts = [_EVENTS, *(FILTERS[name] for name in filters)]
    return sql.SQL(" AND ").join(parts) + _NEWEST_FIRST

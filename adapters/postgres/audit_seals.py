"""Seals committed audit events: adds them to the hash chain of their org.

One sealer at a time for each org, by an advisory lock that ends with its transaction; what another
one holds is left to it. A link, and that its event leaves the queue, are one transaction; and the
keys of ``audit_seals`` refuse a second link for a place or an event. So each event is sealed once,
whatever fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import errors, sql

from adapters.postgres.database import RETRYABLE
from definitions.seals import ORIGIN, event_hash, link_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from adapters.postgres.database import Connection, Database

#: An event as it is hashed: every column of its row, in jsonb's own order and spelling of numbers.
#: Times are spelled out, because jsonb would take the session's zone.
_TIME: LiteralString = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
EVENT_TEXT: LiteralString = f"""jsonb_build_object(
    'org_id', e.org_id,
    'event_id', e.event_id,
    'event_timestamp', to_char(e.event_timestamp AT TIME ZONE 'UTC', {_TIME}),
    'event_type', e.event_type,
    'event_data', e.event_data,
    'instance_id', e.instance_id,
    'seq', e.seq,
    'recorded_at', to_char(e.recorded_at AT TIME ZONE 'UTC', {_TIME})
)::text"""

#: The most events that one transaction seals.
MAX_PAGE = 500

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('steploom audit ' || %s, 0)) AS mine"
_HEAD = "SELECT position, hash FROM audit_seals WHERE org_id = %s ORDER BY position DESC LIMIT 1"
#: The queue's oldest events that are there. One that has a seal already only leaves the queue.
NEXT = sql.SQL("""
SELECT u.event_id, s.position, {} AS text
FROM audit_unsealed AS u
JOIN audit_events AS e ON e.org_id = u.org_id AND e.event_id = u.event_id
LEFT JOIN audit_seals AS s ON s.org_id = u.org_id AND s.event_id = u.event_id
WHERE u.org_id = %(org)s
ORDER BY u.recorded_at, u.event_id
LIMIT %(limit)s
""").format(sql.SQL(EVENT_TEXT))
_ADD = """
INSERT INTO audit_seals (org_id, position, event_id, event_hash, previous_hash, hash)
SELECT %(org)s, n.* FROM unnest(
    %(positions)s::bigint[], %(events)s::uuid[], %(event_hashes)s::text[], %(previous)s::text[],
    %(hashes)s::text[]
) AS n
"""
_LEAVE = "DELETE FROM audit_unsealed WHERE org_id = %s AND event_id = ANY(%s)"


class AuditSealer:
    """Makes the chains longer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seal(self, org_id: UUID, *, limit: int = MAX_PAGE) -> int:
        """Seals an org's oldest unsealed events; returns how many, fewer than ``limit`` at the end.

        Zero as well where another sealer is at it.

        Raises:
            UnreachableError: The database did not answer. What it was about is sealed, or is not.
        """
        try:
            async with self._database.transaction(org_id) as connection:
                return await _seal(connection, org_id, limit)
        except (*RETRYABLE, errors.UniqueViolation):
            # Somebody was faster; the next time sees what that one did.
            return 0

    async def seal_all(self, org_id: UUID) -> int:
        """Seals all events of an org that are committed by now, unless another sealer does.

        Raises:
            UnreachableError: The database did not answer.
        """
        total = 0
        while sealed := await self.seal(org_id):
            total += sealed
        return total


async def _seal(connection: Connection, org_id: UUID, limit: int) -> int:
    locked = await (await connection.execute(_LOCK, (str(org_id),))).fetchone()
    if locked is None or not locked["mine"]:
        return 0
    rows = await (await connection.execute(NEXT, {"org": org_id, "limit": limit})).fetchall()
    if not rows:
        return 0
    # After the lock, so that what the last sealer committed is seen.
    head = await (await connection.execute(_HEAD, (org_id,))).fetchone()
    position, previous = (head["position"], head["hash"]) if head is not None else (0, ORIGIN)
    await connection.execute(_ADD, _links(org_id, rows, position, previous))
    await connection.execute(_LEAVE, (org_id, [row["event_id"] for row in rows]))
    return len(rows)


def _links(
    org_id: UUID, rows: Sequence[dict[str, Any]], position: int, previous: str
) -> dict[str, object]:
    positions, events, event_hashes, before, hashes = [], [], [], [], []
    for row in rows:
        if row["position"] is not None:
            continue
        position += 1
        of_event = event_hash(row["text"])
        made = link_hash(position, previous, of_event)
        positions.append(position)
        events.append(row["event_id"])
        event_hashes.append(of_event)
        before.append(previous)
        hashes.append(made)
        previous = made
    return {
        "org": org_id, "positions": positions, "events": events, "event_hashes": event_hashes,
        "previous": before, "hashes": hashes,
    }  # fmt: skip

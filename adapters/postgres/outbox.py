"""The outbox as its publisher sees it: a lane for each run, claimed by one publisher at a time.

A lane is claimed by locking its first unpublished row; whoever finds that locked passes the whole
run by. What was claimed is marked in the transaction that holds the lock, so a publisher that dies
leaves everything as it was. ``id`` and time say nothing about the order of commits, so there is no
place in the outbox up to which everything is done: what is unpublished is looked for.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import structlog

from adapters.postgres.database import RETRYABLE
from definitions.errors import SteploomError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from adapters.postgres.database import Connection, Database

_log = structlog.get_logger(__name__)

#: What precedes an event may not be on record yet, while its run goes on. Once the run has ended it
#: has so long to come, should a task of it still be under way.
PATIENCE = timedelta(minutes=1)
_PAGE = 5_000
_ZERO = UUID(int=0)

# From lane to lane along the index, whatever is in them.
_HEADS = """
WITH RECURSIVE lanes AS (
    (SELECT o.instance_id, o.id FROM outbox_events AS o
     WHERE o.org_id = %(org)s AND o.published_at IS NULL AND o.dead_at IS NULL
         AND o.instance_id > %(after)s
     ORDER BY o.instance_id, o.seq LIMIT 1)
    UNION ALL
    SELECT n.instance_id, n.id FROM lanes AS l CROSS JOIN LATERAL (
        SELECT o.instance_id, o.id FROM outbox_events AS o
        WHERE o.org_id = %(org)s AND o.published_at IS NULL AND o.dead_at IS NULL
            AND o.instance_id > l.instance_id
        ORDER BY o.instance_id, o.seq LIMIT 1
    ) AS n
)
SELECT instance_id, id FROM lanes LIMIT %(lanes)s
"""
# Another one may have published it since it was seen: then it is not ours any more.
_LOCK = """
SELECT instance_id FROM outbox_events
WHERE org_id = %(org)s AND id = ANY(%(ids)s) AND published_at IS NULL AND dead_at IS NULL
ORDER BY id
FOR UPDATE SKIP LOCKED
"""
_EVENTS = """
SELECT e.*,
    e.after_seq IS NULL
    OR EXISTS (
        SELECT FROM outbox_events AS p
        WHERE p.org_id = %(org)s AND p.instance_id = e.instance_id AND p.seq = e.after_seq
    )
    OR NOT EXISTS (
        SELECT FROM workflow_instances AS i
        WHERE i.org_id = %(org)s AND i.id = e.instance_id
            AND (i.completed_at IS NULL OR i.completed_at > now() - %(patience)s)
    ) AS due
FROM unnest(%(lanes)s::uuid[]) AS l (instance_id)
CROSS JOIN LATERAL (
    SELECT o.id, o.event_id, o.instance_id, o.execution_id, o.seq, o.after_seq, o.event_type,
        o.envelope, o.occurred_at
    FROM outbox_events AS o
    WHERE o.org_id = %(org)s AND o.instance_id = l.instance_id
        AND o.published_at IS NULL AND o.dead_at IS NULL
    ORDER BY o.seq, o.id
    LIMIT %(each)s
) AS e
ORDER BY e.instance_id, e.seq, e.id
"""
_PUBLISHED = """
UPDATE outbox_events SET published_at = clock_timestamp(), error = NULL
WHERE org_id = %(org)s AND id = ANY(%(ids)s)
"""
_DEAD = """
UPDATE outbox_events SET dead_at = clock_timestamp(), error = %(error)s
WHERE org_id = %(org)s AND id = %(id)s
"""
_REVIVE = """
UPDATE outbox_events SET dead_at = NULL, error = NULL
WHERE org_id = %(org)s AND dead_at IS NOT NULL
    AND (%(ids)s::uuid[] IS NULL OR event_id = ANY(%(ids)s))
RETURNING event_id
"""
_CLEAN = """
DELETE FROM outbox_events WHERE org_id = %(org)s AND id IN (
    SELECT o.id FROM outbox_events AS o
    WHERE o.org_id = %(org)s AND o.recorded_at < now() - %(kept)s
        AND (o.published_at IS NOT NULL OR o.dead_at IS NOT NULL OR %(all)s)
    LIMIT %(limit)s
)
"""


class OutboxEvent(NamedTuple):
    """An event to be published; ``envelope`` is the whole of it as JSON values."""

    id: int
    event_id: UUID
    org_id: UUID
    execution_id: str
    event_type: str
    envelope: dict[str, Any]
    occurred_at: datetime


class Lag(NamedTuple):
    """What waits in the outbox of all orgs, what was given up, and since when the oldest waits."""

    waiting: int
    dead: int
    oldest: datetime | None


@dataclass(slots=True)
class Claim:
    """Lanes that are ours until the claim ends, each with its events in their order.

    ``last``: the last run that was looked at, None after the last of all. What became of the events
    is put into ``published`` and ``dead``, by their ``id``; what is in neither is tried again.
    """

    lanes: list[list[OutboxEvent]]
    last: UUID | None
    published: list[int] = field(default_factory=list)
    dead: dict[int, str] = field(default_factory=dict)


class Outbox:
    """The unpublished events of all orgs, org by org."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def orgs(self) -> Sequence[UUID]:
        """The orgs that have something to publish."""
        async with self._database.transaction(None) as connection:
            cursor = await connection.execute("SELECT outbox_orgs() AS id")
            return [row["id"] for row in await cursor.fetchall()]

    async def lag(self) -> Lag:
        """How much waits."""
        async with self._database.transaction(None) as connection:
            cursor = await connection.execute("SELECT * FROM outbox_lag()")
            row = await cursor.fetchone()
        return Lag(0, 0, None) if row is None else Lag(**row)

    @asynccontextmanager
    async def claim(
        self, org_id: UUID, *, after: UUID | None = None, lanes: int = 100, each: int = 50
    ) -> AsyncIterator[Claim]:
        """Claims lanes of an org while its body runs, and then marks what became of their events.

        Args:
            org_id: Whose.
            after: Lanes of the runs after this one, in the order of their ids.
            lanes: At most so many.
            each: At most so many events of each.

        Raises:
            UnreachableError: The database did not answer. When that happens at the end, events that
                were published are not marked, and are published again.
        """
        try:
            async with self._database.transaction(org_id) as connection:
                claim = await self._claim(connection, org_id, after or _ZERO, lanes, each)
                yield claim
                if claim.published:
                    await connection.execute(_PUBLISHED, {"org": org_id, "ids": claim.published})
                for name, error in claim.dead.items():
                    await connection.execute(_DEAD, {"org": org_id, "id": name, "error": error})
        except RETRYABLE as error:
            reason = str(error).partition("\n")[0]
            raise UnreachableError("Postgres", f"the outbox was in use: {reason}") from error

    async def _claim(
        self, connection: Connection, org_id: UUID, after: UUID, lanes: int, each: int
    ) -> Claim:
        values: dict[str, Any] = {"org": org_id, "after": after, "lanes": lanes}
        heads = await (await connection.execute(_HEADS, values)).fetchall()
        last = heads[-1]["instance_id"] if len(heads) == lanes else None
        values = {"org": org_id, "ids": [head["id"] for head in heads]}
        ours = await (await connection.execute(_LOCK, values)).fetchall() if heads else []
        if not ours:
            return Claim([], last)
        # A statement of its own: it has to see what was committed before the locks were ours.
        values = {
            "org": org_id,
            "lanes": [row["instance_id"] for row in ours],
            "each": each,
            "patience": PATIENCE,
        }
        found: dict[UUID, list[OutboxEvent]] = {}
        held: set[UUID] = set()
        for row in await (await connection.execute(_EVENTS, values)).fetchall():
            run = row["instance_id"]
            if not row["due"]:
                held.add(run)
            if run not in held:
                found.setdefault(run, []).append(_event(org_id, row))
        return Claim(list(found.values()), last)

    async def revive(self, org_id: UUID, event_ids: Sequence[UUID] | None = None) -> list[UUID]:
        """Has events that were given up tried again (all of the org's if None); returns them."""
        async with self._database.transaction(org_id) as connection:
            values = {"org": org_id, "ids": list(event_ids) if event_ids is not None else None}
            cursor = await connection.execute(_REVIVE, values)
            return [row["event_id"] for row in await cursor.fetchall()]

    async def clean(self, org_id: UUID, kept: timedelta, *, unpublished: bool) -> int:
        """Removes events that were recorded longer ago; returns how many.

        ``unpublished``: those too that nobody has published, which are kept otherwise.
        """
        removed = 0
        values = {"org": org_id, "kept": kept, "all": unpublished, "limit": _PAGE}
        while True:
            async with self._database.transaction(org_id) as connection:
                count = (await connection.execute(_CLEAN, values)).rowcount
            removed += count
            if count < _PAGE:
                return removed


def _event(org_id: UUID, row: dict[str, Any]) -> OutboxEvent:
    return OutboxEvent(
        id=row["id"],
        event_id=row["event_id"],
        org_id=org_id,
        execution_id=row["execution_id"],
        event_type=row["event_type"],
        envelope=row["envelope"],
        occurred_at=row["occurred_at"],
    )


async def keep_outbox(
    database: Database, kept: timedelta, *, unpublished: bool, every: float = 60 * 60.0
) -> None:
    """Removes what is old from the outboxes of all orgs, now and again, until it is cancelled.

    What fails is tried the next time. ``unpublished``: as in ``Outbox.clean``.
    """
    outbox = Outbox(database)
    while True:
        try:
            async with database.transaction(None) as connection:
                cursor = await connection.execute("SELECT id FROM list_organizations()")
                orgs = [row["id"] for row in await cursor.fetchall()]
            removed = 0
            for org in orgs:
                removed += await outbox.clean(org, kept, unpublished=unpublished)
            if removed:
                _log.info("outbox_cleaned", events=removed)
        except SteploomError as error:
            _log.warning("outbox_not_cleaned", reason=error.message)
        await asyncio.sleep(every)

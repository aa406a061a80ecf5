"""Finds the definitions that an event may start, and how far it is from the first cause."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from definitions.document import Trigger
from definitions.triggers import MAX_CAUSATION_DEPTH, candidates, matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.postgres.database import Database
    from definitions.inbound import InboundEvent

_MATCHES = """
SELECT d.id, d.workflow_id, d.version, d.name, d.triggers, d.input_schema
FROM match_triggers(%(patterns)s) AS m
JOIN workflow_definitions AS d ON d.id = m.definition_id
WHERE d.org_id = %(org)s
ORDER BY d.workflow_id
"""
#: The run that published an event: by the event itself while the outbox has it, else by its name.
#: From there to the runs that it came from, as a child or a rerun, up to one that an event started.
_DEPTH = """
WITH RECURSIVE publisher AS (
    SELECT instance_id AS id FROM outbox_events WHERE org_id = %(org)s AND event_id = %(event)s
    UNION
    (SELECT id FROM workflow_instances
     WHERE org_id = %(org)s AND execution_id = %(run)s ORDER BY started_at DESC LIMIT 1)
),
line AS (
    SELECT i.origin_instance_id, i.metadata -> 'causationDepth' AS depth, 1 AS level
    FROM workflow_instances AS i JOIN publisher AS p ON p.id = i.id
    WHERE i.org_id = %(org)s
    UNION ALL
    SELECT i.origin_instance_id, i.metadata -> 'causationDepth', l.level + 1
    FROM workflow_instances AS i JOIN line AS l ON l.origin_instance_id = i.id
    WHERE i.org_id = %(org)s AND l.level < 100
)
SELECT coalesce(max(CASE WHEN jsonb_typeof(depth) = 'number' THEN depth::numeric END), 0) AS depth
FROM line
"""


class Triggered(BaseModel):
    """A definition at its highest version, with the triggers that an event's type matches."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    workflow_id: str
    version: str
    name: str
    input_schema: dict[str, object] | None
    triggers: list[Trigger] = Field(default_factory=list)


class PostgresTriggers:
    """Reads one org's triggers at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def matching(self, org_id: UUID, event_type: str) -> Sequence[Triggered]:
        """The listed definitions with a trigger for this type, at their highest versions.

        Raises:
            ValueError: It is no type.
            UnreachableError: The database does not answer.
        """
        values = {"patterns": candidates(event_type), "org": org_id}
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_MATCHES, values)
            found = [Triggered.model_validate(row) for row in await cursor.fetchall()]
        return [
            one.model_copy(
                update={
                    "triggers": [t for t in one.triggers if matches(t.event_pattern, event_type)]
                }
            )
            for one in found
        ]

    async def causation_depth(self, org_id: UUID, event: InboundEvent) -> int:
        """How many runs have started one another by their events, up to the one that published it.

        0: it is nobody's of this org, or of a run that no event started. Never more than the limit.

        Raises:
            UnreachableError: The database does not answer.
        """
        values = {"org": org_id, "event": event.id, "run": event.workflow_run_id}
        async with self._database.transaction(org_id) as connection:
            row = await (await connection.execute(_DEPTH, values)).fetchone()
        depth = int(row["depth"]) if row is not None else 0
        return max(0, min(depth, MAX_CAUSATION_DEPTH))

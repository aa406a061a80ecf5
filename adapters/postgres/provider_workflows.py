"""The workflows that were created through a provider which keeps them here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from adapters.postgres.database import dump_json

if TYPE_CHECKING:
    from uuid import UUID

    from adapters.postgres.database import Database

_SELECT = """
SELECT spec, resource_ids, created_at FROM provider_workflows
WHERE org_id = %(org)s AND provider_type = %(type)s AND workflow_id = %(workflow)s
"""
_INSERT = """
INSERT INTO provider_workflows
    (org_id, provider_type, workflow_id, spec, resource_ids, created_by)
VALUES (%(org)s, %(type)s, %(workflow)s, %(spec)s, %(resources)s, %(actor)s)
ON CONFLICT DO NOTHING
"""
_DELETE = """
DELETE FROM provider_workflows
WHERE org_id = %(org)s AND provider_type = %(type)s AND workflow_id = %(workflow)s
RETURNING workflow_id
"""


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    """One of them. ``spec`` is the JSON of the ``WorkflowSpec`` that it was created with."""

    spec: dict[str, Any]
    resource_ids: dict[str, str]
    created_at: datetime


class PostgresProviderWorkflows:
    """The workflows of one provider, of all orgs; every method sees one org alone."""

    def __init__(self, database: Database, provider_type: str) -> None:
        self._database = database
        self._type = provider_type

    async def find(self, org_id: UUID, workflow_id: str) -> StoredWorkflow | None:
        """The workflow of this id, if there is one."""
        values = {"org": org_id, "type": self._type, "workflow": workflow_id}
        async with self._database.transaction(org_id) as connection:
            row = await (await connection.execute(_SELECT, values)).fetchone()
        return StoredWorkflow(**row) if row is not None else None

    async def add(
        self,
        org_id: UUID,
        workflow_id: str,
        spec: dict[str, Any],
        resource_ids: dict[str, str],
        *,
        actor: str | None = None,
    ) -> StoredWorkflow:
        """Keeps a workflow; returns the one that is there now, which somebody may have added first.

        ``spec`` must be such as ``jsonb`` can keep.
        """
        values = {
            "org": org_id,
            "type": self._type,
            "workflow": workflow_id,
            "spec": Jsonb(spec, dump_json),
            "resources": Jsonb(resource_ids, dump_json),
            "actor": actor,
        }
        async with self._database.transaction(org_id) as connection:
            await connection.execute(_INSERT, values)
            row = await (await connection.execute(_SELECT, values)).fetchone()
        if row is None:
            raise AssertionError("a row that was inserted is there")
        return StoredWorkflow(**row)

    async def remove(self, org_id: UUID, workflow_id: str) -> bool:
        """Forgets a workflow; returns whether there was one."""
        values = {"org": org_id, "type": self._type, "workflow": workflow_id}
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_DELETE, values)
            return await cursor.fetchone() is not None

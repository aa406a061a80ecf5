"""The runs that are open on record, for whoever asks whether they still are in Temporal."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from definitions.records import RunRef

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from adapters.postgres.database import Database

_COLUMNS = (
    "SELECT id, org_id, execution_id, first_run_id, workflow_id, version, status, started_at,"
    " updated_at, completed_at, current_step_id, state, definition_version_id"
    " FROM workflow_instances AS i"
    # Those that were begun by the SQL functions are no business of Temporal's.
    " WHERE org_id = %(org)s AND NOT starts_with(first_run_id, 'sql:')"
)
_OPEN = "status IN ('running', 'suspended')"
#: A task that went on when its run was ended may tell of its step after that.
_OPEN_STEPS = (
    "EXISTS (SELECT FROM workflow_steps AS s WHERE s.trace_id = i.trace_id"
    " AND s.org_id = i.org_id AND s.task_id IS NOT NULL"
    " AND s.status IN ('pending', 'active', 'waiting'))"
)
_BY_ID = f"{_COLUMNS} AND id = ANY(%(ids)s) AND ({_OPEN} OR {_OPEN_STEPS})"
_SILENT = (
    f"{_COLUMNS} AND {_OPEN} AND updated_at < %(before)s AND id > %(after)s"
    " ORDER BY id LIMIT %(limit)s"
)


class OpenRun(NamedTuple):
    """A run without an end on record, or with a step without one.

    ``completed_at``: when it ended, where that is on record. ``version_id``: what it is pinned to.
    """

    ref: RunRef
    started_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    current_step_id: str | None
    state: dict[str, object]
    version_id: UUID | None


class OpenRuns:
    """Reads them, org by org."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, org_id: UUID, instance_ids: Sequence[UUID]) -> Sequence[OpenRun]:
        """Those of these runs that are open, or have open steps, in this org."""
        return await self._fetch(_BY_ID, {"org": org_id, "ids": list(instance_ids)})

    async def silent(
        self, org_id: UUID, before: datetime, *, after: UUID, limit: int
    ) -> Sequence[OpenRun]:
        """A page of open runs that have written nothing since ``before``, by id."""
        values = {"org": org_id, "before": before, "after": after, "limit": limit}
        return await self._fetch(_SILENT, values)

    async def _fetch(self, query: str, values: dict[str, object]) -> Sequence[OpenRun]:
        async with self._database.transaction(values["org"]) as connection:  # type: ignore[arg-type]
            rows = await (await connection.execute(query, values)).fetchall()
        return [
            OpenRun(
                ref=RunRef(
                    org_id=row["org_id"],
                    instance_id=row["id"],
                    execution_id=row["execution_id"],
                    first_run_id=row["first_run_id"],
                    workflow_id=row["workflow_id"],
                    version=row["version"],
                ),
                started_at=row["started_at"],
                updated_at=row["updated_at"],
                completed_at=row["completed_at"],
                current_step_id=row["current_step_id"],
                state=row["state"] or {"input": {}, "steps": {}, "variables": {}},
                version_id=row["definition_version_id"],
            )
            for row in rows
        ]

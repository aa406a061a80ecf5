"""Reads the record back: runs in pages, one run by any of its names, its steps and its events.

Pages are cut by key (``started_at``, ``id``), never by offset: a page costs the same however far
back it lies, and runs that start meanwhile move nothing.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString, Protocol
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from adapters.postgres.pages import page_end, read_page_end
from definitions.errors import ConflictError, InvalidInputError, NotFoundError
from definitions.views import (
    ActionView,
    AttemptView,
    AuditView,
    InstancePage,
    InstanceView,
    OutboxView,
    StepView,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from adapters.postgres.database import Connection, Database
    from definitions.statuses import InstanceStatus

#: The most that one page holds.
MAX_PAGE = 1000
#: How many runs an ambiguous prefix lists.
_CANDIDATES = 10

_PREFIX = re.compile(r"^[0-9a-f]{8,32}$")

_COLUMNS = (
    "id, org_id, execution_id, first_run_id, workflow_definition_id, definition_version_id,"
    " workflow_id, version, content_hash, status, current_step_id, error, trigger_event_id,"
    " correlation_id, channel, external_id, user_id, idempotency_key, request_hash, metadata, tags,"
    " interpreter_version, started_at, updated_at, completed_at,"
    " CASE WHEN origin_kind IS NOT NULL THEN jsonb_build_object('kind', origin_kind,"
    " 'instanceId', origin_instance_id, 'executionId', origin_execution_id,"
    " 'path', origin_path, 'iteration', origin_iteration) END AS origin"
)
#: A page leaves out what can be large.
_BRIEF = sql.SQL("SELECT {} FROM workflow_instances WHERE ").format(sql.SQL(_COLUMNS))
_WHOLE = sql.SQL("SELECT {}, input, state, output FROM workflow_instances WHERE ").format(
    sql.SQL(_COLUMNS)
)
_NEWEST_FIRST = sql.SQL(" ORDER BY started_at DESC, id DESC LIMIT %(limit)s")

#: What ``list_instances`` can ask for, by the name of its argument.
_FILTERS = {
    "status": sql.SQL("status = %(status)s"),
    "workflow_id": sql.SQL("workflow_id = %(workflow_id)s"),
    "correlation_id": sql.SQL("correlation_id = %(correlation_id)s"),
    "statuses": sql.SQL("status = ANY(%(statuses)s)"),
    "timed_out": sql.SQL("(coalesce(error ->> 'type', '') = 'WorkflowTimeout') = %(timed_out)s"),
    "tags": sql.SQL("tags @> %(tags)s"),
    "came_from": sql.SQL("origin_instance_id = %(came_from)s"),
    "no_child_of": sql.SQL(
        "NOT EXISTS (SELECT FROM workflow_instances AS parent"
        " WHERE parent.id = workflow_instances.origin_instance_id"
        " AND workflow_instances.origin_kind = 'child'"
        " AND parent.metadata ->> %(no_child_of)s IS NOT NULL)"
    ),
    "since": sql.SQL("started_at >= %(since)s"),
    "until": sql.SQL("started_at < %(until)s"),
    "after_time": sql.SQL("(started_at, id) < (%(after_time)s, %(after_id)s)"),
}

_STEPS = """
SELECT s.step_uuid AS id, s.seq, s.path, s.iteration, s.step_id, s.task_id, s.name, s.status,
       s.input_data AS input, s.output_data AS output, s.error, s.start_time AS started_at,
       s.end_time AS completed_at, s.attempts, s.decision, coalesce(s.votes, '[]') AS votes,
       s.waiting_for, s.compensated, coalesce(s.wrapped, false) AS wrapped
FROM workflow_steps AS s
JOIN workflow_instances AS i ON i.trace_id = s.trace_id AND i.org_id = s.org_id
WHERE i.org_id = %(org)s AND i.id = %(instance)s
ORDER BY s.first_seq, s.start_time, s.path, s.iteration
"""
_ATTEMPTS = """
SELECT a.path, a.iteration, a.attempt, a.status, a.input_data AS input, a.output_data AS output,
       a.error, a.start_time AS started_at, a.end_time AS completed_at, a.worker
FROM workflow_step_attempts AS a
JOIN workflow_instances AS i ON i.trace_id = a.trace_id AND i.org_id = a.org_id
WHERE i.org_id = %(org)s AND i.id = %(instance)s
ORDER BY a.path, a.iteration, a.attempt
"""
_EVENTS = """
SELECT event_id, event_timestamp, event_type, event_data, instance_id, seq
FROM audit_events
WHERE org_id = %(org)s AND instance_id = %(instance)s
ORDER BY seq, event_timestamp
"""
_ACTIONS = """
SELECT e.event_id, e.seq, substr(e.event_type, 8) AS action, e.actor,
       e.event_data ->> 'reason' AS reason, e.path, e.iteration, e.occurred_at,
       coalesce(e.event_data -> 'data', '{}') AS data
FROM workflow_events AS e
JOIN workflow_instances AS i ON i.trace_id = e.trace_id AND i.trace_created_at = e.created_at
WHERE i.org_id = %(org)s AND i.id = %(instance)s AND starts_with(e.event_type, 'action.')
ORDER BY e.seq, e.occurred_at
"""
_OUTBOX = """
SELECT id, event_id, instance_id, execution_id, seq, event_type, envelope, occurred_at, published_at
FROM outbox_events
WHERE org_id = %(org)s AND instance_id = %(instance)s AND path <> ''
ORDER BY seq, id
"""
_OUTBOX_PAGE = """
SELECT id, event_id, instance_id, execution_id, seq, event_type, envelope, occurred_at,
    published_at, path, recorded_at, dead_at, error
FROM outbox_events
WHERE org_id = %(org)s AND (recorded_at, seq, id) > (%(since)s, %(seq)s, %(id)s)
    AND (%(types)s::text[] IS NULL OR event_type = ANY(%(types)s))
    AND (%(execution)s::text IS NULL OR execution_id = %(execution)s)
ORDER BY recorded_at, seq, id
LIMIT %(limit)s
"""
_OUTBOX_BEGIN = """
SELECT recorded_at FROM outbox_events
WHERE org_id = %(org)s
    AND (%(types)s::text[] IS NULL OR event_type = ANY(%(types)s))
    AND (%(execution)s::text IS NULL OR execution_id = %(execution)s)
ORDER BY recorded_at DESC
OFFSET %(offset)s LIMIT 1
"""


class _Transactions(Protocol):
    def transaction(
        self, org_id: UUID, *, snapshot: bool = False
    ) -> AbstractAsyncContextManager[Connection]: ...


class _Moment:
    """One open transaction, in which all is read."""

    def __init__(self, connection: Connection, org_id: UUID) -> None:
        self._connection = connection
        self._org_id = org_id

    @asynccontextmanager
    async def transaction(
        self, org_id: UUID, *, snapshot: bool = True
    ) -> AsyncIterator[Connection]:
        if org_id != self._org_id:
            raise ValueError("this moment is another org's")
        yield self._connection


class PostgresReader:
    """The record, read-only. Every method sees one org alone, as it is when it is called."""

    def __init__(self, database: Database | _Moment) -> None:
        self._database: _Transactions = database

    @asynccontextmanager
    async def moment(self, org_id: UUID) -> AsyncIterator[PostgresReader]:
        """A reader to which nothing changes any more: what it reads of an org fits together."""
        async with self._database.transaction(org_id, snapshot=True) as connection:
            yield PostgresReader(_Moment(connection, org_id))

    async def list_instances(
        self,
        org_id: UUID,
        *,
        status: InstanceStatus | None = None,
        workflow_id: str | None = None,
        correlation_id: str | None = None,
        came_from: UUID | None = None,
        no_child_of: str | None = None,
        statuses: Sequence[InstanceStatus] | None = None,
        timed_out: bool | None = None,
        tags: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> InstancePage:
        """A page of runs, newest first, without their ``input``, ``state`` and ``output``.

        Args:
            org_id: Whose runs.
            status: Only these.
            workflow_id: Only runs of this definition.
            correlation_id: Only these.
            came_from: Only the child runs and the reruns of this run.
            no_child_of: No child runs of a run that has this name in its metadata.
            statuses: Only runs of one of these statuses.
            timed_out: Only runs that their own timeout has ended, or only others.
            tags: Only runs that have all of these tags.
            since: Started at this time or later.
            until: Started before this time.
            limit: The most to return, up to ``MAX_PAGE``.
            after: ``InstancePage.next`` of the page before.

        Raises:
            InvalidInputError: ``after`` is no such text, or ``limit`` is out of range.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"a page holds 1 to {MAX_PAGE} runs, not {limit}")
        after_time, after_id = read_page_end(after)
        values: dict[str, Any] = {
            "status": status,
            "workflow_id": workflow_id,
            "correlation_id": correlation_id,
            "came_from": came_from,
            "no_child_of": no_child_of,
            "statuses": list(statuses) if statuses is not None else None,
            "timed_out": timed_out,
            "tags": Jsonb(dict(tags)) if tags else None,
            "since": since,
            "until": until,
            "after_time": after_time,
            "after_id": after_id,
        }
        conditions = [text for name, text in _FILTERS.items() if values[name] is not None]
        query = instances_query(conditions, brief=True)
        # One more than asked for tells whether there is another page.
        found = await self._instances(query, {**values, "org": org_id, "limit": limit + 1})
        items = found[:limit]
        more = len(found) > limit
        end = page_end(items[-1].started_at, items[-1].id) if more else None
        return InstancePage(items=items, next=end)

    async def find_instance(self, org_id: UUID, name: str) -> InstanceView:
        """One run by its id, its execution id (then its latest run), or the id's beginning.

        A beginning has at least eight hexadecimal digits.

        Raises:
            NotFoundError: No such run in this org.
            ConflictError: Several ids begin so; the hint lists them.
        """
        exact = sql.SQL("(execution_id = %(name)s OR id = %(id)s)")
        values = {"org": org_id, "name": name, "id": _uuid(name), "limit": 1}
        found = await self._instances(instances_query([exact]), values)
        if found:
            return found[0]
        digits = name.lower().replace("-", "")
        if _PREFIX.match(digits):
            between = sql.SQL("id BETWEEN %(low)s AND %(high)s")
            low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
            values = {"org": org_id, "low": low, "high": high, "limit": _CANDIDATES}
            found = await self._instances(instances_query([between]), values)
        if len(found) > 1:
            candidates = ", ".join(f"{run.id} ({run.workflow_id})" for run in found)
            raise ConflictError(
                f"{name!r} is the beginning of {len(found)} executions' ids",
                hint=f"give more of it; candidates: {candidates}",
            )
        if not found:
            raise NotFoundError("execution", name, hint="`steploom list` shows the latest")
        return found[0]

    async def reruns_of(self, org_id: UUID, instance_id: UUID) -> Sequence[InstanceView]:
        """The runs that went on from this one, the latest first."""
        page = await self.list_instances(org_id, came_from=instance_id, limit=MAX_PAGE)
        return [one for one in page.items if one.origin is not None and one.origin.kind == "rerun"]

    async def find_by_idempotency_key(self, org_id: UUID, key: str) -> InstanceView | None:
        """The first run that was started with this key, if there is one."""
        condition = sql.SQL("idempotency_key = %(key)s")
        values = {"org": org_id, "key": key, "limit": MAX_PAGE}
        found = await self._instances(instances_query([condition]), values)
        return found[-1] if found else None

    async def steps(self, org_id: UUID, instance_id: UUID) -> Sequence[StepView]:
        """The steps of a run in the order in which they began, each with its attempts."""
        values = {"org": org_id, "instance": instance_id}
        async with self._database.transaction(org_id) as connection:
            steps = await (await connection.execute(_STEPS, values)).fetchall()
            attempts = await (await connection.execute(_ATTEMPTS, values)).fetchall()
        of_step: dict[tuple[str, int], list[AttemptView]] = {}
        for row in attempts:
            place = (row["path"], row["iteration"])
            of_step.setdefault(place, []).append(AttemptView.model_validate(row))
        return [
            StepView.model_validate(
                {**row, "attempt_records": of_step.get((row["path"], row["iteration"]), [])}
            )
            for row in steps
        ]

    async def audit_events(self, org_id: UUID, instance_id: UUID) -> Sequence[AuditView]:
        """The audit events of a run, in their order."""
        rows = await self._of_run(_EVENTS, org_id, instance_id)
        return [AuditView.model_validate(row) for row in rows]

    async def actions(self, org_id: UUID, instance_id: UUID) -> Sequence[ActionView]:
        """What was done to a run from outside, in its order."""
        rows = await self._of_run(_ACTIONS, org_id, instance_id)
        return [ActionView.model_validate(row) for row in rows]

    async def outbox(self, org_id: UUID, instance_id: UUID) -> Sequence[OutboxView]:
        """The events that a run's steps publish, in their order, those delivered included."""
        rows = await self._of_run(_OUTBOX, org_id, instance_id)
        return [OutboxView.model_validate(row) for row in rows]

    async def outbox_page(
        self,
        org_id: UUID,
        *,
        since: datetime,
        after: tuple[int, int] = (-1, -1),
        types: Sequence[str] | None = None,
        execution_id: str | None = None,
        limit: int = 500,
    ) -> Sequence[OutboxView]:
        """Events of all runs by the time of their transactions, which is not that of its commit.

        Those of one transaction come in the order of their runs.

        Whoever wants all of them looks again at what is a little older than the newest.

        Args:
            org_id: Whose.
            since: Recorded at this time or later.
            after: Of those recorded at ``since``, the ones with a higher ``seq`` and ``id``.
            types: Only these.
            execution_id: Only of the runs of this name.
            limit: How many.
        """
        values = {
            "org": org_id,
            "since": since,
            "seq": after[0],
            "id": after[1],
            "types": list(types) if types else None,
            "execution": execution_id,
            "limit": limit,
        }
        async with self._database.transaction(org_id) as connection:
            rows = await (await connection.execute(_OUTBOX_PAGE, values)).fetchall()
        return [OutboxView.model_validate(row) for row in rows]

    async def outbox_begin(
        self,
        org_id: UUID,
        newest: int,
        *,
        types: Sequence[str] | None = None,
        execution_id: str | None = None,
    ) -> datetime | None:
        """Since when there are so many events; None if there are fewer."""
        values = {
            "org": org_id,
            "types": list(types) if types else None,
            "execution": execution_id,
            "offset": newest - 1,
        }
        async with self._database.transaction(org_id) as connection:
            row = await (await connection.execute(_OUTBOX_BEGIN, values)).fetchone()
        return None if row is None else row["recorded_at"]

    async def _of_run(
        self, query: LiteralString, org_id: UUID, instance_id: UUID
    ) -> list[dict[str, Any]]:
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(query, {"org": org_id, "instance": instance_id})
            return await cursor.fetchall()

    async def _instances(self, query: sql.Composed, values: dict[str, Any]) -> list[InstanceView]:
        async with self._database.transaction(values["org"]) as connection:
            cursor = await connection.execute(query, values)
            return [InstanceView.model_validate(row) for row in await cursor.fetchall()]


def instances_query(conditions: Sequence[sql.SQL], *, brief: bool = False) -> sql.Composed:
    """The query of a page of runs; all conditions hold."""
    every = [sql.SQL("org_id = %(org)s"), *conditions]
    return (_BRIEF if brief else _WHOLE) + sql.SQL(" AND ").join(every) + _NEWEST_FIRST


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

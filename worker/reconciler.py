"""Closes on record the runs that have ended in Temporal without our code having a say.

Such a run was terminated, ran into a limit of the server's, or timed out by a timeout that its
starter gave it. Two ways find them: what Temporal lists as recently closed, every few seconds, and,
now and then, every open run that has been silent for long. Several workers may do this at the same
time: what they write is the same, with the same ids.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from pydantic import ValidationError
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    TerminatedError,
)
from temporalio.exceptions import (
    TimeoutError as TemporalTimeoutError,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.recording import write_record
from definitions.document import Definition
from definitions.errors import UnreachableError
from definitions.identity import instance_id
from definitions.names import WORKFLOW_TYPE
from definitions.records import (
    ErrorInfo,
    InstanceRecord,
    RecordBatch,
    StepRecord,
)
from definitions.statuses import InstanceStatus, StepStatus
from worker.closing_events import Told, end_events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.client import Client, WorkflowExecutionDescription

    from adapters.postgres.definitions import PostgresDefinitionStore
    from adapters.postgres.open_runs import OpenRun, OpenRuns
    from adapters.postgres.reader import PostgresReader
    from definitions.ports import Recorder
    from definitions.records import Record
    from definitions.views import StepView

_log = structlog.get_logger(__name__)

#: How far back closed runs are listed: longer than a worker's restart takes.
_LOOK_BACK = timedelta(minutes=15)
#: A run that has just ended may still be writing its end.
_SETTLED = timedelta(seconds=5)
#: An open run that has been silent this long is asked after by itself.
_SILENT = timedelta(minutes=10)
#: A run that Temporal does not know at all is given up after this long: until then the worker may
#: only be connected to the wrong place.
_UNKNOWN = timedelta(days=1)
_PAGE = 200
#: Open runs are asked after one by one in every so many rounds.
_FULL_ROUND = 40
_CLOSED_BADLY = "('Terminated', 'TimedOut', 'Failed')"
#: Above every number that a run of ours gives to its records.
_LAST = 1 << 53


@dataclass(frozen=True, slots=True)
class _End:
    status: InstanceStatus
    at: datetime
    output: object = None
    error: ErrorInfo | None = None


class Reconciler:
    """Looks every ``interval`` seconds."""

    def __init__(
        self,
        client: Client,
        store: PostgresDefinitionStore,
        open_runs: OpenRuns,
        reader: PostgresReader,
        recorder: Recorder,
        *,
        interval: timedelta,
    ) -> None:
        self._client = client
        self._store = store
        self._open_runs = open_runs
        self._reader = reader
        self._recorder = recorder
        self._interval = interval

    async def run(self) -> None:
        """Looks until it is cancelled. What goes wrong is tried again in the next round."""
        rounds = 0
        while True:
            try:
                closed = await self.close_ended()
                if rounds % _FULL_ROUND == _FULL_ROUND - 1:
                    closed += await self.close_silent()
                if closed:
                    _log.info("runs_reconciled", runs=closed)
            except (RPCError, UnreachableError) as error:
                _log.warning("reconciling_later", reason=str(error))
            rounds += 1
            await asyncio.sleep(self._interval.total_seconds())

    async def close_ended(self) -> int:
        """Closes runs that Temporal lists as having ended badly of late; returns how many."""
        since = (datetime.now(UTC) - _LOOK_BACK).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = (
            f"WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus IN {_CLOSED_BADLY}"
            f" AND CloseTime > '{since}'"
        )
        first_runs: dict[UUID, None] = {}
        async for execution in self._client.list_workflows(query):
            first = execution.raw_info.first_run_id or execution.run_id
            first_runs[instance_id(first)] = None
        if not first_runs:
            return 0
        closed = 0
        for org in await self._store.list_orgs():
            for run in await self._open_runs.of(org.id, list(first_runs)):
                closed += await self._close(run)
        return closed

    async def close_silent(self) -> int:
        """Asks after each open run that has been silent for long; returns how many it closed."""
        closed = 0
        before = datetime.now(UTC) - _SILENT
        for org in await self._store.list_orgs():
            after = UUID(int=0)
            while page := await self._open_runs.silent(org.id, before, after=after, limit=_PAGE):
                for run in page:
                    closed += await self._close(run)
                after = page[-1].ref.instance_id
        return closed

    async def _close(self, run: OpenRun) -> int:
        """Closes a run on record if Temporal says that it has ended; returns 1 if it did."""
        org_id, run_id = run.ref.org_id, run.ref.instance_id
        if run.completed_at is not None:
            late = _open_steps(await self._reader.steps(org_id, run_id), run.completed_at)
            await write_record(self._recorder, RecordBatch(ref=run.ref, records=late))
            return 0
        end = await self._end_of(run)
        if end is None:
            return 0
        steps = await self._reader.steps(org_id, run_id)
        told = Told(steps, await self._definition(run))
        await write_record(self._recorder, _closing(run, end, told))
        _log.warning(
            "run_closed",
            execution=run.ref.execution_id,
            status=str(end.status),
            reason=end.error.message if end.error is not None else None,
        )
        return 1

    async def _definition(self, run: OpenRun) -> Definition | None:
        """What the run follows, where that is on record and can be read."""
        if run.version_id is None:
            return None
        version = await self._store.get_version(run.ref.org_id, run.version_id)
        try:
            return Definition.model_validate(version.document)
        except ValidationError:
            # It was accepted by other rules; that its run has ended is told all the same.
            return None

    async def _end_of(self, run: OpenRun) -> _End | None:
        found = await self._describe(run)
        if found is None:
            if datetime.now(UTC) - run.updated_at < _UNKNOWN:
                return None
            message = "Temporal knows nothing of this run any more"
            error = ErrorInfo(type="WorkflowLost", message=message)
            return _End(InstanceStatus.FAILED, datetime.now(UTC), error=error)
        at = found.close_time
        if at is None or datetime.now(UTC) - at < _SETTLED:
            return None
        handle = self._client.get_workflow_handle(run.ref.execution_id, run_id=found.run_id)
        if found.status is WorkflowExecutionStatus.COMPLETED:
            return _End(InstanceStatus.COMPLETED, at, output=await handle.result())
        try:
            await handle.result(follow_runs=False)
        except WorkflowFailureError as failure:
            return _end_by(failure.cause, at)
        return None

    async def _describe(self, run: OpenRun) -> WorkflowExecutionDescription | None:
        """The last run of this run's chain, or None where Temporal has none."""
        first = run.ref.first_run_id
        try:
            latest = await self._client.get_workflow_handle(run.ref.execution_id).describe()
            if (latest.raw_info.first_run_id or latest.run_id) == first:
                return latest
            # Its name has been used again since.
            known = await self._client.get_workflow_handle(
                run.ref.execution_id, run_id=first
            ).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return None if known.status is WorkflowExecutionStatus.CONTINUED_AS_NEW else known


def _end_by(cause: BaseException | None, at: datetime) -> _End:
    match cause:
        case CancelledError():
            return _End(InstanceStatus.CANCELLED, at)
        case TerminatedError():
            reason = cause.message or "it was terminated in Temporal"
            error = ErrorInfo(type="WorkflowTerminated", message=reason)
        case TemporalTimeoutError():
            message = "the run took longer than the timeout that it was started with"
            error = ErrorInfo(type="WorkflowTimeout", message=message)
        case ApplicationError():
            error = ErrorInfo(type=cause.type or "ApplicationError", message=cause.message)
        case _:
            error = ErrorInfo(type=type(cause).__name__, message=str(cause))
    return _End(InstanceStatus.FAILED, at, error=error)


def _closing(run: OpenRun, end: _End, told: Told) -> RecordBatch:
    """The records that close a run, with every step of it that is still open."""
    open_steps = _open_steps(told.steps, end.at)
    error = end.error.to_json() if end.error is not None else None
    instance = InstanceRecord(
        seq=_LAST,
        status=end.status,
        current_step_id=run.current_step_id,
        state=dict(run.state),
        output=end.output,
        error=error,
        updated_at=end.at,
        completed_at=end.at,
    )
    events = end_events(run, end.status, end.at, end.error, told, seq=_LAST)
    return RecordBatch(ref=run.ref, records=[*open_steps, instance, *events])


def _open_steps(steps: Sequence[StepView], at: datetime) -> list[Record]:
    """The ends of the steps that have none: they were cancelled with their run."""
    return [
        StepRecord(
            seq=_LAST,
            path=step.path,
            iteration=step.iteration,
            step_id=step.step_id,
            task_id=step.task_id,
            status=StepStatus.CANCELLED,
            started_at=step.started_at or at,
            completed_at=at,
        )
        for step in steps
        if not step.status.ended and step.task_id is not None
    ]

"""Runs one case on the test server: starts its run, does what comes from outside, compares."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio.client import (
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from definitions.durations import parse_duration
from definitions.names import (
    SIGNAL_EVENT,
    UPDATE_DECIDE,
    UPDATE_PAUSE,
    UPDATE_RESUME,
    UPDATE_SKIP,
    WORKFLOW_TYPE,
)
from worker.rehearsal.host import START
from worker.rehearsal.loop import Stuck
from worker.rehearsal.on_temporal.rehearsed import RUNS, RehearsedRun
from worker.rehearsal.on_temporal.timetable import STUCK, make_timetable
from worker.rehearsal.on_temporal.workflow import GIVE_UP
from worker.rehearsal.run import answer_difference, ended_result, refused_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.client import Client, WorkflowHandle, WorkflowUpdateHandle

    from definitions.tasks import TaskSpec
    from worker.rehearsal.case import Action, Case
    from worker.rehearsal.on_temporal.clock import ServerClock
    from worker.rehearsal.on_temporal.timetable import Timetable
    from worker.rehearsal.run import CaseResult

#: Real seconds. Only a machine that stands still needs more for one workflow task.
_TASK_TIMEOUT = timedelta(seconds=60)
#: The update for each kind of action; an event is a signal, and ``cancel`` is Temporal's own.
_UPDATES = {
    "approve": UPDATE_DECIDE,
    "reject": UPDATE_DECIDE,
    "pause": UPDATE_PAUSE,
    "resume": UPDATE_RESUME,
    "skip": UPDATE_SKIP,
}


class CaseRun:
    """A case on its way."""

    def __init__(
        self,
        client: Client,
        clock: ServerClock,
        case: Case,
        catalogue: Mapping[str, TaskSpec],
        *,
        workflow_id: str,
        task_queue: str,
        history_limit: int,
    ) -> None:
        self._client = client
        self._clock = clock
        self._case = case
        self._catalogue = catalogue
        self._id = workflow_id
        self._task_queue = task_queue
        self._history_limit = history_limit
        self._answers: list[tuple[int, Action, WorkflowUpdateHandle[Any] | str | None]] = []

    async def run(self) -> CaseResult:
        """Runs it. The clock's lock is held when this begins, and when it ends.

        Raises:
            Stuck: The run waits for what the case never brings.
        """
        table = make_timetable(self._case, self._catalogue, await self._clock.now())
        run = await self._try(self._id, table)
        if run.ended is None and run.refused is None:
            # Perhaps it only takes longer than what the case lets one expect.
            shorter = table.shorter(await self._clock.now())
            if shorter is not None:
                run = await self._try(f"{self._id}-again", shorter)
        if run.refused is not None:
            return refused_result(self._case, run.refused)
        if run.ended is None:
            waits = "; ".join(f"{name} waits for {what}" for name, what in run.waited.items())
            raise Stuck(f"nothing can wake the run any more: {waits or 'it waits for nothing'}")
        run.journal.differences += await self._differences()
        run.journal.records.sort(key=lambda record: record.seq)
        return ended_result(self._case, run.journal, run.ended, run.restarts)

    async def _try(self, workflow_id: str, table: Timetable) -> RehearsedRun:
        """Runs it by a timetable; it has not ended when there was no room for that."""
        self._answers.clear()
        run = RehearsedRun(self._case, self._catalogue, table, self._clock, self._history_limit)
        RUNS[workflow_id] = run
        try:
            handle = await self._client.start_workflow(
                WORKFLOW_TYPE,
                {"definition": self._case.definition, "input": self._case.input},
                id=workflow_id,
                task_queue=self._task_queue,
                task_timeout=_TASK_TIMEOUT,
            )
            await self._see_through(run, handle)
        finally:
            del RUNS[workflow_id]
        return run

    async def _see_through(self, run: RehearsedRun, handle: WorkflowHandle[Any, Any]) -> None:
        """Until the run has ended and all actions were done.

        There is a lock when this begins. It is given back while the time of an action, or the end
        of all time, is waited for. When the run ends it takes a lock, which is left in its place.
        """
        ended = asyncio.Event()
        end = asyncio.create_task(_end(handle, ended))
        for number, action in self._in_time():
            place = run.timetable.action_place(number, len(self._case.actions))
            due = run.timetable.on_server(START + parse_duration(action.at), place)
            answer: WorkflowUpdateHandle[Any] | str | None = "the run has ended"
            if not ended.is_set() and await self._clock.sleep_until(due, ended):
                answer = await self._do(handle, action)
            self._answers.append((number, action, answer))
        if not ended.is_set():
            stuck = await self._clock.sleep_until(run.timetable.origin + STUCK, ended)
            if stuck and not ended.is_set():
                run.waited = dict(run.waits)
                await handle.signal(GIVE_UP)
                await end
                return
        await end
        await self._clock.unlock()

    def _in_time(self) -> list[tuple[int, Action]]:
        numbered = enumerate(self._case.actions)
        return sorted(numbered, key=lambda one: (parse_duration(one[1].at), one[0]))

    async def _do(
        self, handle: WorkflowHandle[Any, Any], action: Action
    ) -> WorkflowUpdateHandle[Any] | str | None:
        """Does one; returns its answer as far as it is known by then."""
        name = _UPDATES.get(action.kind)
        try:
            if action.event is not None:
                await handle.signal(SIGNAL_EVENT, action.argument())
                return None
            if name is None:
                await handle.cancel()
                return None
            return await handle.start_update(
                name,
                action.argument(),
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            )
        except WorkflowUpdateFailedError as error:
            return _reason(error)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return "the run has ended"
            raise

    async def _differences(self) -> list[str]:
        lines: list[str] = []
        for number, action, answer in self._answers:
            refused = answer if isinstance(answer, str) else None
            if action.event is not None and action.refused:
                refused = "nobody can tell: a signal has no answer"
            if answer is not None and not isinstance(answer, str):
                try:
                    await answer.result()
                except WorkflowUpdateFailedError as error:
                    refused = _reason(error)
            lines += answer_difference(number, action, refused)
        return lines


def _reason(error: WorkflowUpdateFailedError) -> str:
    cause = error.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause)


async def _end(handle: WorkflowHandle[Any, Any], ended: asyncio.Event) -> None:
    try:
        with contextlib.suppress(WorkflowFailureError):
            await handle.result()
    finally:
        ended.set()

"""The activities of a rehearsal: mocked tasks, and the record of a run kept in memory.

Tasks complete from outside, by a coroutine each that sleeps on the server's clock. It keeps the
rules of a real attempt: it ends itself at its own timeout and at its step's deadline. Temporal
alone ends one that gives no sign of life.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from definitions.calls import FailureDetails, ResolvedRun, ResolveRequest, TaskEnvelope
from definitions.document import Definition
from definitions.errors import NEVER_RETRIED
from definitions.identity import instance_id, org_id
from definitions.inputs import check_input
from definitions.names import RESOLVE_ACTIVITY
from definitions.records import ErrorInfo, RecordBatch
from definitions.start import DEFAULT_ORG
from definitions.statuses import StepStatus
from worker.rehearsal.mocks import ending, input_differences, write_attempt
from worker.rehearsal.on_temporal.rehearsed import RUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from temporalio.client import AsyncActivityHandle, Client

    from worker.interpreter.host import TaskCall
    from worker.rehearsal.mocks import Ending
    from worker.rehearsal.on_temporal.rehearsed import RehearsedRun, Scheduled

#: An attempt answers so many places before its own: before its deadline on the server, which is
#: before the time at which another attempt could begin.
_ANSWERS_BEFORE = 0.5
_GIVES_UP_BEFORE = 0.4
#: So long before Temporal calls a silent task dead, the clock goes on as any other.
_BEFORE_DEATH = timedelta(milliseconds=300)
_BETWEEN_LOOKS = 0.005
#: A deadline of the workflow's own task for ``liveness_timeout``: nothing is rehearsed of it.
_ALIVE = 3.0e9


class MockedActivities:
    """The activities of a worker that rehearses."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._working: set[asyncio.Task[None]] = set()

    def all(self) -> list[Callable[..., Any]]:
        """What a Temporal worker is given."""
        return [self.run_activity, self.resolve]

    async def close(self) -> None:
        """Ends whatever still waits for its time."""
        for task in list(self._working):
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    @activity.defn(name=RESOLVE_ACTIVITY)
    async def resolve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Pins a run to the definition of its case."""
        asked = ResolveRequest.model_validate(request)
        run = RUNS[asked.execution_id]
        definition = Definition.model_validate(run.case.definition)
        problems = check_input(definition.input_schema, run.case.input)
        if problems:
            message = "; ".join(f"{one.pointer or '/'}: {one.message}" for one in problems)
            run.refused = ErrorInfo(type="InputError", message=message)
            return ResolvedRun(error=run.refused).to_json()
        # A local activity has no retries in the clock's own time.
        ours = {"mode": "remote", "activity": None, "task_queue": None}
        tasks = [one.model_copy(update=ours) for one in run.catalogue.values()]
        return ResolvedRun(
            org_id=org_id(DEFAULT_ORG),
            org=DEFAULT_ORG,
            instance_id=instance_id(asked.first_run_id),
            document=run.case.definition,
            tasks=tasks,
            input=run.case.input,
            config=run.case.config or None,
            liveness_timeout=_ALIVE,
            history_limit=run.history_limit,
        ).to_json()

    @activity.defn(dynamic=True)
    async def run_activity(self, arguments: Sequence[RawValue]) -> Any:
        """Begins an attempt of a task, or a write; it is completed from outside."""
        info = activity.info()
        run = RUNS[info.workflow_id or ""]
        converter = activity.payload_converter()
        values = [converter.from_payload(one.payload) for one in arguments]
        scheduled = run.scheduled(info.workflow_run_id or "", info.activity_id)
        handle = self._client.get_async_activity_handle(task_token=info.task_token)
        if scheduled.call is None:
            records = RecordBatch.model_validate(values[0]).records
            work = _Write(run, scheduled, handle, list(records)).run()
        else:
            sent = TaskEnvelope.model_validate(values[1]) if len(values) > 1 else None
            if sent is not None:
                run.keep(list(sent.records))
            attempt = _Attempt(run, scheduled, scheduled.call, handle, info)
            work = attempt.run()
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        activity.raise_complete_async()


class _Answerer:
    """Completes one activity in its time."""

    def __init__(
        self, run: RehearsedRun, scheduled: Scheduled, handle: AsyncActivityHandle
    ) -> None:
        self.rehearsed = run
        self.scheduled = scheduled
        self.handle = handle

    async def now(self) -> datetime:
        """The time of the case."""
        return self.rehearsed.timetable.in_case(await self.rehearsed.clock.now())

    async def sleep(self, instant: datetime, *, early: float = 0.0) -> bool:
        """Sleeps until its place at an instant; returns False when it was told to stop."""
        if self.scheduled.place is None:
            return True
        due = self.rehearsed.timetable.on_server(instant, self.scheduled.place - early)
        return await self.rehearsed.clock.sleep_until(due, self.scheduled.told)

    @contextlib.asynccontextmanager
    async def answering(self) -> Any:
        """Within it the server is answered, which then gives its lock for the activity back."""
        try:
            yield
        except RPCError:
            # The run is gone. Its lock is left.
            await self.rehearsed.clock.unlock()

    async def turn(self) -> None:
        """Waits for the time to answer that it was cancelled.

        That is when the server knows that it is, since it does not take a request to cancel what
        has answered meanwhile. Of several, each has its turn: the order in which the run has
        cancelled them.
        """
        if self.scheduled.after is not None:
            await self.scheduled.after.over.wait()
        while True:
            try:
                await self.handle.heartbeat()
            except AsyncActivityCancelledError:
                return
            await asyncio.sleep(_BETWEEN_LOOKS)


class _Write(_Answerer):
    def __init__(
        self,
        run: RehearsedRun,
        scheduled: Scheduled,
        handle: AsyncActivityHandle,
        records: list[Any],
    ) -> None:
        super().__init__(run, scheduled, handle)
        self._records = records

    async def run(self) -> None:
        in_time = await self.sleep(await self.now())
        self.rehearsed.keep(self._records)
        async with self.answering():
            if not in_time:
                await self.turn()
            # Told to stop or not: what is written is written.
            await self.handle.complete(None)


class _Attempt(_Answerer):
    def __init__(
        self,
        run: RehearsedRun,
        scheduled: Scheduled,
        call: TaskCall,
        handle: AsyncActivityHandle,
        info: activity.Info,
    ) -> None:
        super().__init__(run, scheduled, handle)
        self.call = call
        self.number = info.attempt
        self.started = info.started_time
        self.began = run.timetable.in_case(info.started_time)

    async def run(self) -> None:
        answer = self.scheduled.answer
        if self.number > 1:
            answer = self.rehearsed.answers.next(self.call)
        self.rehearsed.journal.differences += input_differences(self.call, answer, self.number)
        end = ending(self.call, answer, self.began)
        if not await self._passes(end):
            self._record(StepStatus.CANCELLED, await self.now())
            async with self.answering():
                await self.turn()
                await self.handle.report_cancellation()
            return
        info = end.error
        ended = self.began + (end.after or timedelta(0))
        if info is None:
            self._record(end.status, ended, output=end.output)
            async with self.answering():
                await self.handle.complete(end.output)
            return
        self._record(end.status, ended, error=info.model_copy(update={"attempts": self.number}))
        if end.limit == "heartbeat":
            return  # Temporal sees that by itself, in a moment.
        details = FailureDetails(code=info.code, details=info.details, attempt=self.number)
        async with self.answering():
            await self.handle.fail(
                ApplicationError(
                    info.message,
                    details.to_json(),
                    type=info.type,
                    non_retryable=not end.retryable or info.type in NEVER_RETRIED,
                )
            )

    async def _passes(self, end: Ending) -> bool:
        """Lets the time pass until the end; returns False when it was told to stop."""
        run, told = self.rehearsed, self.scheduled.told
        if end.after is None:
            await run.clock.unlock()
            await told.wait()
            await run.clock.lock()
            return False
        if end.limit == "heartbeat":
            death = self.started + run.timetable.stretched(end.after) - _BEFORE_DEATH
            return await run.clock.sleep_until(death, told)
        last = self.began + end.after
        beat = self.call.heartbeat_timeout
        if beat is not None:
            sign = self.began + beat / 2
            while sign < last:
                if not await self.sleep(sign, early=_GIVES_UP_BEFORE):
                    return False
                with contextlib.suppress(AsyncActivityCancelledError):
                    await self.handle.heartbeat()
                sign += beat / 2
        return await self.sleep(last, early=_GIVES_UP_BEFORE if end.limit else _ANSWERS_BEFORE)

    def _record(
        self,
        status: StepStatus,
        ended: datetime,
        *,
        output: Any = None,
        error: ErrorInfo | None = None,
    ) -> None:
        write_attempt(
            self.rehearsed.journal,
            self.call,
            self.number,
            status,
            output=output,
            error=error,
            began=self.began,
            now=ended,
        )

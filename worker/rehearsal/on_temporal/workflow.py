"""The production workflow with the clock of a rehearsal.

Everything else is as it is in production: the interpreter, the host's durable timers, activities
with the retry policies and timeouts of the definition, updates, cancellation, continue-as-new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.common import Priority, RawValue
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from typing_extensions import override

from definitions.names import RECORD_ACTIVITY
from worker.rehearsal.on_temporal.rehearsed import RUNS
from worker.rehearsal.on_temporal.timetable import NEVER
from worker.temporal_host import TemporalHost
from worker.workflow import DefinitionWorkflow

if TYPE_CHECKING:
    from temporalio.common import RetryPolicy

    from definitions.jsontypes import Json
    from worker.interpreter.host import TaskCall
    from worker.rehearsal.on_temporal.rehearsed import RehearsedRun, Scheduled
    from worker.rehearsal.on_temporal.timetable import Timetable

#: The signal that ends a run that waits for ever.
GIVE_UP = "rehearsal.give-up"
#: The task that a coroutine is calling.
_CALL: ContextVar[TaskCall | None] = ContextVar("call", default=None)
#: A deadline on the server is so many places before its task's own: after the task has answered
#: (see ``mocked``), but before another attempt could begin.
_DEADLINE_BEFORE = 0.3
#: How many places a wait between two attempts is longer than it should be, to that end.
_LATER = 0.25


def _name(task: asyncio.Task[Any]) -> str:
    # The SDK adds the run to the name.
    return task.get_name().partition(" (workflow:")[0]


def current_run() -> RehearsedRun:
    """The run of the workflow that is running."""
    return RUNS[workflow.info().workflow_id]


class RehearsedHost(TemporalHost):
    """Temporal's host by the clock of a case; gives each operation its place in the order."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._run = current_run()
        self._run.chain.add(workflow.info().run_id)
        #: By the numbers of the operations under way; below zero are writes of the record.
        self._places: dict[int, int] = {}
        self._activities = 0

    @override
    def now(self) -> datetime:
        return self._run.timetable.in_case(workflow.now())

    @override
    def timer(self, due: datetime, seq: int) -> timedelta:
        return self._run.timetable.on_server(due, self.place(seq)) - workflow.now()

    @property  # type: ignore[explicit-override]
    def draining(self) -> bool:
        """Whether nothing new is begun, because the run is to continue as a new one."""
        # The test server, unlike Temporal, lets no run continue as a new one that was cancelled.
        return self._draining and workflow.cancellation_reason() is None

    @draining.setter
    def draining(self, value: bool) -> None:
        self._draining = value

    @override
    async def call(self, call: TaskCall) -> Json:
        _CALL.set(call)
        with self._waiting_for(f"the task {call.spec.task_id}", call.seq):
            try:
                return await super().call(call)
            finally:
                _CALL.set(None)

    @override
    async def call_elsewhere(self, call: TaskCall) -> Json:
        # It is mocked like any other task. Whoever has a child run bounds it from outside.
        return await self.call_activity(replace(call, deadline=None))

    @override
    async def sleep_until(self, due: datetime, *, seq: int) -> None:
        with self._waiting_for("a time", seq):
            await super().sleep_until(due, seq=seq)

    @override
    async def wait_for(
        self, condition: Callable[[], bool], due: datetime | None, *, seq: int
    ) -> bool:
        with self._waiting_for("somebody", seq):
            return await super().wait_for(condition, due, seq=seq)

    def place(self, seq: int) -> int:
        """The place of an operation that begins: after those of all others under way."""
        others = [place for one, place in self._places.items() if one != seq]
        self._places[seq] = 1 + max(others, default=0)
        return self._places[seq]

    def leave(self, seq: int) -> None:
        """Gives the place of an operation back that is over."""
        self._places.pop(seq, None)

    @contextmanager
    def _waiting_for(self, what: str, seq: int) -> Iterator[None]:
        """Notes what the current task waits for, as long as it does."""
        waits, current = self._run.waits, asyncio.current_task()
        name = _name(current) if current is not None else ""
        waits[name] = what
        try:
            yield
        finally:
            self.leave(seq)
            waits.pop(name, None)

    def schedule(self, given: StartActivityInput) -> tuple[StartActivityInput, Scheduled, int]:
        """An activity as it is started on the server, with the times of the server.

        The last of the three is the number of the operation.
        """
        run, table, call = self._run, self._run.timetable, _CALL.get()
        if given.activity == RECORD_ACTIVITY:
            call = None
        # What an update has written is written at once: whoever sent it waits for the answer.
        self._activities += 1
        seq = -self._activities if call is None else call.seq
        place = None if workflow.current_update_info() is not None else self.place(seq)
        activity_id = str(self._activities)
        scheduled = run.schedule(workflow.info().run_id, activity_id, place, call)
        close = NEVER
        if given.schedule_to_close_timeout is not None:
            deadline = self.now() + given.schedule_to_close_timeout
            due = table.on_server(deadline, (place or 0) - _DEADLINE_BEFORE)
            # The server forgets a deadline that is a whole second.
            close = due - workflow.now() + timedelta(microseconds=1)
        heartbeat = None
        if call is not None and call.heartbeat_timeout is not None:
            heartbeat = table.stretched(call.heartbeat_timeout)
        limit = given.start_to_close_timeout
        return (
            replace(
                given,
                activity_id=activity_id,
                task_queue=None,
                schedule_to_close_timeout=close,
                start_to_close_timeout=NEVER if limit is None else table.stretched(limit),
                heartbeat_timeout=heartbeat,
                retry_policy=_stretched(given.retry_policy, table),
            ),
            scheduled,
            seq,
        )


@workflow.defn(dynamic=True)
class RehearsedWorkflow(DefinitionWorkflow):
    """``DefinitionWorkflow``, rehearsed."""

    _make_host = RehearsedHost

    @workflow.init
    def __init__(self, arguments: Sequence[RawValue]) -> None:
        super().__init__(arguments)

    @override
    @workflow.run
    async def run(self, arguments: Sequence[RawValue]) -> Any:
        """Runs to the end, and stops the clock there."""
        try:
            result = await super().run(arguments)
        except workflow.ContinueAsNewError:
            raise
        except BaseException:
            self._stop()
            raise
        self._stop()
        return result

    @workflow.signal(name=GIVE_UP)
    def give_up(self) -> None:
        """Ends a run that waits for what never comes; its worker then lets go of it, too."""
        raise ApplicationError("it waits for what never comes")

    @property
    def host(self) -> RehearsedHost | None:
        """Its host, once the run has begun."""
        host = self._host
        return host if isinstance(host, RehearsedHost) else None

    @override
    def _now(self) -> datetime:
        return current_run().timetable.in_case(workflow.now())

    def _stop(self) -> None:
        if being_evicted():
            return
        run = current_run()
        if self._interpreter is not None:
            run.ended = self._interpreter.state
        if not run.stopped:
            run.stopped = True
            run.clock.lock_from_thread()


class Rehearsing(Interceptor):
    """Has a worker's workflows start activities as a rehearsal needs them."""

    @override
    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    @override
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    @override
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        host = workflow.instance().host
        given, scheduled, seq = host.schedule(input)
        handle = super().start_activity(given)
        handle.add_done_callback(lambda _: host.leave(seq))
        cancel = handle.cancel
        run = current_run()

        def stop_and_cancel(msg: Any | None = None) -> bool:
            if not handle.done() and not being_evicted():
                _stop_clock(run, scheduled)
                handle.add_done_callback(partial(_go_on, run, scheduled))
            return cancel(msg)

        # While the run waits for the answer of what it has cancelled, no time may pass.
        handle.cancel = stop_and_cancel  # type: ignore[method-assign]
        return handle

    @override
    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        if workflow.instance().host is None:
            return super().start_local_activity(input)
        # A local activity is part of a workflow task, which the clock waits for: no time could
        # pass in it.
        return self.start_activity(
            StartActivityInput(
                activity=input.activity,
                args=input.args,
                activity_id=None,
                task_queue=None,
                schedule_to_close_timeout=input.schedule_to_close_timeout,
                schedule_to_start_timeout=None,
                start_to_close_timeout=input.start_to_close_timeout,
                heartbeat_timeout=None,
                retry_policy=input.retry_policy,
                cancellation_type=input.cancellation_type,
                headers=input.headers,
                disable_eager_execution=True,
                versioning_intent=None,
                summary=input.summary,
                priority=Priority.default,
                arg_types=input.arg_types,
                ret_type=input.ret_type,
            )
        )


def being_evicted() -> bool:
    """Whether this run is only taken out of the worker's cache, which cancels all it has."""
    try:
        runtime: Any = asyncio.get_running_loop()
    except RuntimeError:
        return True
    return bool(runtime._deleting)  # noqa: SLF001 (the SDK has no public word for it)


def _stop_clock(run: RehearsedRun, scheduled: Scheduled) -> None:
    if scheduled.locked or workflow.unsafe.is_replaying():
        return
    scheduled.locked = True
    scheduled.after, run.last_cancelled = run.last_cancelled, scheduled
    run.clock.lock_from_thread()
    run.clock.set_from_thread(scheduled.told)


def _go_on(run: RehearsedRun, scheduled: Scheduled, _: object) -> None:
    if scheduled.locked:
        scheduled.locked = False
        run.clock.set_from_thread(scheduled.over)
        run.clock.unlock_from_thread()


def _stretched(policy: RetryPolicy | None, table: Timetable) -> RetryPolicy | None:
    if policy is None:
        return None
    # Less than a millisecond the server takes for no further attempt.
    later = max(table.step * _LATER, timedelta(milliseconds=1))
    longest = policy.maximum_interval
    return replace(
        policy,
        initial_interval=_delay(policy.initial_interval, table) + later,
        maximum_interval=None if longest is None else _delay(longest, table) + later,
    )


def _delay(delay: timedelta, table: Timetable) -> timedelta:
    # A wait of no time is given to Temporal as this, since it takes zero for "the default".
    return timedelta(0) if delay <= timedelta(milliseconds=1) else table.stretched(delay)

"""``DefinitionWorkflow``: binds the interpreter to Temporal.

One generic workflow type runs every definition. It takes plain JSON, so that Temporal's own CLI
can start it. It is registered as the SDK's *dynamic* workflow because that alone is handed its
arguments raw, however many there are: what cannot be decoded then ends the run with ``InputError``
instead of failing its workflow task for ever. A misspelt workflow type ends at once, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from definitions.calls import ResolvedRun, ResolveRequest
    from definitions.errors import RefusedError
    from definitions.names import (
        QUERY_STATE,
        QUERY_UI,
        RESOLVE_ACTIVITY,
        SEARCH_CORRELATION,
        SEARCH_DEFINITION,
        SEARCH_ORG,
        SEARCH_STATUS,
        SEARCH_VERSION,
        SIGNAL_EVENT,
        UPDATE_DECIDE,
        UPDATE_PAUSE,
        UPDATE_RESUME,
        UPDATE_SKIP,
        WORKFLOW_TYPE,
    )
    from definitions.records import ErrorInfo, Record
    from definitions.statuses import InstanceStatus
    from definitions.ui import UiAnswer, UiRequest
    from worker.child_runs import ChildRuns, read_memo
    from worker.envelopes import segment_request
    from worker.handing_on import hand_on, take_up
    from worker.interpreter.begin import new_state
    from worker.interpreter.events import EventMessage
    from worker.interpreter.interpreter import Interpreter
    from worker.interpreter.operators import OperatorRequest, SkipRequest
    from worker.interpreter.people import DecisionRequest
    from worker.interpreter.plan import make_plan
    from worker.interpreter.state import INTERPRETER_VERSION, RunState
    from worker.interpreter.summary import public_summary, ui_answer
    from worker.messages import decode, read_message, read_reason
    from worker.progress import progress
    from worker.temporal_host import TemporalHost
    from worker.webhooks import tell_end

if TYPE_CHECKING:
    from datetime import datetime

    from definitions.jsontypes import Json, JsonObject
    from worker.interpreter.plan import Plan

#: How many arguments a run has that goes on where another one stopped.
_CONTINUED = 2
#: The events of a history when its first workflow task begins, if nothing came in before.
_FIRST_TASK = 3


@workflow.defn(dynamic=True)
class DefinitionWorkflow:
    """A run of a definition.

    Its arguments are the start object and, when an earlier run of the same chain hands on, what
    that run has carried over.
    """

    @workflow.init
    def __init__(self, arguments: Sequence[RawValue]) -> None:
        self._interpreter: Interpreter | None = None
        self._host: TemporalHost | None = None
        self._plan: Plan | None = None
        self._resolved: ResolvedRun | None = None
        self._shown: dict[str, str] = {}
        self._told_end = False
        #: Events that came before the run was set up.
        self._early: list[EventMessage] = []
        # Taken up here and not in ``run``, so that a decision which arrives with the first task of
        # a continued run finds the approval that it is for.
        if len(arguments) == _CONTINUED:
            self._take_up(arguments[1])

    @workflow.run
    async def run(self, arguments: Sequence[RawValue]) -> Any:
        """Runs to the end; returns the run's output.

        Raises:
            ApplicationError: The run failed: the step's error type, a message naming the step.
        """
        try:
            if self._interpreter is None:
                await self._begin(arguments)
            return await self._drive(arguments[0])
        except (ApplicationError, asyncio.CancelledError):
            raise
        except ActivityError as error:
            raise ApplicationError(
                f"the run could not go on: {error.cause or error}",
                type="InternalError",
                non_retryable=True,
            ) from error
        except Exception as error:
            # Whatever escapes here would make Temporal retry the workflow task for ever.
            await self._crashed(error)
            raise ApplicationError(
                f"steploom failed: {type(error).__name__}: {error}",
                type="InternalError",
                non_retryable=True,
            ) from error

    @workflow.update(name=UPDATE_DECIDE)
    async def decide(self, request: RawValue = None) -> dict[str, Any]:  # type: ignore[assignment]
        """Takes a person's decision; answered at once."""
        try:
            answer = self._running().decide(read_message(request, DecisionRequest, "decision"))
        except RefusedError as error:
            raise ApplicationError(error.message, type="RefusedError") from None
        self._noticed()
        return answer

    @decide.validator
    def _check_decide(self, request: RawValue = None) -> None:  # type: ignore[assignment]
        # A refused decision leaves nothing in the history.
        self._running().check_decision(read_message(request, DecisionRequest, "decision"))

    @workflow.update(name=UPDATE_PAUSE)
    async def pause(self, request: RawValue = None) -> bool:  # type: ignore[assignment]
        """Lets running steps finish and starts no new one; returns whether that is a change."""
        changed = self._running().pause(read_message(request, OperatorRequest, "request"))
        if changed:
            await self._show_status()
        return changed

    @pause.validator
    def _check_pause(self, request: RawValue = None) -> None:  # type: ignore[assignment]
        self._running()
        read_message(request, OperatorRequest, "request")

    @workflow.update(name=UPDATE_RESUME)
    async def resume(self, request: RawValue = None) -> bool:  # type: ignore[assignment]
        """Goes on after ``pause``; returns whether that is a change."""
        changed = self._running().resume(read_message(request, OperatorRequest, "request"))
        if changed:
            await self._show_status()
        return changed

    @resume.validator
    def _check_resume(self, request: RawValue = None) -> None:  # type: ignore[assignment]
        self._running()
        read_message(request, OperatorRequest, "request")

    @workflow.update(name=UPDATE_SKIP)
    async def skip(self, request: RawValue = None) -> dict[str, Any]:  # type: ignore[assignment]
        """Goes on from a step that waits or whose task runs, as if it had ended with nothing."""
        try:
            answer = self._running().skip(read_message(request, SkipRequest, "request"))
        except RefusedError as error:
            raise ApplicationError(error.message, type="RefusedError") from None
        self._noticed()
        return answer

    @skip.validator
    def _check_skip(self, request: RawValue = None) -> None:  # type: ignore[assignment]
        self._running().check_skip(read_message(request, SkipRequest, "request"))

    @workflow.signal(dynamic=True)
    def signal(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Takes an event; whoever waits for its name goes on, else it is kept under its name.

        For signals of all names, because that alone is handed however many arguments there are. A
        signal has no answer, and a handler that raises would stop the run for good.
        """
        try:
            event = _read_event(name, arguments)
        except RefusedError as error:
            workflow.logger.warning("event_not_usable: %s", error.message)
            return
        if self._interpreter is None:
            self._early.append(event)
            return
        self._interpreter.receive(event)
        self._noticed()

    @workflow.query(name=QUERY_STATE)
    def state(self) -> dict[str, Any]:
        """The run in the schema's shape, and where it stands."""
        if self._interpreter is None:
            return {"status": "pending"}
        return public_summary(self._interpreter.state)

    @workflow.query(name=QUERY_UI)
    def ui(self, request: RawValue = None) -> dict[str, Any]:  # type: ignore[assignment]
        """The components of a user interface to show to a user now."""
        user = read_message(request, UiRequest, "request").user
        if self._interpreter is None or self._plan is None:
            return UiAnswer(execution_id=workflow.info().workflow_id, status="pending").to_json()
        return ui_answer(self._plan, self._interpreter.state, user).to_json()

    # A rehearsal has a clock, and so a host, of its own.
    _make_host = TemporalHost

    def _now(self) -> datetime:
        return workflow.now()

    def _running(self) -> Interpreter:
        if self._interpreter is None:
            raise RefusedError("the run has not begun yet; try again in a moment")
        if self._interpreter.state.status.ended:
            raise RefusedError(f"the run is {self._interpreter.state.status} already")
        return self._interpreter

    async def _begin(self, arguments: Sequence[RawValue]) -> None:
        """Pins the run to its definition."""
        info = workflow.info()
        if info.workflow_type != WORKFLOW_TYPE:
            raise ApplicationError(
                f"there is no workflow type {info.workflow_type}; use {WORKFLOW_TYPE}",
                type="UnknownWorkflowType",
                non_retryable=True,
            )
        value, problem = decode(arguments[0] if arguments else None)
        if len(arguments) > 1:
            problem = f"a run takes one argument, the start object, and not {len(arguments)}"
        request = ResolveRequest(
            start=value,
            problem=problem,
            execution_id=info.workflow_id,
            first_run_id=info.first_execution_run_id,
            started_at=self._now(),
            interpreter_version=INTERPRETER_VERSION,
            origin=read_memo().origin,
            repeated=info.get_current_history_length() > _FIRST_TASK,
        )
        resolved, cancelled = await _resolve(request)
        if resolved.error is not None:
            self._show_refused(resolved)
            raise ApplicationError(
                resolved.error.message,
                resolved.error.to_json(),
                type=resolved.error.type,
                non_retryable=True,
            )
        try:
            self._set_up(resolved, request, [])
        except Exception as error:
            failed = ErrorInfo(type="InternalError", message=f"{type(error).__name__}: {error}")
            await _resolve(request.model_copy(update={"failed": failed}))
            raise
        if self._interpreter is None:
            raise AssertionError("the run was not set up")
        if resolved.ended is not None:
            self._interpreter.adopt(resolved.ended)
        for event in self._early:
            self._interpreter.receive(event)
        if cancelled:
            self._cancel()

    def _take_up(self, carried: RawValue) -> None:
        taken = take_up(carried)
        # One that is well made, but not by this chain of runs, is not ours either: the chain's id
        # was not known before it began. ``run`` says so.
        if taken is not None and taken.state.first_run_id == workflow.info().first_execution_run_id:
            self._set_up(taken.run, taken.state, taken.records)

    def _set_up(
        self, resolved: ResolvedRun, origin: ResolveRequest | RunState, records: list[Record]
    ) -> None:
        """Makes everything ready to run. ``origin``: the run's beginning, or where it stood."""
        if resolved.org_id is None or resolved.instance_id is None:
            raise AssertionError("a resolved run has an org and an instance")
        catalogue = {spec.task_id: spec for spec in resolved.tasks}
        plan = make_plan(resolved.document or {}, catalogue)
        state = (
            origin
            if isinstance(origin, RunState)
            else new_state(
                plan,
                org_id=resolved.org_id,
                instance_id=resolved.instance_id,
                execution_id=origin.execution_id,
                first_run_id=origin.first_run_id,
                started_at=origin.started_at,
                input=dict(resolved.input or {}),
                correlation_id=resolved.correlation_id,
                config=resolved.config,
                requirements=resolved.requirements,
                reused=resolved.reused,
            )
        )
        host = self._make_host(
            state,
            children=ChildRuns(
                state.ref, depth=read_memo().depth, correlation_id=state.correlation_id
            ),
            liveness_timeout=timedelta(seconds=resolved.liveness_timeout),
            history_limit=resolved.history_limit,
            records=records,
        )
        interpreter = Interpreter(plan, state, host)
        host.instance_record = interpreter.instance_record
        host.segment = lambda call: segment_request(resolved, state, call)
        host.on_progress = self._show_progress
        self._plan, self._host, self._interpreter = plan, host, interpreter
        self._resolved = resolved

    async def _drive(self, start: RawValue) -> Json:
        """Runs the interpreter, handing it on to a new run when the history is long."""
        interpreter, host, resolved = self._interpreter, self._host, self._resolved
        if interpreter is None or host is None or resolved is None:
            raise AssertionError("the run was not set up")
        self._show_progress()
        work = asyncio.create_task(interpreter.run())
        settled = False

        def handed_on() -> bool:
            return host.draining and host.quiescent and workflow.all_handlers_finished()

        while not work.done():
            try:
                if not settled:
                    settled = True
                    await host.settle()
                await workflow.wait_condition(lambda: work.done() or host.overfull or handed_on())
                if not work.done() and not host.overfull:
                    # Once more, when whatever woke up together with this has come to rest.
                    await workflow.wait_condition(
                        lambda: work.done() or host.overfull or handed_on()
                    )
                if not work.done() and host.overfull:
                    await host.flush(main_path=False)
                    continue
            except asyncio.CancelledError:
                self._cancel()
                host.release()
                continue
            if not work.done():
                workflow.continue_as_new(
                    args=hand_on(start, resolved, interpreter.state, host.kept)
                )
        while not workflow.all_handlers_finished():
            try:
                await workflow.wait_condition(workflow.all_handlers_finished)
            except asyncio.CancelledError:
                continue
        state = work.result()
        self._show_progress()
        await self._tell_end(state)
        return _result(state)

    async def _crashed(self, error: Exception) -> None:
        """Has a fault of our own on record, as far as that still goes."""
        if self._interpreter is None or self._host is None:
            return
        self._interpreter.crash(f"{type(error).__name__}: {error}")
        await self._host.flush(main_path=True)
        await self._tell_end(self._interpreter.state)

    async def _tell_end(self, state: RunState) -> None:
        """Has the webhook called that the run was pinned to, once all of the run is on record."""
        resolved = self._resolved
        if resolved is not None and resolved.webhook_url is not None and not self._told_end:
            self._told_end = True
            await tell_end(state, url=resolved.webhook_url, org=resolved.org or "")

    def _cancel(self) -> None:
        """Ends the run as cancelled; what the caller said of it goes on record."""
        if self._interpreter is not None:
            actor, reason = read_reason(workflow.cancellation_reason())
            self._interpreter.cancel(actor=actor, reason=reason)

    def _noticed(self) -> None:
        """Lets go on whatever has waited for what has just come from outside."""
        if self._host is not None:
            self._host.notice()

    async def _show_status(self) -> None:
        """Shows a status that changed between two steps, in Temporal's UI and on record."""
        self._noticed()
        self._show_progress()
        if self._host is not None:
            # Remote, because a local activity may be under way on the main path.
            await self._host.flush(main_path=False, always=True)

    def _show_refused(self, resolved: ResolvedRun) -> None:
        """Lets a run that could not begin be found like any other that failed."""
        if not resolved.search_attributes:
            return
        values = {
            SEARCH_DEFINITION: resolved.workflow_id or "",
            SEARCH_ORG: resolved.org or "",
            SEARCH_STATUS: str(InstanceStatus.FAILED),
        }
        workflow.upsert_search_attributes(
            [SearchAttributeKey.for_keyword(name).value_set(one) for name, one in values.items()]
        )

    def _show_progress(self) -> None:
        """Brings what Temporal's UI shows up to date: search attributes, details in Markdown."""
        if self._interpreter is None or self._plan is None or self._resolved is None:
            return
        state = self._interpreter.state
        workflow.set_current_details(progress(self._plan, state))
        if not self._resolved.search_attributes:
            return
        wanted = {
            SEARCH_DEFINITION: state.workflow_id,
            SEARCH_VERSION: state.version,
            SEARCH_ORG: self._resolved.org or "",
            SEARCH_STATUS: str(state.status),
        }
        if state.correlation_id is not None:
            wanted[SEARCH_CORRELATION] = state.correlation_id
        if not self._shown:
            # What the client set at the start, or an earlier run of the chain, costs no event.
            known = workflow.info().typed_search_attributes
            for name in wanted:
                value = known.get(SearchAttributeKey.for_keyword(name))
                if value is not None:
                    self._shown[name] = value
        changed = {name: one for name, one in wanted.items() if self._shown.get(name) != one}
        if changed:
            self._shown.update(changed)
            workflow.upsert_search_attributes(
                [SearchAttributeKey.for_keyword(k).value_set(v) for k, v in changed.items()]
            )


def _read_event(name: str, arguments: Sequence[RawValue]) -> EventMessage:
    if name != SIGNAL_EVENT:
        raise RefusedError(f"there is no signal {name}; use {SIGNAL_EVENT}")
    if len(arguments) > 1:
        raise RefusedError(f"an event is one argument, and not {len(arguments)}")
    return read_message(arguments[0] if arguments else None, EventMessage, "event")


async def _resolve(request: ResolveRequest) -> tuple[ResolvedRun, bool]:
    """Has a run pinned and its first record written; also whether it was cancelled meanwhile."""
    pinning = workflow.start_local_activity(
        RESOLVE_ACTIVITY,
        request.to_json(),
        start_to_close_timeout=timedelta(seconds=60),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(milliseconds=200),
            maximum_interval=timedelta(seconds=10),
        ),
        summary="pin the definition",
    )
    # A run that is cancelled so early is pinned all the same: without that there would be no
    # record to say that it was cancelled.
    cancelled = False
    while not pinning.done():
        try:
            await asyncio.shield(pinning)
        except asyncio.CancelledError:
            cancelled = True
    return ResolvedRun.model_validate(pinning.result()), cancelled


def _result(state: RunState) -> Json:
    if state.status is InstanceStatus.COMPLETED:
        return state.output
    if state.status is InstanceStatus.CANCELLED:
        raise asyncio.CancelledError("the run was cancelled")
    failure: JsonObject = state.failure or {}
    step = failure.get("stepId")
    where = f"step {step} failed" if step else "the run failed"
    raise ApplicationError(
        f"{where}: {failure.get('message') or failure.get('type')}",
        failure,
        type=str(failure.get("type")),
        non_retryable=True,
    )

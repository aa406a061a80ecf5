"""``core.workflow`` on Temporal: another definition, run as a child workflow.

The child is an ordinary run with a record of its own; its memo says which step started it. Its
failure is the step's. It is cancelled with its step, and a parent that goes away without a word has
it cancelled by Temporal.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from definitions.calls import ChildMemo, FailureDetails
    from definitions.identity import child_execution_id
    from definitions.names import MEMO, WORKFLOW_TYPE
    from definitions.records import ErrorInfo, RunOrigin
    from worker.interpreter.host import StepError, step_error
    from worker.interpreter.requests import object_input
    from worker.interpreter.retries import next_attempt_at
    from worker.retrying import told_to_stop

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject
    from definitions.records import RunRef
    from worker.interpreter.host import TaskCall

#: How deep runs may start runs: a cycle of definitions ends here.
MAX_DEPTH = 10


class ChildRuns:
    """Starts child runs for one run.

    Args:
        ref: The run.
        depth: How many runs are above it.
        correlation_id: The run's, which its children share; without one, its execution id.
    """

    def __init__(self, ref: RunRef, *, depth: int, correlation_id: str | None) -> None:
        self._ref = ref
        self._depth = depth
        self._correlation_id = correlation_id or ref.execution_id

    async def run(self, call: TaskCall) -> Json:
        """Runs a child to its end, again by the step's policy where it fails; returns its output.

        Raises:
            StepError: The attempts are spent. ``details`` is the child's whole error.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(call, attempt)
            except StepError as error:
                error.info = error.info.model_copy(update={"attempts": attempt})
                now = workflow.now()
                again = next_attempt_at(call.retry, error, attempt, now=now, deadline=call.deadline)
                if again is None:
                    raise
                if told_to_stop():
                    # The child failed before it heard of it. Nobody will say it a second time.
                    raise asyncio.CancelledError from error
            await asyncio.sleep((again - now).total_seconds())

    async def _attempt(self, call: TaskCall, attempt: int) -> Json:
        start = self._start(call)
        handle = None
        try:
            handle = await workflow.start_child_workflow(
                WORKFLOW_TYPE,
                start,
                id=child_execution_id(
                    self._ref.execution_id, call.record.path, call.record.iteration, attempt
                ),
                memo={MEMO: self._memo(call).to_json()},
                cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                static_summary=call.summary,
            )
            return await handle
        except ChildWorkflowError as error:
            if is_cancelled_exception(error) and told_to_stop():
                raise asyncio.CancelledError from error
            raise _step_error(error, start) from error
        except WorkflowAlreadyStartedError as error:
            message = f"a run with the id {error.workflow_id} is still under way"
            raise StepError(ErrorInfo(type="ExecutionAlreadyStarted", message=message)) from error

    def _start(self, call: TaskCall) -> JsonObject:
        given = object_input(call.input, "core.workflow")
        if self._depth >= MAX_DEPTH:
            raise step_error(
                "WorkflowDepthExceeded",
                f"runs may start runs {MAX_DEPTH} deep; does {given.get('workflowId')} lead back "
                "to itself?",
            )
        unknown = sorted(set(given) - {"workflowId", "version", "input"})
        if unknown:
            raise step_error("InputError", f"core.workflow does not know {', '.join(unknown)}")
        if not isinstance(given.get("workflowId"), str):
            raise step_error("InputError", "core.workflow: workflowId is not a text")
        return {
            **{name: value for name, value in given.items() if value is not None},
            "orgId": str(self._ref.org_id),
            "correlationId": self._correlation_id,
        }

    def _memo(self, call: TaskCall) -> ChildMemo:
        origin = RunOrigin(
            kind="child",
            instance_id=self._ref.instance_id,
            execution_id=self._ref.execution_id,
            path=call.record.path,
            iteration=call.record.iteration,
        )
        return ChildMemo(depth=self._depth + 1, origin=origin)


def read_memo() -> ChildMemo:
    """Where this run came from. What is no child run of ours came from nowhere."""
    if workflow.info().parent is None:
        return ChildMemo()
    given: Any = workflow.memo_value(MEMO, default=None)
    try:
        return ChildMemo.model_validate(given or {})
    except ValidationError:
        return ChildMemo()


def _step_error(error: ChildWorkflowError, start: JsonObject) -> StepError:
    """A child's failure as its step's: the child's own type and code, all else in ``details``."""
    name = start["workflowId"]
    cause = error.cause
    if isinstance(cause, CancelledError):
        info = ErrorInfo(type="WorkflowCancelled", message=f"the run of {name} was cancelled")
        return StepError(info)
    if isinstance(cause, TerminatedError):
        info = ErrorInfo(type="WorkflowTerminated", message=f"the run of {name} was terminated")
        return StepError(info)
    if not isinstance(cause, ApplicationError):
        reason = str(cause or error)
        return StepError(ErrorInfo(type=type(cause or error).__name__, message=reason))
    given = cause.details[0] if cause.details else None
    details = given if isinstance(given, dict) else {"message": cause.message}
    known = FailureDetails.model_validate({"code": details.get("code")})
    return StepError(
        ErrorInfo(
            type=cause.type or "ApplicationError",
            code=known.code,
            message=f"{name}: {cause.message}",
            details=details,
        )
    )

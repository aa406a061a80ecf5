"""Temporal as a host of the interpreter.

Runs inside the workflow, so everything here is replayed: no clock, no randomness, no I/O but
through the SDK.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)
from temporalio.exceptions import (
    TimeoutError as TemporalTimeoutError,
)

with workflow.unsafe.imports_passed_through():
    from definitions.calls import FailureDetails, TaskEnvelope
    from definitions.durations import parse_duration
    from definitions.errors import NEVER_RETRIED
    from definitions.names import RECORD_ACTIVITY
    from definitions.records import ErrorInfo, RecordBatch
    from worker.interpreter.host import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from definitions.document import RetryPolicy as DocumentRetryPolicy
    from definitions.jsontypes import Json
    from definitions.records import InstanceRecord, Record, RunRef
    from worker.interpreter.host import TaskCall

#: How much later than a task's own limit Temporal gives an attempt up: an attempt ends itself, and
#: has its end on record, unless its worker is gone.
ATTEMPT_GRACE = timedelta(seconds=5)
#: Temporal wants some limit; a task without ``attemptTimeout`` may run as long as its worker lives.
UNLIMITED = timedelta(days=3650)
#: One attempt of a local task that sets no ``attemptTimeout``.
LOCAL_ATTEMPT = timedelta(seconds=60)
#: A run continues as a new one when its history has this many bytes.
HISTORY_BYTES = 3 * 1024 * 1024
#: Runs that began without it replay as they ran: of several writes begun at once, all but the first
#: returned before their facts were written.
FLUSH_IN_TURN = "flush-in-turn"
#: The same of runs in which work that was told to stop while it wrote went on.
CANCELLED_IN_FLUSH = "cancelled-in-flush"

_FOREVER = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)
)


class TemporalHost:
    """One run's host. ``records`` are facts that an earlier run of the chain had not written."""

    def __init__(
        self,
        ref: RunRef,
        *,
        liveness_timeout: timedelta,
        history_limit: int,
        records: Sequence[Record] = (),
    ) -> None:
        self._ref = ref
        self._liveness_timeout = liveness_timeout
        self._history_limit = history_limit
        self._kept: list[Record] = list(records)
        self._under_way = 0
        self._admitted = False
        self._flushing = False
        self.draining = False
        self.instance_record: Callable[[], InstanceRecord] | None = None
        self.on_progress: Callable[[], None] = lambda: None

    @property
    def kept(self) -> Sequence[Record]:
        """The facts that are not written yet."""
        return self._kept

    @property
    def quiescent(self) -> bool:
        """Whether no task and no write is under way: the state is then all there is."""
        return self._under_way == 0

    def now(self) -> datetime:
        """The workflow's own time."""
        return workflow.now()

    def until(self, due: datetime) -> timedelta:
        """How long a timer has to be that rings at ``due``; none is needed at zero or less."""
        return due - self.now()

    async def admit(self, may_start: Callable[[], bool]) -> None:
        """Returns when a new step may start."""
        while True:
            await self._not_draining()
            if may_start():
                self._admitted = True
                self.on_progress()
                return
            await workflow.wait_condition(lambda: may_start() or self.draining)

    async def call(self, call: TaskCall) -> Json:
        """Runs a task as an activity, or as a local one."""
        await self._not_draining()
        remaining = None if call.deadline is None else call.deadline - self.now()
        if remaining is not None and remaining <= timedelta(0):
            raise StepError(_timeout_info("the step took longer than its timeout"))
        carried = self._take() if call.spec.activity is None else []
        self._under_way += 1
        try:
            return await self._execute(call, carried, remaining)
        except FailureError as error:
            if is_cancelled_exception(error):
                self._put_back(carried)
                raise asyncio.CancelledError from error
            if not isinstance(_cause(error), ApplicationError):
                # No attempt has answered, so nobody knows whether the facts were written.
                self._put_back(carried)
            raise _step_error(error, call.retry) from error
        except asyncio.CancelledError:
            self._put_back(carried)
            raise
        finally:
            self._under_way -= 1

    async def sleep_until(self, due: datetime) -> None:
        """A durable timer."""
        self.on_progress()
        remaining = self.until(due)
        if remaining > timedelta(0):
            await asyncio.sleep(remaining.total_seconds())

    async def wait_for(self, condition: Callable[[], bool], due: datetime | None) -> bool:
        """Waits for a condition, with a durable timer if there is a due time."""
        self.on_progress()
        if condition():
            return True
        remaining = None if due is None else self.until(due)
        if remaining is not None and remaining <= timedelta(0):
            return False
        try:
            await workflow.wait_condition(condition, timeout=remaining)
        except TimeoutError:
            return condition()
        return True

    def record(self, record: Record) -> None:
        """Keeps a fact until the next task or flush."""
        self._kept.append(record)

    def unwritten(self) -> int:
        """How many facts are kept."""
        return len(self._kept)

    async def flush(self, *, main_path: bool, always: bool = False) -> None:
        """Writes what is kept, and the run as it stands now; the latter alone with ``always``.

        In a branch it is a remote activity: local activities side by side are where the SDK is
        weakest on replay.
        """
        self._under_way += 1
        task = asyncio.current_task()
        told = task.cancelling() if task is not None else 0
        try:
            await workflow.wait_condition(lambda: not self._flushing)
            # Of all that have waited, another one may have come first.
            if self._flushing and workflow.patched(FLUSH_IN_TURN):
                while self._flushing:
                    await workflow.wait_condition(lambda: not self._flushing)
            if not self._kept and not always:
                return
            self._flushing = True
            carried = self._take()
            try:
                await self._write(carried, local=main_path)
            except BaseException as error:
                self._put_back(carried)
                if is_cancelled_exception(error):
                    raise asyncio.CancelledError from error
                raise
            finally:
                self._flushing = False
            # A write that ends well although it was told to stop leaves nothing of that to see.
            stopped = task is not None and task.cancelling() > told
            if stopped and workflow.patched(CANCELLED_IN_FLUSH):
                raise asyncio.CancelledError
        finally:
            self._under_way -= 1

    async def _write(self, carried: list[Record], *, local: bool) -> None:
        records = list(carried)
        if self.instance_record is not None:
            records.append(self.instance_record())
        batch = RecordBatch(ref=self._ref, records=records).to_json()
        if local:
            await workflow.execute_local_activity(
                RECORD_ACTIVITY,
                batch,
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=_FOREVER,
                summary="write the record",
            )
        else:
            await workflow.execute_activity(
                RECORD_ACTIVITY,
                batch,
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=_FOREVER,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary="write the record",
            )

    async def _not_draining(self) -> None:
        """Parks for ever once the run is to continue as a new one; its state goes on there."""
        info = workflow.info()
        if self._admitted and (
            info.is_continue_as_new_suggested()
            or info.get_current_history_length() >= self._history_limit
            or info.get_current_history_size() >= HISTORY_BYTES
        ):
            self.draining = True
        if self.draining:
            await asyncio.get_running_loop().create_future()

    def _take(self) -> list[Record]:
        carried, self._kept = self._kept, []
        return carried

    def _put_back(self, carried: list[Record]) -> None:
        self._kept = [*carried, *self._kept]

    async def _execute(
        self, call: TaskCall, carried: list[Record], remaining: timedelta | None
    ) -> Json:
        spec = call.spec
        external = spec.activity is not None
        arguments: list[Any] = [call.input]
        if not external:
            arguments.append(self._envelope(call, carried))
        retry = _retry_policy(call.retry, external=external)
        grace = timedelta(0) if external else ATTEMPT_GRACE
        if spec.mode == "local" and call.main_path and not external:
            return await workflow.execute_local_activity(
                spec.task_id,
                args=arguments,
                schedule_to_close_timeout=remaining,
                start_to_close_timeout=(call.attempt_timeout or LOCAL_ATTEMPT) + grace,
                retry_policy=retry,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=call.summary,
            )
        limit = call.attempt_timeout + grace if call.attempt_timeout is not None else UNLIMITED
        return await workflow.execute_activity(
            spec.activity or spec.task_id,
            args=arguments,
            task_queue=spec.task_queue,
            schedule_to_close_timeout=remaining,
            start_to_close_timeout=limit,
            heartbeat_timeout=call.heartbeat_timeout
            or (None if external else self._liveness_timeout),
            retry_policy=retry,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=call.summary,
        )

    def _envelope(self, call: TaskCall, carried: list[Record]) -> dict[str, Any]:
        limit = call.attempt_timeout
        if limit is None and call.spec.mode == "local" and call.main_path:
            limit = LOCAL_ATTEMPT
        return TaskEnvelope(
            ref=self._ref,
            record=call.record,
            ended_seq=call.ended_seq,
            final=call.final,
            idempotency_key=call.idempotency_key,
            attempt_timeout=limit.total_seconds() if limit is not None else None,
            deadline=call.deadline,
            own_heartbeats=call.heartbeat_timeout is not None,
            records=carried,
        ).to_json()


def _retry_policy(retry: DocumentRetryPolicy, *, external: bool) -> RetryPolicy:
    # Temporal reads an interval of zero as "the default", so the shortest there is stands for it.
    delay = max(parse_duration(retry.delay), timedelta(milliseconds=1))
    fixed = retry.strategy == "fixed"
    longest = UNLIMITED
    if fixed:
        longest = delay
    elif retry.max_delay is not None:
        longest = max(parse_duration(retry.max_delay), timedelta(milliseconds=1))
    # Our own activities mark what is never retried; those of other languages cannot know.
    never = sorted(NEVER_RETRIED) if external else []
    return RetryPolicy(
        initial_interval=min(delay, longest),
        backoff_coefficient=1.0 if fixed else retry.backoff_rate,
        maximum_interval=longest,
        maximum_attempts=retry.max_attempts,
        non_retryable_error_types=[*retry.non_retryable_errors, *never] or None,
    )


def _timeout_info(message: str, attempts: int | None = None) -> ErrorInfo:
    return ErrorInfo(type="TimeoutError", message=message, attempts=attempts)


def _cause(error: FailureError) -> BaseException | None:
    """Why an activity failed. What a local one failed with may come as it is, not wrapped."""
    return error.cause if isinstance(error, ActivityError) else error


def _step_error(error: FailureError, retry: DocumentRetryPolicy) -> StepError:
    """A failed activity as the error of its step."""
    cause = _cause(error)
    if isinstance(cause, ApplicationError):
        given = cause.details[0] if cause.details else None
        known = FailureDetails()
        if isinstance(given, dict):
            known = FailureDetails.model_validate(given)
        return StepError(
            ErrorInfo(
                type=cause.type or "ApplicationError",
                code=known.code,
                message=cause.message,
                details=known.details,
                # Without its own word (its worker went away), one is all that is certain.
                attempts=known.attempt or 1,
            )
        )
    if isinstance(cause, TemporalTimeoutError):
        state = error.retry_state if isinstance(error, ActivityError) else None
        spent = state is not None and state.name == "MAXIMUM_ATTEMPTS_REACHED"
        kind = cause.type.name.lower().replace("_", " ") if cause.type is not None else "its"
        message = f"the task did not answer within the {kind} timeout"
        return StepError(_timeout_info(message, retry.max_attempts if spent else 1))
    kind = type(cause).__name__ if cause is not None else "ActivityError"
    return StepError(ErrorInfo(type=kind, message=str(cause or error)))

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
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from definitions.calls import SegmentAnswer
    from definitions.names import RECORD_ACTIVITY, SEGMENT_ACTIVITY
    from definitions.outputs import json_size
    from definitions.records import ErrorInfo, RecordBatch
    from definitions.tasks import CHILD_TASK
    from worker.ahead import Ahead
    from worker.envelopes import LOCAL_ATTEMPT, envelope_of, is_local
    from worker.external_tasks import call_external
    from worker.interpreter.host import StepError
    from worker.interpreter.retries import backoff
    from worker.kept_records import MAX_CARRIED_BYTES, MAX_KEPT_BYTES, KeptRecords
    from worker.ordered_waits import OrderedWaits
    from worker.retrying import (
        UNLIMITED,
        cause_of,
        retry_policy,
        step_error_of,
        timeout_info,
        told_to_stop,
    )
    from worker.task_room import TaskRoom

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from definitions.calls import Answer, SegmentRequest
    from definitions.jsontypes import Json
    from definitions.records import InstanceRecord, Record
    from worker.child_runs import ChildRuns
    from worker.interpreter.host import TaskCall
    from worker.interpreter.state import RunState

#: How much later than a task's own limit Temporal gives an attempt up: an attempt ends itself, and
#: has its end on record, unless its worker is gone.
ATTEMPT_GRACE = timedelta(seconds=5)
#: A run continues as a new one when its history has this many bytes.
HISTORY_BYTES = 3 * 1024 * 1024
#: So many activities are under way at once; Temporal refuses more than 2,000.
MAX_PENDING = 500
#: A write that is bigger is a local activity, whose arguments stay in the worker.
_REMOTE_BYTES = 1536 * 1024

#: A segment ends itself, and soon: this is for one whose worker hangs.
_SEGMENT = timedelta(minutes=10)

_FOREVER = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)
)


class TemporalHost:
    """One run's host. ``records`` are facts that an earlier run of the chain had not written."""

    def __init__(
        self,
        state: RunState,
        *,
        children: ChildRuns,
        liveness_timeout: timedelta,
        history_limit: int,
        records: Sequence[Record] = (),
    ) -> None:
        self._state = state
        self._ref = state.ref
        self._children = children
        self._liveness_timeout = liveness_timeout
        self._history_limit = history_limit
        self._kept = KeptRecords(records)
        self._room = TaskRoom()
        self._under_way = 0
        self._pending = 0
        #: Whether this run of the chain has begun a step, or was told something.
        self._moved = False
        self._waits = OrderedWaits(self.now, self.timer)
        self._flushing = False
        self._ahead = Ahead()
        #: Whether anything came from outside since the last segment began.
        self._disturbed = False
        #: How many facts were kept when the run went on from its last answer of a segment.
        self._mark = 0
        #: The last number in the order that was taken while a segment was under way.
        self._last_seq = 0
        self.draining = False
        #: What a segment needs that begins with this task, if there is to be one.
        self.segment: Callable[[TaskCall], SegmentRequest | None] = lambda _: None
        self.instance_record: Callable[[], InstanceRecord] | None = None
        self.on_progress: Callable[[], None] = lambda: None

    @property
    def kept(self) -> Sequence[Record]:
        """The facts that are not written yet."""
        return self._kept.all

    @property
    def quiescent(self) -> bool:
        """Whether no task and no write is under way: the state is then all there is."""
        return self._under_way == 0 and not self._ahead

    @property
    def ahead(self) -> bool:
        """Whether a segment has done what comes next."""
        return bool(self._ahead)

    @property
    def overfull(self) -> bool:
        """Whether so much is kept that it is to be written, although the run itself only waits."""
        return not self._flushing and self._kept.overfull(
            MAX_CARRIED_BYTES if self.draining else MAX_KEPT_BYTES
        )

    def now(self) -> datetime:
        """The workflow's own time, and in what a segment has done the time that it was there."""
        return self._ahead.now(workflow.now())

    def timer(self, due: datetime, seq: int) -> timedelta:
        """How long the timer of an operation has to be that is due then."""
        return due - self.now()

    async def admit(self, may_start: Callable[[], bool], *, seq: int) -> None:
        """Returns when a new step may start; never, once the run is to continue as a new one."""
        if self._ahead:
            return
        await self._waits.until(lambda: may_start() and not self._drains(), None, seq=seq)
        self._moved = True
        self.on_progress()

    async def call(self, call: TaskCall) -> Json:
        """Runs a task as an activity, as a local one, or as a run of its own."""
        if self._ahead:
            answer = self._take(call)
            if answer is not None:
                # What was kept on the way from the answer before is on record.
                self._kept.cut(self._mark)
                return await self._answered(call, answer)
            workflow.logger.error("segment_went_another_way: step %s", call.record.path)
        while True:
            await self._waits.until(self._may_call, None, seq=call.seq)
            # Of those that were let go on together, another one may have taken the last place.
            if self._pending < MAX_PENDING:
                break
        self._pending += 1
        try:
            if not call.spec.self_recorded:
                return await self.call_elsewhere(call)
            return await self.call_activity(call)
        finally:
            self._pending -= 1
            if self._pending == MAX_PENDING - 1:
                self.look()

    def _may_call(self) -> bool:
        return self._pending < MAX_PENDING and not self._drains()

    async def call_activity(
        self, call: TaskCall, *, attempts_before: int = 0, due: datetime | None = None
    ) -> Json:
        """Runs a task as an activity of ours, remote or local; ``due``: not before that time."""
        self._under_way += 1
        carried: list[Record] = []
        try:
            if due is not None:
                await self._waits.until(None, due, seq=call.seq)
            if self.overfull:
                # What travels with a task has to fit into its arguments.
                await self.flush(main_path=call.main_path)
            if is_local(call):
                # Its arguments stay in the worker; its answer travels with the workflow task.
                await self._room.claim(0)
                remaining = self._remaining(call)
                request = self.segment(call) if not attempts_before else None
                if request is not None:
                    answer = await self._run_segment(call, request)
                    if answer is not None:
                        return await self._answered(call, answer)
                carried, _ = self._kept.take()
                output = await self._execute(call, carried, remaining, attempts_before)
                self._room.answered(json_size(output))
                return output
            size = json_size(call.input)
            await self._room.claim(size + min(self._kept.bytes, MAX_KEPT_BYTES))
            remaining = self._remaining(call)
            carried, _ = self._kept.take(_REMOTE_BYTES - size)
            return await self._execute(call, carried, remaining, attempts_before)
        except FailureError as error:
            if is_cancelled_exception(error):
                self._kept.put_back(carried)
                raise asyncio.CancelledError from error
            if not isinstance(cause_of(error), ApplicationError):
                # No attempt has answered, so nobody knows whether the facts were written.
                self._kept.put_back(carried)
            raise step_error_of(error, call.retry) from error
        except asyncio.CancelledError:
            self._kept.put_back(carried)
            raise
        finally:
            self._under_way -= 1

    async def _run_segment(self, call: TaskCall, request: SegmentRequest) -> Answer | None:
        """Runs a task with what follows it, as far as that is local too, in one local activity.

        Returns the task's own answer, or None where the task is still to be run.
        """
        carried, _ = self._kept.take()
        self._disturbed = False
        request = request.model_copy(update={"now": self.now(), "records": carried})
        try:
            value = await workflow.execute_local_activity(
                SEGMENT_ACTIVITY,
                request.to_json(),
                start_to_close_timeout=_SEGMENT,
                retry_policy=RetryPolicy(maximum_attempts=1),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=f"{call.summary}, and what follows",
            )
        except FailureError as error:
            self._kept.put_back(carried)
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            return None
        except asyncio.CancelledError:
            self._kept.put_back(carried)
            raise
        answered = SegmentAnswer.model_validate(value)
        self._room.answered(json_size(value))
        if not answered.answers:
            # It broke before its first task, with which these would have been written.
            self._kept.put_back(carried)
            return None
        self._ahead.add(answered.answers, ended=answered.ended)
        # The same numbers as there, whatever has come meanwhile and taken some of them: they are on
        # record, and one event names the number of another.
        self._last_seq, self._state.seq = self._state.seq, call.ended_seq
        return self._take(call)

    def _take(self, call: TaskCall) -> Answer | None:
        """This task's answer in what a segment has done; with the last one, numbers are new."""
        answer = self._ahead.take(call)
        if not self._ahead.answers:
            self._state.seq = max(self._state.seq, self._last_seq)
        return answer

    async def _answered(self, call: TaskCall, answer: Answer) -> Json:
        """What a segment has answered; the next attempt where that is wanted."""
        self._mark = len(self._kept)
        if answer.ending == "completed":
            return answer.output
        if answer.ending == "failed":
            raise StepError(answer.error or ErrorInfo(type="InternalError", message="no error"))
        if told_to_stop():
            raise asyncio.CancelledError
        if answer.ending == "again":
            due = answer.at + backoff(call.retry, 1)
            return await self.call_activity(call, attempts_before=1, due=due)
        # What was told to stop is another step.
        return await self.call_activity(call, attempts_before=1)

    async def call_elsewhere(self, call: TaskCall) -> Json:
        """Runs what no activity of ours runs: a child run, or another worker's task."""
        self._under_way += 1
        try:
            await self._room.claim(json_size(call.input))
            remaining = self._remaining(call)
            if call.spec.task_id == CHILD_TASK:
                return await self._children.run(call)
            return await call_external(
                call,
                remaining=remaining,
                attempt_limit=call.attempt_timeout or UNLIMITED,
                retry=retry_policy(call.retry, external=True),
                record=self.record,
            )
        finally:
            self._under_way -= 1

    def _remaining(self, call: TaskCall) -> timedelta | None:
        """What is left of the step's time.

        Raises:
            StepError: Nothing is.
        """
        remaining = None if call.deadline is None else call.deadline - self.now()
        if remaining is not None and remaining <= timedelta(0):
            raise StepError(timeout_info("the step took longer than its timeout"))
        return remaining

    async def sleep_until(self, due: datetime, *, seq: int) -> None:
        """A durable timer."""
        self.on_progress()
        await self._waits.until(None, due, seq=seq)

    async def wait_for(
        self, condition: Callable[[], bool], due: datetime | None, *, seq: int
    ) -> bool:
        """Waits for a condition, with a durable timer if there is a due time."""
        self.on_progress()
        return await self._waits.until(condition, due, seq=seq)

    async def settle(self) -> None:
        """Lets everything go on, in its order, once a run that begins has come to rest."""
        # Conditions are looked at when nothing is left that could move by itself.
        await workflow.wait_condition(lambda: True)
        self.release()

    def release(self) -> None:
        """Lets everything go on that was held."""
        self._disturbed = True
        self._waits.release()

    def notice(self) -> None:
        """Tells that something came from outside: who waited for it goes on."""
        self._moved = self._disturbed = True
        self._drains()
        self.look()

    def look(self) -> None:
        """Lets go on whatever waits for what holds now."""
        self._waits.look()

    def record(self, record: Record) -> None:
        """Keeps a fact until the next task or flush."""
        self._kept.add(record)

    def unwritten(self) -> int:
        """How many facts are kept, those aside that came while a segment was under way."""
        return len(self._kept) - (self._mark if self._ahead else 0)

    async def flush(self, *, main_path: bool, seq: int = 0, always: bool = False) -> None:
        """Writes what is kept, and the run as it stands now; the latter alone with ``always``.

        In a branch it is a remote activity: local activities side by side are where the SDK is
        weakest on replay.
        """
        if self._ahead.take_end():
            self._kept.cut(self._mark)
            if not self._disturbed:
                return
            # What came from outside has its place in the order, and so the end has another one.
            always = True
        self._under_way += 1
        task = asyncio.current_task()
        told = task.cancelling() if task is not None else 0
        try:
            # Of all that have waited, another one may have come first.
            while self._flushing:
                await workflow.wait_condition(lambda: not self._flushing)
            if not self._kept and not always:
                return
            self._flushing = True
            try:
                # What is kept meanwhile is for the next write, or this one might never end.
                for left in reversed(range(self._kept.writes)):
                    await self._write_some(local=main_path, last=left == 0)
            finally:
                self._flushing = False
            # A write that ends well although it was told to stop leaves nothing of that to see.
            if task is not None and task.cancelling() > told:
                raise asyncio.CancelledError
        finally:
            self._under_way -= 1

    async def _write_some(self, *, local: bool, last: bool) -> None:
        """Writes as much as fits into an activity's arguments; with the last, the run itself."""
        carried, size = self._kept.take()
        records = list(carried)
        try:
            if last and self.instance_record is not None:
                records.append(self.instance_record())
            if not local:
                size += sum(json_size(one.state) for one in records if one.kind == "instance")
                local = size > _REMOTE_BYTES
            if not local:
                await self._room.claim(size)
            await self._write(records, local=local)
        except BaseException as error:
            self._kept.put_back(carried)
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            raise

    async def _write(self, records: list[Record], *, local: bool) -> None:
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

    def _drains(self) -> bool:
        """Whether the run is to continue as a new one: nothing is begun here any more.

        Not before something has happened here, or it would continue for ever.
        """
        if not self.draining and self._moved:
            info = workflow.info()
            self.draining = (
                info.is_continue_as_new_suggested()
                or info.get_current_history_length() >= self._history_limit
                or info.get_current_history_size() >= HISTORY_BYTES
            )
        return self.draining

    async def _execute(
        self,
        call: TaskCall,
        carried: list[Record],
        remaining: timedelta | None,
        attempts_before: int,
    ) -> Json:
        spec = call.spec
        envelope = envelope_of(self._ref, call, carried, attempts_before=attempts_before)
        arguments: list[Any] = [call.input, envelope.to_json()]
        retry = retry_policy(call.retry, before=attempts_before)
        if is_local(call):
            return await workflow.execute_local_activity(
                spec.task_id,
                args=arguments,
                schedule_to_close_timeout=remaining,
                start_to_close_timeout=(call.attempt_timeout or LOCAL_ATTEMPT) + ATTEMPT_GRACE,
                retry_policy=retry,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=call.summary,
            )
        limit = UNLIMITED
        if call.attempt_timeout is not None:
            limit = call.attempt_timeout + ATTEMPT_GRACE
        return await workflow.execute_activity(
            spec.task_id,
            args=arguments,
            schedule_to_close_timeout=remaining,
            start_to_close_timeout=limit,
            heartbeat_timeout=call.heartbeat_timeout or self._liveness_timeout,
            retry_policy=retry,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=call.summary,
        )

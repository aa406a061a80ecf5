"""Mocked tasks under the retry policies of real ones.

A call is a small machine on the clock's alarms: attempt, answer or timeout, wait, next attempt. It
keeps the rules of Temporal's activities: one attempt is bounded by ``attempt_timeout``, the silence
of one that hangs by ``heartbeat_timeout``, all of them by the deadline; a next attempt that could
not begin before the deadline is not waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

from definitions.durations import format_duration, parse_duration
from definitions.outputs import is_object, stored_output
from definitions.records import AttemptRecord, ErrorInfo
from definitions.statuses import StepStatus
from definitions.tasks import CHILD_TASK
from worker.interpreter.host import StepError
from worker.interpreter.retries import next_attempt_at
from worker.rehearsal.compare import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from definitions.jsontypes import Json
    from worker.interpreter.host import TaskCall
    from worker.rehearsal.case import Answer
    from worker.rehearsal.journal import Journal
    from worker.rehearsal.loop import Alarm, VirtualLoop


class Answers:
    """The answers of one run's tasks, given out attempt by attempt."""

    def __init__(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        self._answers = answers
        self._given: dict[str, int] = {}

    def next(self, call: TaskCall) -> Answer | None:
        """The answer to the attempt that begins now, or None where the case has none."""
        record = call.record
        key = record.step_id if record.step_id in self._answers else record.task_id
        answers = self._answers.get(key)
        if answers is None:
            return None
        given = self._given.get(key, 0)
        self._given[key] = given + 1
        return answers[min(given, len(answers) - 1)]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ends: ``after`` some time (None: never), with ``output`` or with ``error``.

    ``limit`` is what ended it where it did not answer in time: which of ``TaskCall``'s limits.
    """

    after: timedelta | None
    output: Json = None
    error: ErrorInfo | None = None
    retryable: bool = True
    limit: Literal["deadline", "attempt", "heartbeat"] | None = None

    @property
    def status(self) -> StepStatus:
        """The status of the attempt."""
        if self.limit is not None:
            return StepStatus.TIMEOUT
        return StepStatus.COMPLETED if self.error is None else StepStatus.FAILED


def ending(call: TaskCall, answer: Answer | None, now: datetime) -> Ending:
    """How an attempt ends that begins now: everything about it is known at once."""
    if answer is None:
        message = f"the case has no answers for {call.spec.task_id}"
        info = ErrorInfo(type="UnknownTask", message=message)
        return Ending(timedelta(0), error=info, retryable=False)
    after = None if answer.hang else parse_duration(answer.after or "PT0S")
    limited = _limited(call, now, hangs=after is None)
    if limited is not None and (after is None or after > (limited.after or timedelta(0))):
        return limited
    if answer.throw is not None:
        thrown = answer.throw
        info = ErrorInfo(
            type=thrown.error_type,
            code=thrown.error_code,
            # As a real task's exception that has nothing to say.
            message=thrown.message or thrown.error_type,
            details=thrown.details,
        )
        return Ending(after, error=info, retryable=thrown.retryable)
    return Ending(after, output=call.input if answer.echo else answer.returns)


def _limited(call: TaskCall, now: datetime, *, hangs: bool) -> Ending | None:
    """The shortest of the limits that bound an attempt."""

    def limit(
        after: timedelta, kind: Literal["deadline", "attempt", "heartbeat"], what: str
    ) -> Ending:
        # Nothing can begin after the deadline, whatever the policy says.
        retryable = kind != "deadline"
        length = f" of {format_duration(after)}" if retryable else ""
        message = f"task {call.spec.task_id} took longer than {what}{length}"
        if kind == "heartbeat":
            # A silent task says nothing by itself; this is what the run says of it on Temporal.
            message = "the task did not answer within the heartbeat timeout"
        info = ErrorInfo(type="TimeoutError", message=message)
        return Ending(after, error=info, retryable=retryable, limit=kind)

    limits: list[Ending] = []
    # Whoever has a child run bounds it from outside, as on Temporal.
    if call.deadline is not None and call.spec.task_id != CHILD_TASK:
        limits.append(limit(max(call.deadline - now, timedelta(0)), "deadline", "its timeout"))
    if call.attempt_timeout is not None:
        limits.append(limit(call.attempt_timeout, "attempt", "the timeout of one attempt"))
    # A mocked task that takes its time is taken to give signs of life meanwhile.
    if call.heartbeat_timeout is not None and hangs:
        limits.append(limit(call.heartbeat_timeout, "heartbeat", "its heartbeat timeout"))
    return min(limits, key=lambda one: one.after or timedelta(0), default=None)


def input_differences(call: TaskCall, answer: Answer | None, attempt: int) -> list[str]:
    """How the input of an attempt differs from what the case expects it to be."""
    if answer is None or not answer.gave("expect_input"):
        return []
    what = f"input of {call.record.path} (attempt {attempt})"
    return differences(what, answer.expect_input, call.input)


def write_attempt(
    journal: Journal,
    call: TaskCall,
    attempt: int,
    status: StepStatus,
    *,
    output: Json = None,
    error: ErrorInfo | None = None,
    began: datetime,
    now: datetime,
) -> None:
    """Writes what a task's recorder does: the attempt, and its step's end where it is that too."""
    step = call.record
    if status is StepStatus.COMPLETED and call.final:
        ended = {
            "seq": call.ended_seq,
            "status": status,
            "output": stored_output(output),
            "completed_at": now,
            "wrapped": None if is_object(output) else True,
        }
        step = step.model_copy(update=ended)
        journal.records.append(step)
    journal.attempts.append(
        AttemptRecord(
            attempt=attempt,
            status=status,
            input=call.input,
            output=output,
            error=error,
            started_at=began,
            completed_at=now,
            step=step,
        )
    )


class MockedTasks:
    """Answers the calls of one run from the case's ``tasks``."""

    def __init__(
        self,
        answers: Mapping[str, Sequence[Answer]],
        loop: VirtualLoop,
        journal: Journal,
        now: Callable[[], datetime],
    ) -> None:
        self.answers = Answers(answers)
        self.loop = loop
        self.journal = journal
        self.now = now


class RunningCall:
    """A call under way. When it is done, it has an output or an error, and calls ``on_done``."""

    def __init__(self, tasks: MockedTasks, call: TaskCall) -> None:
        self._tasks = tasks
        self.call = call
        self.on_done: Callable[[], None] = _nobody
        self.output: Json = None
        self.error: StepError | None = None
        self._attempt = 0
        self._under_way = False
        self._began_after = 0
        self._began = tasks.now()
        self._alarm: Alarm | None = None
        self._begin()

    def cancel(self) -> None:
        """Stops it; the attempt under way, if there is one, is recorded as cancelled.

        What is told to stop in the moment in which it begins is never begun.
        """
        if self._alarm is not None:
            self._alarm.cancel()
        if self._under_way and self._tasks.loop.rests > self._began_after:
            self._record(StepStatus.CANCELLED)

    def _begin(self) -> None:
        self._attempt += 1
        self._under_way = True
        self._began_after = self._tasks.loop.rests
        self._began = self._tasks.now()
        answer = self._tasks.answers.next(self.call)
        self._tasks.journal.differences += input_differences(self.call, answer, self._attempt)
        end = ending(self.call, answer, self._began)
        if end.after is not None:
            self._do_after(end.after, partial(self._end, end))

    def _do_after(self, delay: timedelta, action: Callable[[], None]) -> None:
        loop = self._tasks.loop
        when = loop.microseconds + delay // timedelta(microseconds=1)
        self._alarm = loop.set_alarm(when, action, order=self.call.seq)

    def _end(self, end: Ending) -> None:
        info = end.error
        if info is None:
            self.output = end.output
            self._record(StepStatus.COMPLETED, output=self.output)
            self.on_done()
            return
        info = info.model_copy(update={"attempts": self._attempt})
        self._record(end.status, error=info)
        error = StepError(info, retryable=end.retryable)
        now, call = self._tasks.now(), self.call
        again = next_attempt_at(call.retry, error, self._attempt, now=now, deadline=call.deadline)
        if again is not None:
            self._do_after(again - now, self._begin)
            return
        self.error = error
        self.on_done()

    def _record(
        self, status: StepStatus, *, output: Json = None, error: ErrorInfo | None = None
    ) -> None:
        self._under_way = False
        write_attempt(
            self._tasks.journal,
            self.call,
            self._attempt,
            status,
            output=output,
            error=error,
            began=self._began,
            now=self._tasks.now(),
        )


def _nobody() -> None:
    """A call that nobody follows yet."""

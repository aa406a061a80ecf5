"""Mocked tasks under the retry policies of real ones.

A call is a small machine on the clock's alarms: attempt, answer or timeout, wait, next attempt. It
keeps the rules of Temporal's activities: one attempt is bounded by ``attempt_timeout``, the silence
of one that hangs by ``heartbeat_timeout``, all of them by the deadline; a next attempt that could
not begin before the deadline is not waited for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from definitions.durations import format_duration, parse_duration
from definitions.outputs import stored_output
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


class MockedTasks:
    """Answers the calls of one run from the case's ``tasks``."""

    def __init__(
        self,
        answers: Mapping[str, Sequence[Answer]],
        loop: VirtualLoop,
        journal: Journal,
        now: Callable[[], datetime],
    ) -> None:
        self._answers = answers
        self._given: dict[str, int] = {}
        self.loop = loop
        self.journal = journal
        self.now = now

    def next_answer(self, call: TaskCall) -> Answer | None:
        """The answer to the attempt that begins now, or None where the case has none."""
        record = call.record
        key = record.step_id if record.step_id in self._answers else record.task_id
        answers = self._answers.get(key)
        if answers is None:
            return None
        given = self._given.get(key, 0)
        self._given[key] = given + 1
        return answers[min(given, len(answers) - 1)]


class RunningCall:
    """A call under way. When it is done, it has an output or an error, and calls ``on_done``."""

    def __init__(self, tasks: MockedTasks, call: TaskCall) -> None:
        self._tasks = tasks
        self.call = call
        self.on_done: Callable[[], None] = _nobody
        self.output: Json = None
        self.error: StepError | None = None
        self._attempt = 0
        #: Whether an attempt is under way, and not the wait for the next one.
        self._trying = False
        self._began = tasks.now()
        self._alarm: Alarm | None = None
        self._begin()

    def cancel(self) -> None:
        """Stops it; the attempt under way, if there is one, is recorded as cancelled."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._trying:
            self._record(StepStatus.CANCELLED)

    def _begin(self) -> None:
        """Begins an attempt: everything about its end is known at once."""
        self._attempt += 1
        self._trying = True
        self._began = self._tasks.now()
        answer = self._tasks.next_answer(self.call)
        if answer is None:
            message = f"the case has no answers for {self.call.spec.task_id}"
            info = ErrorInfo(type="UnknownTask", message=message)
            self._end_after(timedelta(0), lambda: self._failed(info, retryable=False))
            return
        self._compare_input(answer)
        after = None if answer.hang else parse_duration(answer.after or "PT0S")
        limit, expired = self._limit(hangs=after is None)
        if after is not None and (limit is None or after <= limit):
            self._end_after(after, lambda: self._answered(answer))
        elif limit is not None:
            self._end_after(limit, expired)

    def _limit(self, *, hangs: bool) -> tuple[timedelta | None, Callable[[], None]]:
        """The shortest of the limits that bound this attempt, and what happens at it."""
        call = self.call
        limits: list[tuple[timedelta, Callable[[], None]]] = []
        # Whoever has a child run bounds it from outside, as on Temporal.
        if call.deadline is not None and call.spec.task_id != CHILD_TASK:
            left = max(call.deadline - self._tasks.now(), timedelta(0))
            limits.append((left, lambda: self._timed_out("its timeout", None)))
        if call.attempt_timeout is not None:
            within = call.attempt_timeout
            limits.append((within, lambda: self._timed_out("the timeout of one attempt", within)))
        # A mocked task that takes its time is taken to give signs of life meanwhile.
        if call.heartbeat_timeout is not None and hangs:
            silence = call.heartbeat_timeout
            limits.append((silence, lambda: self._timed_out("its heartbeat timeout", silence)))
        if not limits:
            return None, lambda: None
        return min(limits, key=lambda limit: limit[0])

    def _end_after(self, delay: timedelta, end: Callable[[], None]) -> None:
        loop = self._tasks.loop
        when = loop.microseconds + delay // timedelta(microseconds=1)
        self._alarm = loop.set_alarm(when, end, order=self.call.seq)

    def _answered(self, answer: Answer) -> None:
        if answer.throw is not None:
            thrown = answer.throw
            info = ErrorInfo(
                type=thrown.error_type,
                code=thrown.error_code,
                message=thrown.message,
                details=thrown.details,
            )
            self._failed(info, retryable=thrown.retryable)
            return
        self.output = self.call.input if answer.echo else answer.returns
        self._record(StepStatus.COMPLETED, output=self.output)
        self.on_done()

    def _timed_out(self, what: str, within: timedelta | None) -> None:
        length = f" of {format_duration(within)}" if within is not None else ""
        message = f"task {self.call.spec.task_id} took longer than {what}{length}"
        info = ErrorInfo(type="TimeoutError", message=message)
        # Nothing can begin after the deadline, whatever the policy says.
        self._failed(info, retryable=within is not None, status=StepStatus.TIMEOUT)

    def _failed(
        self, info: ErrorInfo, *, retryable: bool, status: StepStatus = StepStatus.FAILED
    ) -> None:
        info = info.model_copy(update={"attempts": self._attempt})
        self._record(status, error=info)
        error = StepError(info, retryable=retryable)
        now, call = self._tasks.now(), self.call
        again = next_attempt_at(call.retry, error, self._attempt, now=now, deadline=call.deadline)
        if again is not None:
            self._end_after(again - now, self._begin)
            return
        self.error = error
        self.on_done()

    def _compare_input(self, answer: Answer) -> None:
        if answer.gave("expect_input"):
            what = f"input of {self.call.record.path} (attempt {self._attempt})"
            self._tasks.journal.differences += differences(
                what, answer.expect_input, self.call.input
            )

    def _record(
        self, status: StepStatus, *, output: Json = None, error: ErrorInfo | None = None
    ) -> None:
        """What a task's recorder writes: the attempt, and the step's end where that is its end."""
        self._trying = False
        now = self._tasks.now()
        step = self.call.record
        if status is StepStatus.COMPLETED and self.call.final:
            ended = {
                "seq": self.call.ended_seq,
                "status": status,
                "output": stored_output(output),
                "completed_at": now,
                "wrapped": None if isinstance(output, dict) else True,
            }
            step = step.model_copy(update=ended)
            self._tasks.journal.records.append(step)
        self._tasks.journal.attempts.append(
            AttemptRecord(
                attempt=self._attempt,
                status=status,
                input=self.call.input,
                output=output,
                error=error,
                started_at=self._began,
                completed_at=now,
                step=step,
            )
        )


def _nobody() -> None:
    """A call that nobody follows yet."""

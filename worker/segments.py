"""Segments: local tasks in a row, with all that is between them, in one local activity.

The activity takes a run up where it stands, goes on with the same interpreter over a host of its
own as far as there are local tasks, and answers with what each of them gave. The run then goes the
same way itself, from answer to answer (``worker.ahead``). So nothing but the answers is in the
history, and everything on the way is on record in one transaction.

Local activities become durable when their workflow task ends, all together. So the tasks of a
segment are run again when its worker dies, just as single ones in a row would be.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.attempt import Failure
from activities.recording import write_record
from definitions.calls import Answer, SegmentAnswer, SegmentRequest
from definitions.names import SEGMENT_ACTIVITY
from definitions.outputs import json_size
from definitions.records import RecordBatch
from worker.envelopes import envelope_of, in_segment
from worker.interpreter.host import StepError
from worker.interpreter.interpreter import Interpreter
from worker.interpreter.plan import make_plan
from worker.interpreter.retries import next_attempt_at
from worker.interpreter.state import read_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from activities.temporal import Activities
    from definitions.jsontypes import Json
    from definitions.ports import Recorder
    from definitions.records import Record
    from worker.interpreter.host import TaskCall

#: A segment begins no more tasks after so many, so many seconds, or so many bytes of answers: these
#: are one payload, and meanwhile the run hears of nothing.
MAX_TASKS = 100
MAX_TIME = timedelta(seconds=1)
MAX_ANSWER_BYTES = 256 * 1024


class Segments:
    """The activity that runs segments."""

    def __init__(self, activities: Activities, recorder: Recorder) -> None:
        self._activities = activities
        self._recorder = recorder

    @activity.defn(name=SEGMENT_ACTIVITY)
    async def segment(self, request: dict[str, Any]) -> dict[str, Any]:
        """Goes on with a run as far as it has local tasks in a row."""
        try:
            host = _Host(SegmentRequest.model_validate(request), self._activities, self._recorder)
        except ValidationError as error:
            raise ApplicationError(
                f"no run has asked for this segment: {error}", type="InputError", non_retryable=True
            ) from None
        return (await host.run()).to_json()


class _Together:
    """A recorder that writes when it is told to, everything at once."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._batches: list[RecordBatch] = []

    async def write(self, batch: RecordBatch) -> None:
        """Keeps a batch. That an attempt has begun is said of slow ones alone, and at once."""
        self._batches.append(batch)
        if batch.attempt is not None and batch.attempt.completed_at is None:
            await self.settle()

    async def settle(self) -> None:
        """Writes all that was kept."""
        batches, self._batches = self._batches, []
        try:
            await asyncio.gather(*(write_record(self._recorder, one) for one in batches))
        except asyncio.CancelledError:
            # Some may be written: the same again changes nothing.
            self._batches = [*batches, *self._batches]
            raise


class _Host:
    """The interpreter's host in a segment: local tasks are run, at all else it stops."""

    #: Everything is done when the run comes to it.
    ahead = False

    def __init__(self, request: SegmentRequest, activities: Activities, recorder: Recorder) -> None:
        self._state = read_state(request.state)
        plan = make_plan(request.document, {spec.task_id: spec for spec in request.tasks})
        self._interpreter = Interpreter(plan, self._state, self, room=request.room)
        self._activities = activities
        self._recorder = _Together(recorder)
        self._kept: list[Record] = list(request.records)
        self._answers: list[Answer] = []
        self._bytes = 0
        self._ended = False
        loop = asyncio.get_running_loop()
        self._began, self._clock = request.now, loop.time
        self._began_at = self._clock()
        self._now = request.now
        self._stopped = loop.create_future()

    async def run(self) -> SegmentAnswer:
        """Runs as far as it goes; the answers are on record when this returns.

        Told to stop, it answers with what is done, if anything is.
        """
        work = asyncio.create_task(self._interpreter.run(), name="segment")
        told = False
        try:
            await asyncio.wait({work, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            told = True
        work.cancel()
        told = await _to_its_end(work) or told
        if not work.cancelled():
            # The run will come to the same by itself, and say so.
            work.exception()
        # What is written must be answered, or the run would not know of it.
        settling = asyncio.create_task(self._recorder.settle(), name="segment's record")
        told = await _to_its_end(settling) or told
        settling.result()
        if told and not self._answers:
            raise asyncio.CancelledError
        return SegmentAnswer(answers=self._answers, ended=self._ended)

    def now(self) -> datetime:
        """The run's own time: that of the last answer, as it will be when the run comes to it."""
        return self._now

    async def admit(self, may_start: Callable[[], bool], *, seq: int) -> None:
        """Lets a step start, unless the run is paused."""
        if not may_start():
            await self._stop()

    async def call(self, call: TaskCall) -> Json:
        """Runs a local task once: the run itself waits for another attempt."""
        if not self._takes(call):
            await self._stop()
        records, self._kept = self._kept, []
        envelope = envelope_of(self._state.ref, call, records)
        task_id = call.spec.task_id
        try:
            output = await self._activities.attempt(task_id, call.input, envelope, self._recorder)
        except asyncio.CancelledError:
            self._answer(call, "cancelled")
            raise
        except Failure as failure:
            error = StepError(
                failure.info.model_copy(update={"attempts": 1, "step_id": None}),
                retryable=failure.retryable,
            )
            self._now = self._time()
            again = next_attempt_at(call.retry, error, 1, now=self._now, deadline=None)
            if again is not None:
                self._answer(call, "again", error=error)
                await self._stop()
            self._answer(call, "failed", error=error)
            raise error from failure
        self._answer(call, "completed", output=output)
        return output

    async def sleep_until(self, due: datetime, *, seq: int) -> None:
        """Stops, but for the run's own timeout, which goes on beside the work."""
        if seq == self._state.deadline_turn and due > self._time():
            await asyncio.get_running_loop().create_future()
        await self._stop()

    async def wait_for(
        self, condition: Callable[[], bool], due: datetime | None, *, seq: int
    ) -> bool:
        """Stops."""
        await self._stop()
        return False

    def look(self) -> None:
        """Nobody waits."""

    def record(self, record: Record) -> None:
        """Keeps a fact. It is written with the next task, or by the run itself."""
        self._kept.append(record)

    async def flush(self, *, main_path: bool, seq: int) -> None:
        """Stops; at the run's end all of it is written first."""
        state = self._state
        # Only the run itself knows whether it was in time.
        if state.ended_at is not None and state.deadline is None:
            records = [*self._kept, self._interpreter.instance_record()]
            await self._recorder.write(RecordBatch(ref=state.ref, records=records))
            self._ended = True
        await self._stop()

    def unwritten(self) -> int:
        """How many facts are kept."""
        return len(self._kept)

    def _takes(self, call: TaskCall) -> bool:
        if not self._answers:
            return True
        return (
            in_segment(call)
            and call.spec.self_recorded
            and len(self._answers) < MAX_TASKS
            and self._bytes < MAX_ANSWER_BYTES
            and self._time() - self._began < MAX_TIME
            and (self._state.deadline is None or self._time() < self._state.deadline)
        )

    def _answer(
        self, call: TaskCall, ending: Any, *, output: Json = None, error: StepError | None = None
    ) -> None:
        self._now = self._time()
        answer = Answer(
            path=call.record.path,
            iteration=call.record.iteration,
            ending=ending,
            at=self._now,
            output=output,
            error=error.info if error is not None else None,
        )
        self._bytes += json_size(output) + (json_size(error.info.to_json()) if error else 0)
        self._answers.append(answer)

    def _time(self) -> datetime:
        """The run's own time: its clock is not ours."""
        return self._began + timedelta(seconds=self._clock() - self._began_at)

    async def _stop(self) -> None:
        """Ends the segment here: whoever comes to this never goes on."""
        if not self._stopped.done():
            self._stopped.set_result(None)
        await asyncio.get_running_loop().create_future()


async def _to_its_end(task: asyncio.Task[Any]) -> bool:
    """Waits for a task, whatever happens; returns whether we were told to stop meanwhile."""
    told = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            told = True
    return told

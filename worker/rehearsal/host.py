"""The host that rehearses: virtual time, mocked tasks, records kept in memory.

Besides running an interpreter it can restart it, as continue-as-new does: the state is dumped, put
through JSON, loaded, and a new interpreter goes on from it, in the same virtual instant. Then a
rule of the design can be held exactly: a restart changes nothing. Two things make that possible.

* An operation is known by the name of the task that awaits it (``Children.spawn`` names each child
  by its place in the definition). The new interpreter must come to wait for exactly what the old
  one waited for; anything else is a ``RestartError``.
* Operations go on in the order of their sequence numbers, whichever order a resumed interpreter
  comes to them in. What is due at the same instant is handled in that order.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from definitions.durations import format_duration
from worker.interpreter.interpreter import Interpreter
from worker.interpreter.packing import pack_state, unpack_state
from worker.rehearsal.journal import Journal
from worker.rehearsal.loop import OUTSIDE, VirtualLoop
from worker.rehearsal.mocks import MockedTasks, RunningCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from definitions.jsontypes import Json
    from definitions.records import Record
    from worker.interpreter.host import TaskCall
    from worker.interpreter.plan import Plan
    from worker.interpreter.state import RunState
    from worker.rehearsal.case import Answer
    from worker.rehearsal.loop import Alarm

#: When every rehearsed run begins.
START = datetime(2026, 1, 1, tzinfo=UTC)


class Restart(Enum):
    """When the interpreter is restarted from its state."""

    NEVER = "never"
    #: Wherever nothing moves, between any two steps. Tasks under way stay with the host, so the
    #: result is the same to the microsecond.
    EVERY_STEP = "every step"
    #: As on Temporal: new tasks and steps are held back until no task is under way. That takes time
    #: where branches run side by side, so what depends on the clock may come out differently.
    DRAINED = "drained"


class RestartError(AssertionError):
    """A restarted run does not wait for what it waited for before: its state is not whole."""


@dataclass(slots=True, eq=False)
class Operation:
    """Something that the interpreter awaits, under the name of the task that does.

    One that is ``parked`` has not begun: it is held back until after the next restart.
    """

    name: str
    what: str
    seq: int
    future: asyncio.Future[Any]
    due: datetime | None = None
    condition: Callable[[], bool] | None = None
    call: TaskCall | None = None
    running: RunningCall | None = None
    alarm: Alarm | None = None
    parked: bool = False

    @override
    def __str__(self) -> str:
        until = f" until {self.due.isoformat()}" if self.due is not None else ""
        return f"{self.name} waits for {self.what}{until}"

    def wake(self, answer: object) -> None:
        """Lets the interpreter go on."""
        if not self.future.done():
            self.future.set_result(answer)


class RehearsalHost:
    """Implements ``worker.interpreter.host.Host`` for one run, over all its restarts."""

    #: Everything is done when the run comes to it.
    ahead = False

    def __init__(
        self,
        plan: Plan,
        state: RunState,
        answers: Mapping[str, Sequence[Answer]],
        restart: Restart = Restart.NEVER,
    ) -> None:
        # Abstract are the methods of sockets and processes, which a rehearsal has none of.
        self.loop = VirtualLoop()  # type: ignore[abstract]
        self.journal = Journal()
        self.interpreter = Interpreter(plan, state, self)
        self.restarts = 0
        self._plan = plan
        self._mode = restart
        self._tasks = MockedTasks(answers, self.loop, self.journal, self.now)
        self._root: asyncio.Task[RunState] | None = None
        self._operations: dict[str, Operation] = {}
        self._unwritten = 0
        self._flushing = 0
        #: Whether anything has happened since the last restart.
        self._moved = False
        #: What the old interpreter waited for, until the new one waits for it again.
        self._before: dict[str, Operation] | None = None
        self._closing = False

    def run(self) -> RunState:
        """Runs to the end.

        Raises:
            Stuck: Nothing can wake the run any more.
            RestartError: A restart changed what the run waits for.
        """
        return self.loop.run(self._supervise(), on_idle=self._on_idle, waits=self._waits)

    def from_outside(self, after: timedelta, action: Callable[[], None]) -> None:
        """Does something to the run at a time counted from its start."""

        def act() -> None:
            self._moved = True
            action()

        self.loop.set_alarm(after // timedelta(microseconds=1), act, rank=OUTSIDE)

    # The operations that a run consists of.

    def now(self) -> datetime:
        """The virtual time."""
        return START + timedelta(microseconds=self.loop.microseconds)

    async def admit(self, may_start: Callable[[], bool], *, seq: int) -> None:
        """Returns when a new step may start."""
        if self._before is None and may_start() and not self._parks():
            return
        operation = self._operation("leave to start a step", seq, condition=may_start)
        await self._operate(operation, park=may_start() and self._parks())

    async def call(self, call: TaskCall) -> Json:
        """Runs a mocked task with its retries."""
        self._unwritten = 0
        operation = self._operation(f"the task {call.spec.task_id}", call.seq, call=call)
        await self._operate(operation, park=self._parks())
        running = operation.running
        if running is None:
            raise RestartError(f"{operation}, which never began")
        if running.error is not None:
            raise running.error
        return running.output

    async def sleep_until(self, due: datetime, *, seq: int) -> None:
        """Returns at ``due``."""
        if self._before is None and due <= self.now():
            return
        await self._operate(self._operation("a time", seq, due=due))

    async def wait_for(
        self, condition: Callable[[], bool], due: datetime | None, *, seq: int
    ) -> bool:
        """Returns whether the condition held before ``due``."""
        if self._before is None and condition():
            return True
        operation = self._operation("somebody", seq, condition=condition, due=due)
        held: bool = await self._operate(operation)
        return held

    def look(self) -> None:
        """Conditions are looked at whenever nothing moves."""

    def record(self, record: Record) -> None:
        """Keeps a fact."""
        if not self._closing:
            self.journal.records.append(record)
            self._unwritten += 1

    async def flush(self, *, main_path: bool, seq: int) -> None:
        """Writes all facts. That takes no time, but whatever else is due now gets its turn."""
        if self._closing:
            return
        self.record(self.interpreter.instance_record())
        self._unwritten = 0
        self._flushing += 1
        try:
            await self._operate(self._operation("its records to be written", seq, due=self.now()))
        finally:
            self._flushing -= 1

    def unwritten(self) -> int:
        """How many facts are kept and not yet written."""
        return self._unwritten

    # How an operation goes.

    def _operation(
        self,
        what: str,
        seq: int,
        *,
        due: datetime | None = None,
        condition: Callable[[], bool] | None = None,
        call: TaskCall | None = None,
    ) -> Operation:
        if self._closing:
            raise asyncio.CancelledError
        task = asyncio.current_task(self.loop)
        name = task.get_name() if task is not None else ""
        if name in self._operations:
            raise RestartError(f"two operations at once are called {name}")
        future = self.loop.create_future()
        return Operation(name, what, seq, future, due=due, condition=condition, call=call)

    async def _operate(self, operation: Operation, *, park: bool = False) -> Any:
        self._operations[operation.name] = operation
        try:
            # While a resumed interpreter comes to its operations, all of them are held.
            if self._before is None:
                operation.parked = park
                if not park:
                    self._begin(operation)
            return await operation.future
        finally:
            if not self._closing:
                del self._operations[operation.name]
                if operation.running is not None and operation.future.cancelled():
                    operation.running.cancel()
            if operation.alarm is not None:
                operation.alarm.cancel()

    def _begin(self, operation: Operation) -> None:
        """Lets an operation begin: its call, its alarm. One without waits for its condition."""
        if operation.call is not None:
            running = RunningCall(self._tasks, operation.call)
            self._follow(operation, running)
        if operation.due is not None:
            operation.alarm = self.loop.set_alarm(
                (operation.due - START) // timedelta(microseconds=1),
                partial(self._wake, operation, answer=False),
                order=operation.seq,
            )

    def _follow(self, operation: Operation, running: RunningCall) -> None:
        operation.running = running
        running.on_done = partial(self._wake, operation, answer=None)

    def _wake(self, operation: Operation, *, answer: object) -> None:
        self._moved = True
        operation.wake(answer)

    def _on_idle(self) -> bool:
        """Lets go on whatever can; returns whether anything could."""
        if self._before is not None:
            self._release(self._before)
            return True
        if any(operation.parked for operation in self._operations.values()) and self._restart():
            return True
        woken = False
        for operation in sorted(self._operations.values(), key=_seq):
            if operation.condition is not None and not operation.parked and operation.condition():
                self._wake(operation, answer=True)
                woken = True
        return woken or (self._moved and self._restart())

    def _waits(self) -> str:
        elapsed = format_duration(timedelta(microseconds=self.loop.microseconds))
        waits = "; ".join(map(str, self._operations.values())) or "it waits for nothing"
        return f"nothing can wake the run any more, {elapsed} after its start: {waits}"

    # Restarts.

    def _parks(self) -> bool:
        """Whether what would begin now is held back for a restart."""
        if self._mode is Restart.EVERY_STEP:
            return self.loop.idle and not self._flushing
        return self._mode is Restart.DRAINED

    def _restart(self) -> bool:
        """Has the interpreter replaced by one that is loaded from its state, where it can be."""
        operations = list(self._operations.values())
        if self._mode is Restart.NEVER or self._flushing or self._root is None:
            return False
        if self._mode is Restart.DRAINED and any(one.running for one in operations):
            return False
        self.restarts += 1
        self._before = {operation.name: operation for operation in operations}
        self._closing = True
        self._dumped = json.dumps(pack_state(self.interpreter.state))
        self._root.cancel()
        return True

    async def _supervise(self) -> RunState:
        """Awaits the interpreter, after a restart its successor."""
        while True:
            work = self.interpreter.run()
            self._root = asyncio.get_running_loop().create_task(work, name="interpreter")
            try:
                state = await self._root
            except asyncio.CancelledError:
                if not self._closing:
                    raise
            else:
                if not self._closing:
                    return state
            self._operations = {}
            self._closing = False
            state = unpack_state(json.loads(self._dumped))
            self.interpreter = Interpreter(self._plan, state, self)

    def _release(self, before: dict[str, Operation]) -> None:
        """Lets everything go on for which a resumed interpreter waits, in its order."""
        now = self._operations
        if sorted(before) != sorted(now):
            raise RestartError(
                "a restart changed what the run waits for, from: "
                + "; ".join(map(str, before.values()))
                + " to: "
                + "; ".join(map(str, now.values()))
            )
        self._before = None
        self._moved = False
        for new in sorted(now.values(), key=_seq):
            old = before[new.name]
            _check_resumed(old, new)
            if old.running is not None:
                self._follow(new, old.running)
            elif old.parked and old.call is None:
                new.wake(answer=None)
            else:
                self._begin(new)


def _seq(operation: Operation) -> int:
    return operation.seq


def _check_resumed(old: Operation, new: Operation) -> None:
    same = (new.what, new.due, new.seq) == (old.what, old.due, old.seq)
    if old.call is not None and new.call is not None:
        same = same and new.call.input == old.call.input
        same = same and new.call.deadline == old.call.deadline
        same = same and new.call.idempotency_key == old.call.idempotency_key
    if not same:
        raise RestartError(f"a restart changed an operation, from: {old} to: {new}")

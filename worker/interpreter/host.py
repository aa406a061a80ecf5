"""What the interpreter needs of whatever runs it: the ``Host``.

Temporal is one host, the rehearsal another. The interpreter awaits nothing but these operations and
its own children, so a host decides when a run moves and what a clock says. Nothing here knows the
document's language.

Every operation has a sequence number (``seq``), taken from the state when it first begins and kept
there, so that a run which is taken up again has the same ones. What is due or holds at the same
instant goes on in their order, whichever order a resumed run comes to its operations in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from definitions.records import ErrorInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from definitions.document import RetryPolicy
    from definitions.jsontypes import Json
    from definitions.records import Record, StepRecord
    from definitions.tasks import TaskSpec


class StepError(Exception):
    """A failure of a step, on its way to whoever handles it.

    ``handleable`` is False for what no handler takes. ``done``: the step's work was done when it
    failed (a failure in ``next``), so it is compensated.
    """

    def __init__(self, info: ErrorInfo, *, handleable: bool = True, retryable: bool = True) -> None:
        super().__init__(f"{info.type}: {info.message}")
        self.info = info
        self.handleable = handleable
        self.retryable = retryable

    def at(self, step_id: str) -> StepError:
        """The same error, naming this step unless an inner one is named already."""
        if self.info.step_id is None:
            self.info = self.info.model_copy(update={"step_id": step_id})
        return self


def step_error(
    kind: str, message: str, *, code: str | None = None, details: Json = None
) -> StepError:
    """An error of the interpreter's own, which no policy retries."""
    info = ErrorInfo(type=kind, code=code, message=message, details=details)
    return StepError(info, retryable=False)


@dataclass(frozen=True, slots=True)
class TaskCall:
    """A task to run. The host retries it by ``retry`` until ``deadline`` and records each attempt.

    ``seq`` is the operation's. ``record`` is the step as it stands when the task begins,
    ``ended_seq`` the order of its end.
    ``output_limit`` is how many bytes of output the run has room for.
    ``chains``: it stands alone on the main path, and what may follow is as quick. ``room`` is how
    many bytes may still be added to the run's state.
    ``final``: when the task ends well, so does the step, and its output needs no more work; the
    host may then record the step as completed by itself. ``main_path`` is False in branches, items
    and rollbacks, where several calls can be under way at once.
    """

    seq: int
    spec: TaskSpec
    input: Json
    retry: RetryPolicy
    attempt_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    deadline: datetime | None
    output_limit: int
    summary: str
    idempotency_key: str
    record: StepRecord
    ended_seq: int
    final: bool
    main_path: bool
    chains: bool = False
    room: int = 0


class Host(Protocol):
    """The operations that a run consists of."""

    @property
    def ahead(self) -> bool:
        """Whether what comes next was done already: nothing may keep the run from going there."""
        ...

    def now(self) -> datetime:
        """The run's own time, UTC. The same on replay."""
        ...

    async def admit(self, may_start: Callable[[], bool], *, seq: int) -> None:
        """Returns when a new step may start: ``may_start()`` is true, and nothing is drained."""
        ...

    async def call(self, call: TaskCall) -> Json:
        """Runs a task with its retries and returns its raw output.

        Raises:
            StepError: Its attempts are spent, or its time is.
        """
        ...

    async def sleep_until(self, due: datetime, *, seq: int) -> None:
        """Returns at ``due``, at once when that is past."""
        ...

    async def wait_for(
        self, condition: Callable[[], bool], due: datetime | None, *, seq: int
    ) -> bool:
        """Returns True when the condition holds, False when ``due`` came first."""
        ...

    def look(self) -> None:
        """Says that something may hold now that is waited for; what comes from outside does so."""
        ...

    def record(self, record: Record) -> None:
        """Keeps a fact. It is written with the next task, or at the next flush."""
        ...

    async def flush(self, *, main_path: bool, seq: int) -> None:
        """Writes all facts that were kept. ``main_path`` as in ``TaskCall``."""
        ...

    def unwritten(self) -> int:
        """How many facts are kept and not yet written."""
        ...

"""One execution in the hands of an asynchronous program."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from temporalio.service import RPCError
from typing_extensions import override

from definitions.explain import explain
from steploom.client.results import result_of
from steploom.operations import acting
from steploom.operations.changes import Changes
from steploom.operations.components import show_ui, ui_user
from steploom.operations.executions import find, watch
from steploom.operations.reading import read_whole
from steploom.operations.temporal import unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from definitions.explain import Explanation
    from definitions.jsontypes import Json, JsonObject
    from definitions.statuses import InstanceStatus
    from definitions.ui import UiAnswer
    from definitions.views import InstanceView, StepView
    from steploom.client.connecting import Session
    from steploom.operations.changes import Change
    from steploom.operations.starting import StartedRun


@contextmanager
def our_errors() -> Iterator[None]:
    """Whatever Temporal's library raises is one of our own errors afterwards."""
    try:
        yield
    except RPCError as error:
        raise unreachable(error) from error


class AsyncExecution:
    """An execution. Made by ``AsyncClient.start`` and ``AsyncClient.get``; nothing is asked yet.

    Every method raises ``NotFoundError`` where this org has no such execution, and
    ``UnreachableError`` where Temporal, Postgres or a worker that is needed does not answer.

    Attributes:
        id: Its execution id, which is Temporal's workflow id, or another name that was given.
        started: What ``start`` was told; absent for one that was looked up.
    """

    def __init__(self, session: Session, name: str, started: StartedRun | None = None) -> None:
        self._session = session
        self.id = name
        self.started = started

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 (it has an error)
        """Waits for the end; returns the output.

        Args:
            timeout: Seconds to wait. None: for ever.

        Raises:
            ExecutionFailedError: It failed; ``type``, ``code``, ``step_id``, ``details`` say how.
            ExecutionTimedOutError: It failed by its own timeout.
            ExecutionCancelledError: It was cancelled.
            ExecutionTerminatedError: It was terminated in Temporal.
            WaitTimeoutError: It goes on after ``timeout`` seconds.
        """
        session = self._session
        with our_errors():
            return await result_of(session.services, session.org, self.id, timeout)

    async def status(self) -> InstanceStatus:
        """How it stands: running, suspended, completed, failed or cancelled."""
        return (await self.describe()).status

    async def describe(self) -> InstanceView:
        """It as it stands: status, current step, input, output and error.

        Without a database that is as much as the run itself says while a worker is there.
        """
        with our_errors():
            return (await find(self._session.services, self._session.org, self.id)).instance

    async def watch(self) -> AsyncGenerator[Change, None]:
        """Each change from now to the end, beginning with how it stands.

        Without a database, steps inside branches are seen only while they are under way.
        """
        changes = Changes()
        with our_errors():
            async for snapshot in watch(self._session.services, self._session.org, self.id):
                for change in changes.of(snapshot):
                    yield change

    async def approve(
        self,
        step: str | None = None,
        *,
        comment: str | None = None,
        payload: Json = None,
        approver: str | None = None,
    ) -> dict[str, Any]:
        """Approves a step that waits for it.

        Args:
            step: The step's id, or its path. May be left out where one step waits.
            comment: Why.
            payload: What the approval's form asks for.
            approver: Who decides. Not given: the client's actor.

        Returns:
            ``stepId``, ``verdict`` (absent while more approvals are needed), ``approvals`` and
            ``approvalsRequired``.

        Raises:
            RefusedError: It does not wait, or does not take this decision; the reason is told.
            ConflictError: Several steps wait, and none was named.
        """
        return await self._decide("approved", step, comment, payload, approver)

    async def reject(
        self,
        step: str | None = None,
        *,
        comment: str | None = None,
        payload: Json = None,
        approver: str | None = None,
    ) -> dict[str, Any]:
        """Rejects a step that waits for approval; as ``approve``."""
        return await self._decide("rejected", step, comment, payload, approver)

    async def _decide(
        self,
        decision: Literal["approved", "rejected"],
        step: str | None,
        comment: str | None,
        payload: Json,
        approver: str | None,
    ) -> dict[str, Any]:
        session = self._session
        with our_errors():
            return await acting.decide(
                session.services,
                session.org,
                self.id,
                decision=decision,
                approver=approver or session.actor,
                step=step,
                comment=comment,
                payload=payload,
            )

    async def send(self, event: str, data: Json = None, *, id: str | None = None) -> None:  # noqa: A002 (the event's own word)
        """Sends an event, for a step that waits for it or will do so later.

        Args:
            event: Its name, as ``core.event`` waits for it.
            data: What it carries, up to 64 KB of JSON.
            id: The same one counts only once.

        Raises:
            RefusedError: It has ended.
            InvalidInputError: A text is too long, or the data too big.
        """
        message: JsonObject = {"name": event}
        if data is not None:
            message["data"] = data
        if id is not None:
            message["id"] = id
        with our_errors():
            await acting.send(self._session.services, self._session.org, self.id, message)

    async def pause(self, reason: str | None = None) -> bool:
        """Lets what runs finish and starts nothing new; whether that is a change.

        Raises:
            RefusedError: It has ended, or has not begun.
        """
        session = self._session
        with our_errors():
            done = await acting.pause(
                session.services, session.org, self.id, actor=session.actor, reason=reason
            )
        return done.changed

    async def resume(self, reason: str | None = None) -> bool:
        """Goes on after a pause; whether that is a change. Raises as ``pause``."""
        session = self._session
        with our_errors():
            done = await acting.resume(
                session.services, session.org, self.id, actor=session.actor, reason=reason
            )
        return done.changed

    async def skip(self, step: str, reason: str | None = None) -> str:
        """Goes on from a step that waits or runs as if it had ended with ``{}``; its path.

        Raises:
            RefusedError: Nothing is under way there.
        """
        session = self._session
        with our_errors():
            answer = await acting.skip(
                session.services, session.org, self.id, step, actor=session.actor, reason=reason
            )
        return str(answer["stepId"])

    async def cancel(self, reason: str | None = None) -> None:
        """Asks it to end as cancelled, rolling back what its definition says.

        Raises:
            RefusedError: It has ended.
        """
        session = self._session
        with our_errors():
            await acting.cancel(
                session.services, session.org, self.id, actor=session.actor, reason=reason
            )

    async def steps(self) -> Sequence[StepView]:
        """Its steps in the order in which they began, each with its attempts, from the record.

        Raises:
            UnreachableError: The client has no database.
        """
        with our_errors():
            return (await read_whole(self._session.services, self._session.org, self.id)).steps

    async def explain(self, step: str | None = None) -> Explanation:
        """Why it went where it went, from the record.

        Args:
            step: Only this step: its id, or its path.

        Raises:
            UnreachableError: The client has no database.
        """
        with our_errors():
            run = await read_whole(self._session.services, self._session.org, self.id)
        return explain(run.instance, run.steps, step, actions=run.actions, related=run.related)

    async def ui(
        self,
        *,
        user: str | None = None,
        roles: Sequence[str] = (),
        permissions: Sequence[str] = (),
    ) -> UiAnswer:
        """Which of the definition's UI components to show now.

        Args:
            user: Who looks: ``user.id`` in the conditions.
            roles: ``user.roles``.
            permissions: ``user.permissions``.
        """
        asked = ui_user(user, roles, permissions)
        with our_errors():
            return await show_ui(self._session.services, self._session.org, self.id, asked)

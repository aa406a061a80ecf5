"""The client for programs without an event loop: the asynchronous one on a thread of its own."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from anyio.from_thread import start_blocking_portal
from typing_extensions import override

from definitions.start import DEFAULT_ORG
from steploom.client.client import AsyncClient
from steploom.client.errors import ClientClosedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from definitions.explain import Explanation
    from definitions.jsontypes import Json
    from definitions.statuses import InstanceStatus
    from definitions.ui import UiAnswer
    from definitions.views import InstanceView, StepView
    from steploom.client.execution import AsyncExecution
    from steploom.operations.changes import Change
    from steploom.operations.starting import StartedRun

T = TypeVar("T")


class Calls:
    """Has coroutines run on the client's thread, as long as the client is open."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal

    def call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """What the coroutine function returns or raises.

        Raises:
            ClientClosedError: The client's ``with`` block was left.
        """
        try:
            answer = self._portal.start_task_soon(function, *args)
        except RuntimeError:  # The portal's one way to say so; what the call raises comes later.
            raise ClientClosedError from None
        return answer.result()


class Client:
    """Starts and follows executions, for one org and in the name of one actor.

    ::

        with Client.connect() as client:
            execution = client.start("refund", input={"amount": 42})
            print(execution.result())

    Safe to use by any number of threads; keep one for the life of a program. Every method does,
    takes and raises what the one of ``AsyncClient`` does.

    Raises:
        ClientClosedError: By every method that asks anything, also of an execution, after the
            ``with`` block.
    """

    def __init__(self, client: AsyncClient, calls: Calls) -> None:
        self._client = client
        self._calls = calls

    @classmethod
    @contextmanager
    def connect(
        cls,
        *,
        address: str | None = None,
        namespace: str | None = None,
        api_key: str | None = None,
        tls: bool | None = None,
        tls_ca: Path | str | None = None,
        tls_cert: Path | str | None = None,
        tls_key: Path | str | None = None,
        task_queue: str | None = None,
        database: str | Literal[False] | None = None,
        org: str = DEFAULT_ORG,
        actor: str | None = None,
    ) -> Iterator[Self]:
        """A connected client; as ``AsyncClient.connect``.

        A call that is under way in another thread when the block is left is waited for; where the
        block is left by an exception, it is cancelled.
        """
        connecting = AsyncClient.connect(
            address=address,
            namespace=namespace,
            api_key=api_key,
            tls=tls,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            task_queue=task_queue,
            database=database,
            org=org,
            actor=actor,
        )
        with (
            start_blocking_portal("asyncio", name="steploom-client") as portal,
            portal.wrap_async_context_manager(connecting) as client,
        ):
            yield cls(client, Calls(portal))

    @property
    def org(self) -> str:
        """The org's slug."""
        return self._client.org

    @property
    def actor(self) -> str:
        """Who acts."""
        return self._client.actor

    def start(
        self,
        workflow_id: str | None = None,
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (the start object's own word for it)
        version: str | None = None,
        definition: Mapping[str, Any] | None = None,
        id: str | None = None,  # noqa: A002 (the execution's)
        idempotency_key: str | None = None,
        correlation_id: str | None = None,
        channel: str | None = None,
        external_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Execution:
        """Starts an execution; as ``AsyncClient.start``."""
        starting = partial(
            self._client.start,
            workflow_id,
            input=input,
            version=version,
            definition=definition,
            id=id,
            idempotency_key=idempotency_key,
            correlation_id=correlation_id,
            channel=channel,
            external_id=external_id,
            tags=tags,
            metadata=metadata,
        )
        return Execution(self._calls.call(starting), self._calls)

    def rerun(
        self,
        execution: str,
        from_step: str,
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (the start object's own word for it)
        reason: str | None = None,
        id: str | None = None,  # noqa: A002 (the execution's)
    ) -> Execution:
        """Goes on from a step of an execution that has ended; as ``AsyncClient.rerun``."""
        again = partial(self._client.rerun, execution, from_step, input=input, reason=reason, id=id)
        return Execution(self._calls.call(again), self._calls)

    def get(self, execution_id: str) -> Execution:
        """An execution by its id; as ``AsyncClient.get``."""
        return Execution(self._client.get(execution_id), self._calls)


class Execution:
    """An execution. Every method does, takes and raises what the one of ``AsyncExecution`` does.

    Attributes:
        id: Its execution id, which is Temporal's workflow id, or another name that was given.
        started: What ``start`` was told; absent for one that was looked up.
    """

    def __init__(self, execution: AsyncExecution, calls: Calls) -> None:
        self._execution = execution
        self._calls = calls
        self.id: str = execution.id
        self.started: StartedRun | None = execution.started

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the end, at most so many seconds; returns the output."""
        return self._calls.call(self._execution.result, timeout)

    def status(self) -> InstanceStatus:
        """How it stands: running, suspended, completed, failed or cancelled."""
        return self._calls.call(self._execution.status)

    def describe(self) -> InstanceView:
        """It as it stands: status, current step, input, output and error."""
        return self._calls.call(self._execution.describe)

    def watch(self) -> Iterator[Change]:
        """Each change from now to the end, beginning with how it stands."""
        changes = self._execution.watch()
        try:
            while True:
                try:
                    change = self._calls.call(changes.__anext__)
                except StopAsyncIteration:
                    return
                yield change
        finally:
            # Whoever went away in the middle may come here when the client is closed already.
            with suppress(RuntimeError):
                self._calls.call(changes.aclose)

    def approve(
        self,
        step: str | None = None,
        *,
        comment: str | None = None,
        payload: Json = None,
        approver: str | None = None,
    ) -> dict[str, Any]:
        """Approves a step that waits for it."""
        approving = partial(
            self._execution.approve, step, comment=comment, payload=payload, approver=approver
        )
        return self._calls.call(approving)

    def reject(
        self,
        step: str | None = None,
        *,
        comment: str | None = None,
        payload: Json = None,
        approver: str | None = None,
    ) -> dict[str, Any]:
        """Rejects a step that waits for approval."""
        rejecting = partial(
            self._execution.reject, step, comment=comment, payload=payload, approver=approver
        )
        return self._calls.call(rejecting)

    def send(self, event: str, data: Json = None, *, id: str | None = None) -> None:  # noqa: A002 (the event's own word)
        """Sends an event, for a step that waits for it or will do so later."""
        self._calls.call(partial(self._execution.send, event, data, id=id))

    def pause(self, reason: str | None = None) -> bool:
        """Lets what runs finish and starts nothing new; whether that is a change."""
        return self._calls.call(self._execution.pause, reason)

    def resume(self, reason: str | None = None) -> bool:
        """Goes on after a pause; whether that is a change."""
        return self._calls.call(self._execution.resume, reason)

    def skip(self, step: str, reason: str | None = None) -> str:
        """Goes on from a step that waits or runs as if it had ended with ``{}``; its path."""
        return self._calls.call(self._execution.skip, step, reason)

    def cancel(self, reason: str | None = None) -> None:
        """Asks it to end as cancelled, rolling back what its definition says."""
        self._calls.call(self._execution.cancel, reason)

    def steps(self) -> Sequence[StepView]:
        """Its steps in the order in which they began, each with its attempts, from the record."""
        return self._calls.call(self._execution.steps)

    def explain(self, step: str | None = None) -> Explanation:
        """Why it went where it went, from the record."""
        return self._calls.call(self._execution.explain, step)

    def ui(
        self,
        *,
        user: str | None = None,
        roles: Sequence[str] = (),
        permissions: Sequence[str] = (),
    ) -> UiAnswer:
        """Which of the definition's UI components to show now."""
        asking = partial(self._execution.ui, user=user, roles=roles, permissions=permissions)
        return self._calls.call(asking)

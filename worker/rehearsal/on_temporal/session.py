"""A test server and a worker on it, for all cases that are rehearsed together."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from adapters.temporal.time_skipping import TimeSkippingServer
from definitions.errors import UnreachableError
from worker.rehearsal.on_temporal.case_run import CaseRun
from worker.rehearsal.on_temporal.clock import ServerClock
from worker.rehearsal.on_temporal.mocked import MockedActivities
from worker.rehearsal.on_temporal.workflow import RehearsedWorkflow, Rehearsing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from types import TracebackType
    from typing import Any

    from definitions.tasks import TaskSpec
    from worker.rehearsal.case import Case
    from worker.rehearsal.run import CaseResult

#: As long as production's: no case comes near it.
HISTORY_LIMIT = 3000
_QUEUE = "rehearsal"


class TemporalRehearsals:
    """Rehearses on Temporal, for those who have no event loop: one of its own runs in a thread.

    A context manager. The server lives as long as it does.

    Args:
        progress: Told in a sentence what is going on when the server has to be fetched.
        max_cached_workflows: 0 has every workflow task replay the whole history.
    """

    def __init__(
        self, progress: Callable[[str], None] = lambda _: None, *, max_cached_workflows: int = 100
    ) -> None:
        self._server = TimeSkippingServer(progress)
        self._cached = max_cached_workflows
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rehearsals")
        self._done: asyncio.Event | None = None
        self._serving: concurrent.futures.Future[None] | None = None
        self._session: _Session | None = None

    def __enter__(self) -> Self:
        try:
            self._server.start()
            self._thread.start()
            ready: concurrent.futures.Future[_Session] = concurrent.futures.Future()
            self._serving = self._submit(self._serve(ready))
            self._serving.add_done_callback(partial(_failed_before, ready))
            self._session = ready.result()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def rehearse(
        self,
        case: Case,
        *,
        catalogue: Mapping[str, TaskSpec] | None = None,
        continue_every_step: bool = False,
    ) -> CaseResult:
        """Runs a case; as ``worker.rehearsal.run.rehearse`` does, on Temporal.

        Args:
            case: The case.
            catalogue: What is known of tasks.
            continue_every_step: Have the run continue as a new one after every step.

        Raises:
            Stuck: The run waits for what the case never brings.
        """
        if self._session is None:
            raise RuntimeError("the rehearsals have not begun")
        limit = 1 if continue_every_step else HISTORY_LIMIT
        work = self._session.rehearse(case, catalogue or {}, limit)
        result: CaseResult = self._submit(work).result()
        return result

    def _submit(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _serve(self, ready: concurrent.futures.Future[_Session]) -> None:
        self._done = asyncio.Event()
        async with _serving(self._server.address, self._cached) as session:
            ready.set_result(session)
            await self._done.wait()

    def _close(self) -> None:
        try:
            if self._serving is not None and self._done is not None:
                self._loop.call_soon_threadsafe(self._done.set)
                self._serving.result()
        finally:
            self._server.stop()
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
            self._loop.close()


def _failed_before(
    ready: concurrent.futures.Future[_Session], serving: concurrent.futures.Future[None]
) -> None:
    """Has whoever waits for the session know why there is none."""
    if not ready.done():
        ready.set_exception(serving.exception() or RuntimeError("the worker has ended"))


@dataclass(slots=True, eq=False)
class _Session:
    """What all cases share. Between cases one lock is held, so that no time passes."""

    client: Client
    clock: ServerClock
    count: int = 0

    async def rehearse(
        self, case: Case, catalogue: Mapping[str, TaskSpec], history_limit: int
    ) -> CaseResult:
        self.count += 1
        run = CaseRun(
            self.client,
            self.clock,
            case,
            catalogue,
            workflow_id=f"case-{self.count}",
            task_queue=_QUEUE,
            history_limit=history_limit,
        )
        return await run.run()


@asynccontextmanager
async def _serving(address: str, cached: int) -> AsyncIterator[_Session]:
    # What its native part has to say of a test server that can do less than a real one is no news.
    runtime = Runtime(telemetry=TelemetryConfig(logging=None))
    try:
        client = await Client.connect(address, runtime=runtime)
        clock = ServerClock(client)
        await clock.now()
    except (OSError, RuntimeError, RPCError) as error:
        raise UnreachableError(
            "Temporal",
            f"no Temporal test server answers at {address} ({str(error)[:120]})",
            hint="unset STEPLOOM_TEST_SERVER_ADDRESS to have one started",
        ) from None
    mocked = MockedActivities(client)
    worker = Worker(
        client,
        task_queue=_QUEUE,
        workflows=[RehearsedWorkflow],
        activities=mocked.all(),
        interceptors=[Rehearsing()],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=cached,
    )
    # Two seconds are given to a workflow, which on a busy machine can pass while the clock is being
    # stopped. There is no public way to say so that leaves workflows in threads of their own.
    worker._workflow_worker._deadlock_timeout_seconds = None  # type: ignore[union-attr]  # noqa: SLF001
    async with worker:
        try:
            yield _Session(client, clock)
        finally:
            await mocked.close()
            await clock.close()

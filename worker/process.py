"""The worker process: connects, checks what it finds, serves runs and tasks until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from typing_extensions import override

from activities.attempt import AttemptRunner
from activities.runs import RunActivities
from activities.temporal import Activities
from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.partitions import keep_partitions
from adapters.postgres.recorder import PostgresRecorder
from adapters.postgres.schema import check_schema
from adapters.temporal.connection import connect
from adapters.temporal.search_attributes import missing
from worker.connections import database_url, temporal_connection
from worker.workflow import DefinitionWorkflow

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.worker import WorkflowRunner

    from activities.registry import TaskRegistry
    from worker.settings import Settings

_log = structlog.get_logger(__name__)

#: Heartbeats reach the server at most this often; cancellation comes back with them.
HEARTBEAT_THROTTLE = timedelta(seconds=2)

#: What the sandbox takes from outside instead of importing it anew for each run, and why.
PASSED_THROUGH = (
    "definitions",  # pure, and its compiled plans are shared by all runs
    "worker.interpreter",  # pure, the same
    "worker.progress",  # pure
    "worker.temporal_host",  # keeps no state of its own outside a run
    "cel_expr_python",  # a native module cannot be loaded twice
    "jsonschema_rs",  # the same
    "whenever",  # the same
    "semver",  # pure
)


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that serves. ``identity`` is its name in Temporal's history and in our records."""

    worker: Worker
    identity: str
    search_attributes: bool


def identity() -> str:
    """This process, as ``pid@host``."""
    return f"{os.getpid()}@{socket.gethostname()}"


def workflow_runner(*, sandbox: bool) -> WorkflowRunner:
    """The interpreter is fixed code of ours, replay-tested, so production may leave the sandbox."""
    if not sandbox:
        return UnsandboxedWorkflowRunner()
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return SandboxedWorkflowRunner(restrictions=restrictions)


class _NotOurs(logging.Filter):
    """Drops the SDK's own report of a failed activity: ours says the same in one line."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Completing activity as failed")


_NOT_OURS = _NotOurs()


@asynccontextmanager
async def open_worker(
    settings: Settings, registry: TaskRegistry, *, client: Client | None = None
) -> AsyncIterator[RunningWorker]:
    """A worker with its connections, ready to ``run``; everything is closed afterwards.

    Raises:
        UnreachableError: Temporal or Postgres does not answer, or the schema is not there.
    """
    client = client or await connect(temporal_connection(settings))
    name = identity()
    logging.getLogger("temporalio.activity").addFilter(_NOT_OURS)
    async with Database(database_url(settings), pool_size=settings.database_pool_size) as database:
        await check_schema(database)
        search_attributes = await _has_search_attributes(client)
        months = asyncio.create_task(keep_partitions(database), name="partitions")
        recorder = PostgresRecorder(database)
        executor = ThreadPoolExecutor(
            settings.max_concurrent_activities, thread_name_prefix="steploom-task"
        )
        try:
            runs = RunActivities(
                PostgresDefinitionStore(database),
                recorder,
                registry,
                search_attributes=search_attributes,
                liveness_timeout=settings.liveness_timeout.total_seconds(),
                history_limit=settings.history_limit,
            )
            attempts = AttemptRunner(registry, recorder, executor)
            activities = Activities(attempts, runs, identity=name)
            worker = Worker(
                client,
                task_queue=settings.task_queue,
                workflows=[DefinitionWorkflow],
                activities=activities.all(),
                workflow_runner=workflow_runner(sandbox=settings.sandbox),
                identity=name,
                max_cached_workflows=settings.max_cached_workflows,
                max_concurrent_workflow_tasks=settings.max_concurrent_workflow_tasks,
                max_concurrent_activities=settings.max_concurrent_activities,
                max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
                default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
                graceful_shutdown_timeout=settings.graceful_shutdown,
            )
            yield RunningWorker(worker, name, search_attributes)
        finally:
            months.cancel()
            await recorder.close()
            await asyncio.wait({months})
            executor.shutdown(wait=False, cancel_futures=True)


async def run_worker(
    settings: Settings,
    registry: TaskRegistry,
    stop: asyncio.Event | None = None,
    ready: Callable[[RunningWorker], None] = lambda _: None,
) -> None:
    """Serves until ``stop`` is set (or for ever), then lets running tasks finish.

    ``ready`` is told when everything is connected, just before the first poll.
    """
    async with open_worker(settings, registry) as running:
        _log.info(
            "worker_started",
            task_queue=settings.task_queue,
            identity=running.identity,
            tasks=len(registry.specs()),
        )
        ready(running)
        if stop is None:
            await running.worker.run()
            return
        serving = asyncio.create_task(running.worker.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not serving.done():
            _log.info("worker_stopping", grace=str(settings.graceful_shutdown))
            await running.worker.shutdown()
        await serving
        _log.info("worker_stopped")


async def _has_search_attributes(client: Client) -> bool:
    try:
        lacking = await missing(client)
    except RPCError as error:
        _log.warning("search_attributes_unknown", reason=error.message)
        return False
    if lacking:
        _log.warning(
            "search_attributes_missing",
            names=lacking,
            hint="register them with `steploom migrate`; runs go on without",
        )
    return not lacking

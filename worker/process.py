"""The worker process: connects, checks what it finds, serves runs and tasks until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from typing_extensions import override

from activities.announcing import AnnouncingRecorder
from activities.attempt import AttemptRunner
from activities.filtering import FilteringRecorder
from activities.http import HttpSender
from activities.payloads import Payloads
from activities.runs import RunActivities
from activities.secrets import Secrets
from activities.temporal import Activities
from activities.webhooks import Webhooks
from adapters.payloads.opening import open_payloads
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.configs import PostgresConfigStore
from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.open_runs import OpenRuns
from adapters.postgres.partitions import keep_partitions
from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from adapters.postgres.schema import check_schema
from adapters.telemetry.opening import open_telemetry
from adapters.temporal.connection import connect
from adapters.temporal.search_attributes import missing
from definitions.redaction import make_redactor
from worker.connections import database_url, temporal_connection
from worker.publishing import Publishing
from worker.reconciler import Reconciler
from worker.sealer import keep_sealing
from worker.segments import Segments
from worker.workflow import DefinitionWorkflow

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.worker import Interceptor, WorkflowRunner

    from activities.registry import TaskRegistry
    from adapters.telemetry.providers import Providers
    from definitions.ports import Recorder
    from definitions.redaction import Redactor
    from worker.settings import Settings

_log = structlog.get_logger(__name__)

#: Heartbeats reach the server at most this often; cancellation comes back with them.
HEARTBEAT_THROTTLE = timedelta(seconds=2)

#: What the sandbox takes from outside instead of importing it anew for each run, and why.
PASSED_THROUGH = (
    "definitions",  # pure, and its compiled plans are shared by all runs
    "worker.interpreter",  # pure, the same
    "worker.progress",  # pure
    "worker.ahead",  # keeps no state of its own outside a run
    "worker.envelopes",  # keeps no state at all
    "worker.retrying",  # the same
    "worker.external_tasks",  # the same
    "worker.temporal_host",  # keeps no state of its own outside a run
    "worker.child_runs",  # the same
    "worker.webhooks",  # the same
    "worker.messages",  # the same
    "worker.ordered_waits",  # the same
    "cel_expr_python",  # a native module cannot be loaded twice
    "jsonschema_rs",  # the same
    "whenever",  # the same
    "semver",  # pure
)


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that serves so many ``tasks``.

    ``identity`` is its name in Temporal's history and in our records.
    """

    worker: Worker
    identity: str
    search_attributes: bool
    reconciler: Reconciler
    tasks: int


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
    settings: Settings,
    registry: TaskRegistry,
    *,
    client: Client | None = None,
    redactor: Redactor | None = None,
    telemetry: Providers | None = None,
    recorder_type: type[PostgresRecorder] = PostgresRecorder,
) -> AsyncIterator[RunningWorker]:
    """A worker with its connections, ready to ``run``; everything is closed afterwards.

    ``redactor`` learns the secrets that tasks use; whoever gives one hides them elsewhere, too.
    ``telemetry`` stays open: it is its opener's. ``recorder_type`` is for the benchmark.

    Raises:
        UnreachableError: Temporal or Postgres does not answer, or the schema is not there.
    """
    client = client or await connect(temporal_connection(settings))
    name = identity()
    logging.getLogger("temporalio.activity").addFilter(_NOT_OURS)
    async with Database(database_url(settings), pool_size=settings.database_pool_size) as database:
        await check_schema(database)
        search_attributes = await _has_search_attributes(client)
        publishing = Publishing(settings, database, telemetry)
        months = asyncio.create_task(keep_partitions(database), name="partitions")
        sealing = asyncio.create_task(_seal(database, settings), name="sealer")
        recorder = recorder_type(database)
        watched: Recorder = recorder
        if telemetry is not None:
            watched = telemetry.watch(recorder)
            recorder.on_commit = telemetry.meters.committed
        executor = ThreadPoolExecutor(
            settings.max_concurrent_activities, thread_name_prefix="steploom-task"
        )
        try:
            redactor = redactor or make_redactor(settings.redact_keys)
            secrets = Secrets(settings.secrets_dir, redactor)
            announcing = AnnouncingRecorder(watched, settings.environment)
            filtering = FilteringRecorder(announcing, redactor)
            store, reader = PostgresDefinitionStore(database), PostgresReader(database)
            runs = RunActivities(
                store,
                reader,
                PostgresConfigStore(database),
                filtering,
                registry,
                search_attributes=search_attributes,
                liveness_timeout=settings.liveness_timeout.total_seconds(),
                history_limit=settings.history_limit,
                segments=settings.segments,
            )
            payloads = Payloads(open_payloads(settings.payloads))
            attempts = AttemptRunner(
                registry, filtering, executor, secrets, redactor, payloads=payloads
            )
            observer = telemetry.observer if telemetry is not None else None
            sender = HttpSender(settings.http_allow)
            webhooks = Webhooks(reader, filtering, sender, secrets, redactor)
            activities = Activities(
                attempts, runs, webhooks, redactor, identity=name, telemetry=observer
            )
            worker = Worker(
                client,
                task_queue=settings.task_queue,
                workflows=[DefinitionWorkflow],
                activities=[*activities.all(), Segments(activities, filtering).segment],
                workflow_runner=workflow_runner(sandbox=settings.sandbox),
                identity=name,
                max_cached_workflows=settings.max_cached_workflows,
                max_concurrent_workflow_tasks=settings.max_concurrent_workflow_tasks,
                max_concurrent_activities=settings.max_concurrent_activities,
                max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
                default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
                graceful_shutdown_timeout=settings.graceful_shutdown,
                interceptors=_interceptors(telemetry),
            )
            reconciler = Reconciler(
                client,
                store,
                OpenRuns(database),
                reader,
                filtering,
                interval=settings.reconcile_interval,
            )
            yield RunningWorker(
                worker, name, search_attributes, reconciler, tasks=len(registry.specs())
            )
        finally:
            months.cancel()
            sealing.cancel()
            await recorder.close()
            await publishing.close()
            await asyncio.wait({months, sealing})
            executor.shutdown(wait=False, cancel_futures=True)


async def _seal(database: Database, settings: Settings) -> None:
    store, sealer = PostgresDefinitionStore(database), AuditSealer(database)
    await keep_sealing(store, sealer, settings.audit_seal_interval)


def _interceptors(telemetry: Providers | None) -> Sequence[Interceptor]:
    """What hands the trace of a run on to its activities, and takes it up there."""
    if telemetry is None or not telemetry.traces:
        return ()
    from adapters.telemetry.received import ReceiveTraces  # noqa: PLC0415 (only where it is used)
    from worker.trace_headers import TraceHeaders  # noqa: PLC0415 (the same)

    return (TraceHeaders(), ReceiveTraces())


async def run_worker(
    settings: Settings,
    registry: TaskRegistry,
    stop: asyncio.Event | None = None,
    ready: Callable[[RunningWorker], None] = lambda _: None,
    redactor: Redactor | None = None,
) -> None:
    """Serves until ``stop`` is set (or for ever), then lets running tasks finish.

    ``ready`` is told when everything is connected, just before the first poll.
    """
    telemetry = open_telemetry(os.environ)
    if telemetry is not None:
        telemetry.make_global()
    opened = open_worker(settings, registry, telemetry=telemetry, redactor=redactor)
    try:
        await _serve(opened, settings, stop, ready)
    finally:
        if telemetry is not None:
            await asyncio.to_thread(telemetry.close)


async def _serve(
    opened: AbstractAsyncContextManager[RunningWorker],
    settings: Settings,
    stop: asyncio.Event | None,
    ready: Callable[[RunningWorker], None],
) -> None:
    async with opened as running:
        _log.info(
            "worker_started",
            task_queue=settings.task_queue,
            identity=running.identity,
            tasks=running.tasks,
        )
        ready(running)
        serving = asyncio.create_task(_poll(running, settings))
        if stop is None:
            await serving
            return
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not serving.done():
            _log.info("worker_stopping", grace=str(settings.graceful_shutdown))
            await running.worker.shutdown()
        await serving
        _log.info("worker_stopped")


async def _poll(running: RunningWorker, settings: Settings) -> None:
    reconciling: asyncio.Task[None] | None = None
    if settings.reconcile_interval:
        reconciling = asyncio.create_task(running.reconciler.run())
    try:
        await running.worker.run()
    finally:
        if reconciling is not None:
            reconciling.cancel()
            await asyncio.wait({reconciling})


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

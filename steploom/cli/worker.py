"""``steploom worker`` and ``steploom migrate``: what a deployment runs."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from definitions.errors import SteploomError
from steploom.cli.options import CatalogueOption, OutputOption, TasksOption, task_sources
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from activities.registry import TaskRegistry
    from definitions.redaction import Redactor
    from worker.process import RunningWorker
    from worker.settings import Settings


def worker(
    tasks: TasksOption = None,
    catalogue: CatalogueOption = None,
    task_queue: Annotated[
        str | None, typer.Option(help="The task queue to serve. Also: STEPLOOM_TASK_QUEUE.")
    ] = None,
    relay: Annotated[
        bool | None,
        typer.Option("--relay", help="Publish to Kafka as well. Also: STEPLOOM_RELAY."),
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Serve runs and tasks until SIGTERM or Ctrl-C.

    Running tasks get STEPLOOM_GRACEFUL_SHUTDOWN to finish; a second signal ends it at once. Logs go
    to stderr, as JSON where that is no terminal.
    """
    from definitions.redaction import make_redactor  # noqa: PLC0415 (as all of these)
    from steploom.catalogue import load_registry  # noqa: PLC0415 (heavy)
    from steploom.logging import configure_logging  # noqa: PLC0415
    from steploom.services import load_settings, require, resolve_settings  # noqa: PLC0415

    settings = load_settings(task_queue=task_queue, relay=relay)
    redactor = make_redactor(settings.redact_keys)
    configure_logging(settings.log_level, settings.log_format, hide=redactor.text)
    settings = resolve_settings(settings, Path.cwd())
    require(settings)
    registry = load_registry(task_sources(tasks, catalogue), settings.http_allow)

    def ready(running: RunningWorker) -> None:
        facts = {
            "identity": running.identity,
            "taskQueue": settings.task_queue,
            "namespace": settings.temporal_namespace,
            "searchAttributes": running.search_attributes,
            "tasks": sorted(registry.specs()),
        }
        # For people, the log says the same.
        if output is not Format.TABLE:
            Output(output).result(facts, lambda: "")

    asyncio.run(_serve(settings, registry, redactor, ready))


async def _serve(
    settings: Settings,
    registry: TaskRegistry,
    redactor: Redactor,
    ready: Callable[[RunningWorker], None],
) -> None:
    from adapters.telemetry.environment import read_environment  # noqa: PLC0415
    from adapters.telemetry.native import native_metrics  # noqa: PLC0415
    from adapters.temporal.runtime import forward_native_logs  # noqa: PLC0415
    from worker.process import run_worker  # noqa: PLC0415

    telemetry = read_environment(os.environ)
    forward_native_logs(native_metrics(telemetry), telemetry.service_name)
    await run_worker(settings, registry, stop_when_asked(), ready, redactor)


def stop_when_asked() -> asyncio.Event:
    """Set by the first SIGTERM or Ctrl-C; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def asked() -> None:
        stop.set()
        # Whoever asks again does not want to wait.
        for one in signals:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)

    for one in signals:
        loop.add_signal_handler(one, asked)
    return stop


def migrate(output: OutputOption = Format.TABLE) -> None:
    """Bring the database's schema up to date, and register Temporal's search attributes.

    Safe to repeat, and to run several at once. Without Temporal, the schema is migrated anyway.
    """
    from adapters.postgres.migrate import upgrade  # noqa: PLC0415
    from steploom.services import load_settings, resolve_settings  # noqa: PLC0415

    settings = resolve_settings(load_settings(), Path.cwd())
    from worker.connections import database_url  # noqa: PLC0415

    before, after = upgrade(database_url(settings))
    registered, reason = asyncio.run(_register_search_attributes(settings))
    facts: dict[str, Any] = {
        "schema": {"before": before, "after": after, "changed": before != after},
        "searchAttributes": {"registered": registered, "notRegistered": reason},
    }
    Output(output).result(facts, lambda: _migrated(facts))


async def _register_search_attributes(settings: Settings) -> tuple[list[str], str | None]:
    """Those that were missing, or why it cannot be done now."""
    from steploom.services import open_temporal  # noqa: PLC0415

    try:
        client = await open_temporal(settings)
    except SteploomError as error:
        return [], f"{error.message}; run `steploom migrate` again when it is there"
    from temporalio.service import RPCError  # noqa: PLC0415

    from adapters.temporal.search_attributes import register  # noqa: PLC0415

    try:
        return await register(client), None
    except RPCError as error:
        return [], f"Temporal refuses it ({error.message}); an administrator has to do it"


def _migrated(facts: dict[str, Any]) -> str:
    schema, attributes = facts["schema"], facts["searchAttributes"]
    if schema["changed"]:
        first = f"Schema: from {schema['before'] or 'nothing'} to {schema['after']}."
    else:
        first = f"Schema: {schema['after']}, as before."
    if attributes["notRegistered"]:
        second = f"Search attributes: not registered, for {attributes['notRegistered']}."
    elif attributes["registered"]:
        second = f"Search attributes: registered {', '.join(attributes['registered'])}."
    else:
        second = "Search attributes: all there."
    return f"{first}\n{second}"

"""``steploom relay``: what takes the events of runs to Kafka."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steploom.cli.options import OutputOption
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.relay import Relay
    from worker.settings import Settings


def relay(
    topic: Annotated[
        str | None, typer.Option(help="The topic to publish to. Also: STEPLOOM_KAFKA_TOPIC.")
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Publish the events of all runs to Kafka until SIGTERM or Ctrl-C.

    Several may run at once. While Kafka does not answer, events wait in the outbox. Logs, with how
    much waits, go to stderr.
    """
    from definitions.redaction import make_redactor  # noqa: PLC0415 (as all of these)
    from steploom.logging import configure_logging  # noqa: PLC0415
    from steploom.services import load_settings, require, resolve_settings  # noqa: PLC0415

    settings = load_settings(kafka_topic=topic)
    hide = make_redactor(settings.redact_keys).text
    configure_logging(settings.log_level, settings.log_format, hide=hide)
    settings = resolve_settings(settings, Path.cwd())
    require(settings, {"postgres"})

    def ready(_: Relay) -> None:
        facts = {"kafka": settings.kafka_bootstrap_servers, "topic": settings.kafka_topic}
        # For people, the log says the same.
        if output is not Format.TABLE:
            Output(output).result(facts, lambda: "")

    asyncio.run(_publish(settings, ready))


async def _publish(settings: Settings, ready: Callable[[Relay], None]) -> None:
    from steploom.cli.worker import stop_when_asked  # noqa: PLC0415
    from worker.publishing import run_relay  # noqa: PLC0415

    await run_relay(settings, stop_when_asked(), ready)

"""``steploom consume``: what takes events from Kafka and starts what they start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from definitions.errors import InvalidInputError
from steploom.cli.options import OutputOption
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.kafka.consumer import KafkaConsumer, Place
    from worker.settings import Settings


def consume(
    *,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            help="A topic; may be given several times. Also: STEPLOOM_KAFKA_CONSUMER_TOPICS."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="The consumer group. Also: STEPLOOM_KAFKA_CONSUMER_GROUP."),
    ] = None,
    from_latest: Annotated[
        bool,
        typer.Option(
            "--from-latest",
            help="A group that is new to a topic begins with what comes from now on, not with the "
            "oldest event.",
        ),
    ] = False,
    org: Annotated[
        str | None,
        typer.Option(
            metavar="ORG",
            help="Whose events these are, where no header org_id says so. Those of others are "
            "passed over.",
        ),
    ] = None,
    task_queue: Annotated[
        str | None, typer.Option(help="The workers' task queue. Also: STEPLOOM_TASK_QUEUE.")
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Start what the events of Kafka topics start until SIGTERM or Ctrl-C.

    Several may run at once, in one group. Offsets are committed when what an event starts is in
    Temporal, or its dead letter in Postgres. While one of these does not answer, events wait.
    """
    from adapters.kafka.consumer import Place  # noqa: PLC0415 (as all of these)
    from definitions.redaction import make_redactor  # noqa: PLC0415
    from steploom.logging import configure_logging  # noqa: PLC0415
    from steploom.services import load_settings, require, resolve_settings  # noqa: PLC0415

    settings = load_settings(
        kafka_consumer_topics=topic or None, kafka_consumer_group=group, task_queue=task_queue
    )
    hide = make_redactor(settings.redact_keys).text
    configure_logging(settings.log_level, settings.log_format, hide=hide)
    settings = resolve_settings(settings, Path.cwd())
    if not settings.kafka_consumer_topics:
        raise InvalidInputError(
            "no topic to consume is named",
            hint="give --topic, or set STEPLOOM_KAFKA_CONSUMER_TOPICS",
        )
    require(settings)
    place = Place(settings.kafka_consumer_topics, settings.kafka_consumer_group, from_latest)

    def ready(_: KafkaConsumer) -> None:
        facts = {
            "kafka": settings.kafka_bootstrap_servers,
            "topics": list(place.topics),
            "group": place.group,
            "org": org,
        }
        # For people, the log says the same.
        if output is not Format.TABLE:
            Output(output).result(facts, lambda: "")

    asyncio.run(_consume(settings, place, org, ready))


async def _consume(
    settings: Settings, place: Place, org: str | None, ready: Callable[[KafkaConsumer], None]
) -> None:
    from steploom.cli.worker import stop_when_asked  # noqa: PLC0415
    from steploom.operations.consuming import consume  # noqa: PLC0415
    from steploom.services import open_services  # noqa: PLC0415

    stop = stop_when_asked()
    async with open_services(settings) as services:
        owner = await services.store.find_org(org) if org is not None else None
        await consume(services, place, stop, org=owner, ready=ready)

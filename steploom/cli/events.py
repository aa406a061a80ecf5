"""``steploom events``: what runs publish. The group itself is in ``app.py``, as all are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from definitions.errors import InvalidInputError, NotFoundError
from steploom.cli.options import OrgOption, OutputOption
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from datetime import timedelta

    from definitions.ports import Organization
    from definitions.views import OutboxView
    from steploom.services import Services


def tail(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on, until it is interrupted.")
    ] = False,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only these; may be given several times."),
    ] = None,
    execution: Annotated[
        str | None, typer.Option(metavar="EXECUTION", help="Only of this execution, by its id.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Since then, instead of the latest: 2h, or a time."),
    ] = None,
    newest: Annotated[
        int, typer.Option("--number", "-n", min=0, help="How many of the latest ones.")
    ] = 20,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Show the events that runs publish, and whether Kafka has them.

    They stand in the outbox, with or without Kafka, until STEPLOOM_OUTBOX_RETENTION is over. A line
    each; with --output jsonl an object a line, the whole event under envelope.
    """
    from steploom.cli.reading import moment_of  # noqa: PLC0415 (heavy, as all of these)
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.published import tail as tail_outbox  # noqa: PLC0415

    begin = moment_of("--since", since)
    out = Output(output)

    async def work(services: Services, owner: Organization) -> list[OutboxView]:
        found = []
        told = bool(services.settings.kafka_bootstrap_servers)
        async for event in tail_outbox(
            services.reader,
            owner.id,
            since=begin,
            newest=newest,
            types=types,
            execution_id=execution,
            follow=follow,
        ):
            if not told and _untouched(event):
                told = True
                notice(_without_kafka(services.settings.outbox_retention))
            if follow or output in {Format.TABLE, Format.JSONL}:
                out.change(event.to_json(), _line(event))
            else:
                found.append(event)
        return found

    try:
        found = in_session(org, work, {"postgres"})
    except KeyboardInterrupt:
        notice("")
        return
    if output in {Format.JSON, Format.YAML}:
        out.results([event.to_json() for event in found], lambda: None)


def republish(
    *,
    event_ids: Annotated[
        list[UUID] | None, typer.Argument(metavar="EVENT...", help="Ids of events.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All events of the org that were given up.")
    ] = False,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Let the relay try again what Kafka has refused and was given up.

    For when the reason is gone, such as a limit of the broker's. See steploom events tail.
    """
    from steploom.cli.session import in_session  # noqa: PLC0415

    if bool(event_ids) == everything:
        raise InvalidInputError(
            "it is not said which events", hint="name their ids, or give --all, not both"
        )

    async def work(services: Services, owner: Organization) -> list[UUID]:
        return await services.outbox.revive(owner.id, event_ids or None)

    revived = in_session(org, work, {"postgres"})
    missing = [str(one) for one in event_ids or () if one not in revived]
    if missing:
        hint = "steploom events tail says which events were given up"
        raise NotFoundError("event that was given up", ", ".join(missing), hint=hint)
    facts = {"eventIds": [str(one) for one in revived]}
    Output(output).result(facts, lambda: f"{len(revived)} to be published again.")


def _untouched(event: OutboxView) -> bool:
    """Whether nobody has tried to send an event yet."""
    return event.published_at is None and event.dead_at is None and not event.error


def _without_kafka(retention: timedelta) -> str:
    from definitions.durations import format_duration  # noqa: PLC0415

    return (
        "No Kafka is configured here (STEPLOOM_KAFKA_BOOTSTRAP_SERVERS is not set). Where the "
        "workers have none either, nothing sends the events that wait: they are kept for "
        f"{format_duration(retention)} (STEPLOOM_OUTBOX_RETENTION)."
    )


def _line(event: OutboxView) -> str:
    from steploom.cli.tables import moment  # noqa: PLC0415

    facts: list[Any] = [moment(event.occurred_at), event.event_type, event.execution_id]
    if event.path:
        facts.append(event.path)
    return "  ".join([*facts, _state(event)])


def _state(event: OutboxView) -> str:
    from steploom.cli.tables import moment  # noqa: PLC0415

    if event.published_at is not None:
        return f"published {moment(event.published_at)}"
    if event.dead_at is not None:
        return f"given up {moment(event.dead_at)}: {event.error}"
    return f"waiting: {event.error}" if event.error else "waiting"

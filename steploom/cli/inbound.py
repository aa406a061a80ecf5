"""``events send``, ``events dead`` and ``events retry``: events from outside, and their ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from definitions.errors import InvalidInputError, SteploomError
from steploom.cli.errors import FAILED
from steploom.cli.options import OrgOption, OutputOption
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from rich.console import RenderableType

    from definitions.deadletters import DeadLetter
    from definitions.ports import Organization
    from steploom.operations.triggering import Dispatcher, Handled
    from steploom.services import Services

NoOrgOption = Annotated[
    bool, typer.Option("--no-org", help="The events for which no org could be found.")
]


def send_event(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-", help="The event as JSON: a workflow event, or a CloudEvent 1.0."
        ),
    ],
    *,
    task_queue: Annotated[
        str | None, typer.Option(help="The workers' task queue. Also: STEPLOOM_TASK_QUEUE.")
    ] = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Start what an event starts, by the triggers of the org's definitions.

    The same event again starts nothing twice. Exit 1: something that it matches could not be
    started; it is a dead letter.
    """
    from definitions.deadletters import Message  # noqa: PLC0415 (as all of these: heavy)
    from definitions.inbound import MAX_EVENT_BYTES, read_event  # noqa: PLC0415
    from steploom.operations.documents import read_file  # noqa: PLC0415

    body = sys.stdin.buffer.read(MAX_EVENT_BYTES + 1) if file == "-" else read_file(Path(file))
    # Whoever sends it here hears of it; that is no dead letter.
    try:
        read_event(body)
    except SteploomError as error:
        raise InvalidInputError(error.message, hint=error.hint) from None

    async def work(dispatcher: Dispatcher, owner: Organization) -> Handled:
        return await dispatcher.handle(Message(body), org=owner.slug)

    handled = _dispatching(org, work, task_queue)
    Output(output).result(handled.to_json(), lambda: _handled_text(handled, org))
    if handled.refused:
        raise typer.Exit(FAILED)


def dead_letters(
    *,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Also those that a retry has resolved.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most to list.")] = 100,
    no_org: NoOrgOption = False,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """List the events that could not start what they should have, the latest first."""
    from adapters.postgres.dead_letters import PostgresDeadLetters  # noqa: PLC0415 (heavy)
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> Sequence[DeadLetter]:
        letters = PostgresDeadLetters(services.database)
        whose = None if no_org else owner.id
        return await letters.list(whose, resolved=resolved, limit=limit)

    found = in_session(org, work, {"postgres"})
    Output(output).results([one.to_json() for one in found], lambda: _table(found))


def retry_letters(
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Their ids, or how those begin.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that are not resolved.")] = False,
    no_org: NoOrgOption = False,
    task_queue: Annotated[
        str | None, typer.Option(help="The workers' task queue. Also: STEPLOOM_TASK_QUEUE.")
    ] = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Handle dead letters once more, with the definitions as they are now.

    With --no-org, events for which no org could be found are handled as events of --org.
    """
    if bool(letters) == every:
        raise InvalidInputError(
            "give either the ids of dead letters or --all",
            hint="`steploom events dead` shows them",
        )

    async def work(
        dispatcher: Dispatcher, owner: Organization
    ) -> list[tuple[DeadLetter, Handled, bool]]:
        from steploom.operations.triggering import retry  # noqa: PLC0415

        whose = None if no_org else owner.id
        done = []
        for name in letters or await _all(dispatcher, whose):
            letter = await dispatcher.letters.find(whose, name)
            done.append((letter, *await retry(dispatcher, letter, org=owner.slug)))
        return done

    done = _dispatching(org, work, task_queue)
    values = [
        {"letter": str(letter.id), "resolved": resolved, **handled.to_json()}
        for letter, handled, resolved in done
    ]
    text = "\n".join(
        f"{str(letter.id)[:8]} {'is resolved' if resolved else 'has failed again'}.\n"
        + _handled_text(handled, org)
        for letter, handled, resolved in done
    )
    Output(output).results(values, lambda: text or "There is nothing to retry.")
    if not all(resolved for _, _, resolved in done):
        raise typer.Exit(FAILED)


async def _all(dispatcher: Dispatcher, org_id: UUID | None) -> list[str]:
    found = await dispatcher.letters.list(org_id, limit=1000)
    return [str(one.id) for one in reversed(found)]


def _dispatching(
    org: str,
    work: Callable[[Dispatcher, Organization], Awaitable[Any]],
    task_queue: str | None,
) -> Any:
    """Runs a piece of work with a dispatcher of its own."""
    from adapters.transforms.pool import Transforms  # noqa: PLC0415 (heavy, as all of these)
    from definitions.redaction import make_redactor  # noqa: PLC0415
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.triggering import Dispatcher  # noqa: PLC0415

    async def run(services: Services, owner: Organization) -> Any:
        redactor = make_redactor(services.settings.redact_keys)
        async with Transforms(1) as transforms:
            return await work(Dispatcher(services, transforms, redactor), owner)

    return in_session(org, run, task_queue=task_queue)


def _handled_text(handled: Handled, org: str) -> str:
    also = "" if org == "default" else f" --org {org}"
    lines = []
    for run in handled.started:
        how = "had been started" if run.existing else "started"
        lines.append(f"{run.execution_id} {how}: {run.workflow_id} {run.version}")
    lines += [
        f"Not started{f': {one.workflow_id}' if one.workflow_id else ''} ({one.code}): {one.reason}"
        for one in handled.refused
    ]
    if handled.refused:
        lines.append(f"Next: steploom events dead{also}")
    elif handled.started:
        lines.append(f"Next: steploom watch {handled.started[0].execution_id}{also}")
    else:
        lines.append(
            "Nothing to start: no definition has a trigger that matches, or no condition holds."
        )
    return "\n".join(lines)


def _table(found: Sequence[DeadLetter]) -> RenderableType:
    from steploom.cli.tables import moment, table  # noqa: PLC0415 (rich only for people)

    shown = table("LETTER", "EVENT", "DEFINITION", "CODE", "TRIES", "LAST FAILED", "REASON")
    for one in found:
        shown.add_row(
            str(one.id)[:8],
            one.event_type or "",
            one.workflow_id or "",
            one.code,
            str(one.attempts),
            moment(one.last_failed_at) if one.last_failed_at else "",
            one.reason,
        )
    return shown

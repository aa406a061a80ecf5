"""``schedule``: executions that start by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from steploom.cli.options import ActorOption, OrgOption, OutputOption, ReasonOption, actor
from steploom.cli.output import Format, Output, notice
from steploom.operations.overlaps import Overlap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rich.table import Table

    from definitions.ports import Organization
    from steploom.operations.schedules import ScheduleView
    from steploom.services import Services

ScheduleArgument = Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.")]


def create(
    schedule: ScheduleArgument,
    *,
    workflow: Annotated[
        str, typer.Option(metavar="ID", help="The workflowId of a stored definition.")
    ],
    cron: Annotated[
        str | None, typer.Option(metavar="EXPR", help="When: '0 6 * * 1-5', or @daily.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Or how often: PT15M, or 15m.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Of --cron, such as Europe/Paris; UTC if not given.")
    ] = None,
    overlap: Annotated[
        Overlap, typer.Option(help="What to do while the execution before still goes on.")
    ] = Overlap.SKIP,
    paused: Annotated[
        bool, typer.Option("--paused", help="Start nothing before it is resumed.")
    ] = False,
    input_: Annotated[
        str, typer.Option("--input", "-i", metavar="JSON|@FILE", help="The input, an object.")
    ] = "{}",
    version: Annotated[
        str | None, typer.Option(help="A version; the highest at each start if not given.")
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option(help="What its executions belong to.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Where they come from.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be given several times.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    task_queue: Annotated[
        str | None, typer.Option(help="The workers' task queue. Also: STEPLOOM_TASK_QUEUE.")
    ] = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Start executions of a definition by the clock: --cron or --every.

    The definition and the input are checked before anything is made. Each execution's id is the
    schedule's with the time.
    """
    from steploom.cli.inputs import read_object, read_tags  # noqa: PLC0415 (heavy, as all of these)
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.schedules import Timing, create_schedule  # noqa: PLC0415
    from steploom.operations.starting import parse_start  # noqa: PLC0415

    request = parse_start(
        {
            "workflowId": workflow,
            "version": version,
            "input": read_object(input_, "--input"),
            "orgId": None if org == "default" else org,
            "channel": channel,
            "correlationId": correlation_id,
            "userId": actor(as_),
            "tags": read_tags(tag),
        }
    )
    timing = Timing(cron=cron, every=every, timezone=timezone, overlap=overlap)

    async def work(services: Services, owner: Organization) -> ScheduleView:
        return await create_schedule(
            services, owner, schedule, request, timing, paused=paused, note=note
        )

    made = in_session(org, work, task_queue=task_queue)
    Output(output).result(made.to_json(), lambda: _made_text(made, org))


def _made_text(made: ScheduleView, org: str) -> str:
    from steploom.cli.tables import moment  # noqa: PLC0415

    also = "" if org == "default" else f" --org {org}"
    if made.paused:
        first = "It is paused."
        following = f"steploom schedule resume {made.id}{also}"
    else:
        first = f"First at {moment(made.next[0])}." if made.next else "It never comes to be."
        following = f"steploom schedule show {made.id}{also}"
    return f"{made.id} starts {made.workflow_id}, {_when(made)}. {first}\nNext: {following}"


def _when(view: ScheduleView) -> str:
    if view.every is not None:
        return f"every {view.every}"
    return f"at {view.cron}" + (f" {view.timezone}" if view.timezone else " UTC")


def list_(org: OrgOption = "default", output: OutputOption = Format.TABLE) -> None:
    """List the schedules of an org."""
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.schedules import list_schedules  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> Sequence[ScheduleView]:
        return await list_schedules(services, owner)

    found = in_session(org, work)
    if not found:
        notice("No schedule yet. Next: steploom schedule create ID --workflow ID --every PT1H")
    Output(output).results(
        [one.to_json() for one in found], lambda: _table(found) if found else None
    )


def _table(found: Sequence[ScheduleView]) -> Table:
    from rich.text import Text  # noqa: PLC0415

    from steploom.cli.tables import moment, table  # noqa: PLC0415

    shown = table("SCHEDULE", "DEFINITION", "WHEN", "STATUS", "NEXT", "NOTE")
    for one in found:
        definition = f"{one.workflow_id} {one.version}" if one.version else one.workflow_id
        shown.add_row(
            Text(one.id), definition, Text(_when(one)), "paused" if one.paused else "active",
            moment(one.next[0]) if one.next and not one.paused else "", Text(one.note or ""),
        )  # fmt: skip
    return shown


def show(
    schedule: ScheduleArgument, org: OrgOption = "default", output: OutputOption = Format.TABLE
) -> None:
    """Show a schedule: when it comes next, and what it has started."""
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.schedules import show_schedule  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> ScheduleView:
        return await show_schedule(services, owner, schedule)

    found = in_session(org, work)
    Output(output).result(found.to_json(), lambda: _text(found))


def _text(found: ScheduleView) -> str:
    import json  # noqa: PLC0415

    from steploom.cli.tables import moment  # noqa: PLC0415

    version = f" {found.version}" if found.version else ", its highest version"
    lines = [
        f"{found.id}  {'paused' if found.paused else 'active'}",
        f"starts {found.workflow_id}{version}, {_when(found)}",
        f"input {json.dumps(found.input, ensure_ascii=False)}",
        f"while one still goes on: {found.overlap}",
        f"{found.starts} started, {found.skipped} skipped",
    ]
    if found.note:
        lines.append(f"note: {found.note}")
    if found.next and not found.paused:
        lines.append(f"next {', '.join(moment(one) for one in found.next[:3])}")
    lines += [f"started {one}" for one in found.recent[-5:]]
    return "\n".join(lines)


def pause(
    schedule: ScheduleArgument,
    *,
    reason: ReasonOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Have a schedule start nothing until it is resumed. What runs goes on."""
    from steploom.operations.schedules import pause_schedule  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> None:
        await pause_schedule(services, owner, schedule, actor=actor(as_), reason=reason)

    done = {"id": schedule, "action": "pause"}
    _do(work, done, f"{schedule} is paused.", f"resume {schedule}", org=org, output=output)


def resume(
    schedule: ScheduleArgument,
    *,
    reason: ReasonOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Have a paused schedule go on. What it would have started meanwhile is not made up for."""
    from steploom.operations.schedules import resume_schedule  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> None:
        await resume_schedule(services, owner, schedule, actor=actor(as_), reason=reason)

    done = {"id": schedule, "action": "resume"}
    _do(work, done, f"{schedule} goes on.", f"show {schedule}", org=org, output=output)


def trigger(
    schedule: ScheduleArgument, org: OrgOption = "default", output: OutputOption = Format.TABLE
) -> None:
    """Have a schedule start an execution now, paused or not."""
    from steploom.operations.schedules import trigger_schedule  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> None:
        await trigger_schedule(services, owner, schedule)

    done = {"id": schedule, "action": "trigger"}
    _do(
        work,
        done,
        f"{schedule} starts an execution now.",
        f"show {schedule}",
        org=org,
        output=output,
    )


def delete(
    schedule: ScheduleArgument, org: OrgOption = "default", output: OutputOption = Format.TABLE
) -> None:
    """Remove a schedule. What it has started stays, and goes on."""
    from steploom.operations.schedules import delete_schedule  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> None:
        await delete_schedule(services, owner, schedule)

    done = {"id": schedule, "action": "delete"}
    _do(work, done, f"{schedule} is removed.", "list", org=org, output=output)


def _do(
    work: Callable[[Services, Organization], Awaitable[None]],
    done: dict[str, str],
    said: str,
    then: str,
    *,
    org: str,
    output: Format,
) -> None:
    """Does something to a schedule, and tells of it."""
    from steploom.cli.session import in_session  # noqa: PLC0415

    in_session(org, work)
    also = "" if org == "default" else f" --org {org}"
    Output(output).result(done, lambda: f"{said}\nNext: steploom schedule {then}{also}")

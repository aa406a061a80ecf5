"""``watch``: an execution live, on a terminal as a picture, elsewhere as a line for each change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from steploom.cli.errors import FAILED
from steploom.cli.options import ExecutionArgument, OrgOption, OutputOption
from steploom.cli.output import Format, Output, notice, stderr

if TYPE_CHECKING:
    from rich.console import RenderableType

    from definitions.ports import Organization
    from steploom.operations.executions import Snapshot
    from steploom.services import Services


def watch(
    execution: ExecutionArgument,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Follow an execution until it ends; exit 1 unless it completes.

    Without a terminal: one line for each change. --output json or jsonl: one object a line.
    """
    from steploom.cli.session import in_session  # noqa: PLC0415 (heavy, as all of these)
    from steploom.operations.changes import Changes  # noqa: PLC0415
    from steploom.operations.executions import watch  # noqa: PLC0415

    out = Output(output)

    async def work(services: Services, owner: Organization) -> Snapshot | None:
        if not out.machine and sys.stderr.isatty():
            return await follow(services, owner, execution)
        last, changes = None, Changes()
        async for last in watch(services, owner, execution):
            for change in changes.of(last):
                out.change(change.to_json(), change.text)
        return last

    last = in_session(org, work)
    if last is None:
        return
    if not out.machine and sys.stderr.isatty():
        notice(f"{last.instance.execution_id} {last.instance.status}")
    if last.instance.status != "completed":
        raise typer.Exit(FAILED)


async def follow(services: Services, org: Organization, name: str) -> Snapshot | None:
    """Shows a run on stderr until it has ended; returns how it ended."""
    from steploom.operations.changes import Changes  # noqa: PLC0415
    from steploom.operations.executions import watch  # noqa: PLC0415

    last: Snapshot | None = None
    if not sys.stderr.isatty():
        changes = Changes()
        async for last in watch(services, org, name):
            for change in changes.of(last):
                notice(change.text)
        return last
    from rich.live import Live  # noqa: PLC0415

    with Live(console=stderr(), refresh_per_second=8) as live:
        async for last in watch(services, org, name):
            live.update(picture(last))
    return last


def picture(snapshot: Snapshot) -> RenderableType:
    """A run as it stands, redrawn at each change."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from steploom.cli.tables import status  # noqa: PLC0415
    from steploom.cli.timeline import steps  # noqa: PLC0415

    instance = snapshot.instance
    head = Text.assemble(
        (instance.execution_id, "bold"), f"  {instance.workflow_id} {instance.version}  "
    )
    head.append_text(status(instance.status))
    return Group(head, Text(), steps(snapshot.steps))

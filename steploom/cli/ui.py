"""``ui``: which components of a user interface to show for an execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from steploom.cli.options import ExecutionArgument, OrgOption, OutputOption
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from rich.table import Table

    from definitions.ports import Organization
    from definitions.ui import UiAnswer
    from steploom.services import Services


def ui(
    execution: ExecutionArgument,
    *,
    role: Annotated[
        list[str] | None,
        typer.Option(help="A role of who looks; may be given several times."),
    ] = None,
    permission: Annotated[
        list[str] | None,
        typer.Option(help="A permission of who looks; may be given several times."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="The id of who looks.")] = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Show which UI components to show for an execution now, and to whom.

    The execution is asked; one that has ended and that nobody can ask is read from its record.
    """
    from steploom.cli.session import in_session  # noqa: PLC0415 (heavy, as all of these)
    from steploom.operations.components import show_ui, ui_user  # noqa: PLC0415

    who = ui_user(user, role or (), permission or ())

    async def work(services: Services, owner: Organization) -> UiAnswer:
        return await show_ui(services, owner, execution, who)

    answer = in_session(org, work)
    out = Output(output)
    if not out.machine:
        for warning in answer.warnings:
            notice(f"{warning.component_id} is hidden: {warning.message} (in {warning.condition})")
        if not answer.components:
            notice(f"Nothing to show: {answer.execution_id} is {answer.status}")
    out.result(answer.to_json(), lambda: _table(answer) if answer.components else None)


def _table(answer: UiAnswer) -> Table:
    from rich.text import Text  # noqa: PLC0415

    from steploom.cli.tables import short, table  # noqa: PLC0415

    shown = table("COMPONENT", "PRIORITY", "CONTEXT")
    for one in answer.components:
        shown.add_row(Text(one.component_id), f"{one.priority:g}", Text(short(one.context, 200)))
    return shown

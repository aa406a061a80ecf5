"""``explain``: why a run went where it went, from its record alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from steploom.cli.options import ExecutionArgument, OrgOption, OutputOption
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from definitions.ports import Organization
    from steploom.operations.reading import WholeRecord
    from steploom.services import Services


def explain(
    execution: ExecutionArgument,
    step: Annotated[
        str | None,
        typer.Argument(metavar="[STEP]", help="Only this step: its id, or its path."),
    ] = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Tell why an execution went where it went: conditions, retries, handlers and decisions.

    Also who paused, skipped or cancelled it and why, and which executions it started or came from.
    Each condition is told with the values that it read. It needs the record alone, so it works long
    after Temporal has forgotten the run.
    """
    from definitions.explain import explain as told_from  # noqa: PLC0415 (heavy, as all of these)
    from definitions.explain_text import as_text  # noqa: PLC0415
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.reading import read_whole  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> WholeRecord:
        return await read_whole(services, owner, execution)

    run = in_session(org, work, {"postgres"})
    told = told_from(run.instance, run.steps, step, actions=run.actions, related=run.related)
    Output(output).result(told.to_json(), lambda: as_text(told))

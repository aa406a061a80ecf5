"""``definitions diff``: what changed between two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from steploom.cli.options import OrgOption, OutputOption
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from definitions.ports import Organization
    from steploom.services import Services


def diff_definition(
    workflow_id: Annotated[str, typer.Argument(metavar="ID", help="The workflowId.")],
    old: Annotated[str, typer.Argument(metavar="V1", help="The version before.")],
    new: Annotated[str, typer.Argument(metavar="V2", help="The version after.")],
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Show what changed between two versions: steps added, removed, moved and changed.

    Each changed value is shown with its JSON Pointer; machine formats have the values whole.
    """
    from definitions.diff import diff  # noqa: PLC0415 (heavy, as all of these)
    from definitions.diff_text import as_text  # noqa: PLC0415
    from definitions.document import Definition  # noqa: PLC0415
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(
        services: Services, owner: Organization
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        before = await services.store.get(owner.id, workflow_id, old)
        after = await services.store.get(owner.id, workflow_id, new)
        return before.document, after.document

    before, after = in_session(org, work, {"postgres"})
    found = diff(Definition.model_validate(before), Definition.model_validate(after))
    Output(output).result(found.to_json(), lambda: as_text(found))

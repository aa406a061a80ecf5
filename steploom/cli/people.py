"""``approve`` and ``reject``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from steploom.cli.options import ActorOption, ExecutionArgument, OrgOption, OutputOption, actor
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from definitions.ports import Organization
    from steploom.services import Services

StepArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[STEP]", help="The step's id or path; may be left out where one step waits."
    ),
]
CommentOption = Annotated[str | None, typer.Option(help="Why; kept on record.")]
PayloadOption = Annotated[
    str | None,
    typer.Option(metavar="JSON|@FILE", help="What the approval's form asks for."),
]


def approve(
    execution: ExecutionArgument,
    step: StepArgument = None,
    comment: CommentOption = None,
    payload: PayloadOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Approve a step that waits for it."""
    _decide("approved", execution, step, comment, payload, actor(as_), org, output)


def reject(
    execution: ExecutionArgument,
    step: StepArgument = None,
    comment: CommentOption = None,
    payload: PayloadOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Reject a step that waits for approval."""
    _decide("rejected", execution, step, comment, payload, actor(as_), org, output)


def _decide(
    decision: Literal["approved", "rejected"],
    execution: str,
    step: str | None,
    comment: str | None,
    payload: str | None,
    approver: str,
    org: str,
    output: Format,
) -> None:
    from steploom.cli.inputs import read_json  # noqa: PLC0415 (heavy, as all of these)
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.executions import decide  # noqa: PLC0415

    given = read_json(payload, "--payload") if payload is not None else None

    async def work(services: Services, owner: Organization) -> dict[str, Any]:
        return await decide(
            services,
            owner,
            execution,
            decision=decision,
            approver=approver,
            step=step,
            comment=comment,
            payload=given,
        )

    answer = in_session(org, work)
    Output(output).result(answer, lambda: _told(decision, approver, execution, answer))


def _told(decision: str, approver: str, execution: str, answer: dict[str, Any]) -> str:
    lines = [f"{str(answer.get('stepId'))} is {decision} by {approver}."]
    if answer.get("verdict") is None:
        lines = [
            f"{answer.get('stepId')}: {answer.get('approvals')} of "
            f"{answer.get('approvalsRequired')} approvals, the last by {approver}."
        ]
    return "\n".join([*lines, f"Next: steploom watch {execution}"])

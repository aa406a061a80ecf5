"""``approve`` and ``reject``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

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
    *,
    comment: CommentOption = None,
    payload: PayloadOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Approve a step that waits for it."""
    request = _Request("approved", actor(as_), step, comment, payload)
    _decide(execution, request, org, output)


def reject(
    execution: ExecutionArgument,
    step: StepArgument = None,
    *,
    comment: CommentOption = None,
    payload: PayloadOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Reject a step that waits for approval."""
    request = _Request("rejected", actor(as_), step, comment, payload)
    _decide(execution, request, org, output)


class _Request(NamedTuple):
    """A decision as it was typed."""

    decision: Literal["approved", "rejected"]
    approver: str
    step: str | None
    comment: str | None
    payload: str | None


def _decide(execution: str, request: _Request, org: str, output: Format) -> None:
    from steploom.cli.inputs import read_json  # noqa: PLC0415 (heavy, as all of these)
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.acting import decide  # noqa: PLC0415

    payload = read_json(request.payload, "--payload") if request.payload is not None else None

    async def work(services: Services, owner: Organization) -> dict[str, Any]:
        return await decide(
            services,
            owner,
            execution,
            decision=request.decision,
            approver=request.approver,
            step=request.step,
            comment=request.comment,
            payload=payload,
        )

    answer = in_session(org, work)
    Output(output).result(answer, lambda: _told(request, execution, answer))


def _told(request: _Request, execution: str, answer: dict[str, Any]) -> str:
    step = answer.get("stepId")
    if answer.get("verdict") is None:
        count = f"{answer.get('approvals')} of {answer.get('approvalsRequired')} approvals"
        told = f"{step}: {count}, the last by {request.approver}."
    else:
        told = f"{step} is {request.decision} by {request.approver}."
    return f"{told}\nNext: steploom watch {execution}"

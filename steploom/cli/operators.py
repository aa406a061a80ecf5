"""``pause``, ``resume``, ``cancel``, ``skip`` and ``send``: what is done to executions that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from definitions.errors import SteploomError, UnreachableError
from steploom.cli.options import (
    ActorOption,
    ExecutionArgument,
    ExecutionsArgument,
    OrgOption,
    OutputOption,
    ReasonOption,
    actor,
)
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.ports import Organization
    from steploom.operations.acting import Acted
    from steploom.services import Services


def pause(
    executions: ExecutionsArgument,
    *,
    reason: ReasonOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Have executions start no new step, until they are resumed.

    Steps that run finish, with their retries. Timers, approvals and the execution's own timeout go
    on.
    """
    _act("pause", executions, actor(as_), reason, org=org, output=output)


def resume(
    executions: ExecutionsArgument,
    *,
    reason: ReasonOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Have paused executions go on."""
    _act("resume", executions, actor(as_), reason, org=org, output=output)


def cancel(
    executions: ExecutionsArgument,
    *,
    reason: ReasonOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Ask executions to end as cancelled; what their definitions roll back is rolled back."""
    _act("cancel", executions, actor(as_), reason, org=org, output=output)


def _act(
    action: Literal["pause", "resume", "cancel"],
    executions: Sequence[str],
    who: str,
    reason: str | None,
    *,
    org: str,
    output: Format,
) -> None:
    from steploom.cli.session import in_session  # noqa: PLC0415 (heavy, as all of these)
    from steploom.operations.acting import cancel, pause, resume  # noqa: PLC0415

    act = {"pause": pause, "resume": resume, "cancel": cancel}[action]
    refused: list[SteploomError] = []

    async def work(services: Services, owner: Organization) -> list[Acted]:
        done = []
        for name in dict.fromkeys(executions):
            try:
                done.append(await act(services, owner, name, actor=who, reason=reason))
            except UnreachableError as error:
                # The next one would wait for it as long.
                refused.append(error)
                break
            except SteploomError as error:
                # One that has ended meanwhile is no reason to leave the others.
                refused.append(error)
        return done

    done = in_session(org, work)
    if done:
        lines = "\n".join(_told(one, org) for one in done)
        Output(output).results([one.to_json() for one in done], lambda: lines)
    if refused:
        raise _together(refused)


def _told(done: Acted, org: str) -> str:
    name = done.execution_id
    also = _org_option(org)
    match done.action, done.changed:
        case "pause", True:
            said = f"{name} is paused: what runs finishes, nothing new starts."
            following = f"steploom resume {name}"
        case "pause", _:
            said, following = f"{name} was paused already.", f"steploom resume {name}"
        case "resume", True:
            said, following = f"{name} goes on.", f"steploom watch {name}"
        case "resume", _:
            said, following = f"{name} was not paused.", f"steploom show {name}"
        case _:
            said, following = f"{name} is asked to end.", f"steploom watch {name}"
    return f"{said}\nNext: {following}{also}"


def _org_option(org: str) -> str:
    return "" if org == "default" else f" --org {org}"


def _together(refused: Sequence[SteploomError]) -> SteploomError:
    """Several errors as one of the first's kind, which makes the exit code."""
    first, *others = refused
    if others:
        first.message = "; ".join(one.message for one in refused)
    return first


def skip(
    execution: ExecutionArgument,
    step: Annotated[
        str,
        typer.Argument(
            metavar="STEP", help="The step's id, or its path where several of that id run."
        ),
    ],
    *,
    reason: ReasonOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Go on from a step that waits, runs or is being retried, as if it had ended with nothing.

    Its output is {}, and its own next says where the execution goes.
    """
    from steploom.cli.session import in_session  # noqa: PLC0415 (heavy, as all of these)
    from steploom.operations.acting import skip  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> dict[str, Any]:
        return await skip(services, owner, execution, step, actor=actor(as_), reason=reason)

    answer = in_session(org, work)
    name = answer["executionId"]
    Output(output).result(
        answer,
        lambda: (
            f"{answer.get('stepId')} of {name} is skipped.\n"
            f"Next: steploom watch {name}{_org_option(org)}"
        ),
    )


def send(
    execution: ExecutionArgument,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The event's name, as core.event waits for it.")
    ],
    *,
    data: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="What the event carries: any JSON.")
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="The event's id; the same one counts only once."),
    ] = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Send an execution an event, for a step that waits for it or will do so later."""
    from steploom.cli.inputs import read_json  # noqa: PLC0415 (heavy, as all of these)
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.acting import send  # noqa: PLC0415

    message: dict[str, Any] = {"name": name}
    if data is not None:
        message["data"] = read_json(data, "--data")
    if id_ is not None:
        message["id"] = id_

    async def work(services: Services, owner: Organization) -> dict[str, Any]:
        return await send(services, owner, execution, message)

    sent = in_session(org, work)
    if not sent["served"]:
        notice(
            f"No worker serves {sent['executionId']} now; it gets the event when one does. "
            "Next: steploom worker, or steploom dev"
        )
    Output(output).result(
        sent,
        lambda: (
            f"{name} is sent to {sent['executionId']}.\n"
            f"Next: steploom show {sent['executionId']}{_org_option(org)}"
        ),
    )

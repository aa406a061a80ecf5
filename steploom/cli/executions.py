"""``start`` and ``rerun``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from definitions.errors import InvalidInputError
from steploom.cli.errors import FAILED
from steploom.cli.options import (
    ActorOption,
    CatalogueOption,
    ExecutionArgument,
    OrgOption,
    OutputOption,
    ReasonOption,
    TasksOption,
    actor,
    task_sources,
)
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from definitions.ports import Organization
    from steploom.operations.executions import Snapshot
    from steploom.operations.starting import StartedRun
    from steploom.services import Services


def start(
    *,
    workflow_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The workflowId of a stored definition.")
    ] = None,
    input_: Annotated[
        str, typer.Option("--input", "-i", metavar="JSON|@FILE", help="The input, an object.")
    ] = "{}",
    version: Annotated[
        str | None, typer.Option(help="A version; the highest if not given.")
    ] = None,
    inline: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Run this document without registering it."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it ends; exit 1 unless it completes.")
    ] = False,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="NAME", help="Its execution id.")
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option(help="What it belongs to; can be searched for.")
    ] = None,
    external_id: Annotated[str | None, typer.Option(help="Its id in another system.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again starts nothing twice.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Where it came from, such as web.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be given several times.")
    ] = None,
    task_queue: Annotated[
        str | None, typer.Option(help="The workers' task queue. Also: STEPLOOM_TASK_QUEUE.")
    ] = None,
    tasks: TasksOption = None,
    catalogue: CatalogueOption = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Start an execution of a stored definition, or of a document given with --inline.

    The input is checked against the definition's inputSchema before anything starts.
    """
    from steploom.catalogue import known_tasks  # noqa: PLC0415 (as all of these)
    from steploom.cli.inputs import read_json, read_object, read_tags  # noqa: PLC0415
    from steploom.operations.starting import parse_start, start  # noqa: PLC0415

    if (workflow_id is None) == (inline is None):
        raise InvalidInputError(
            "give either the ID of a definition or --inline FILE, and not both",
            hint="`steploom definitions list` shows the definitions",
        )
    document = None
    if inline is not None:
        document = read_json("@-" if inline == "-" else f"@{inline}", "--inline")
    request = parse_start(
        {
            "workflowId": workflow_id,
            "version": version,
            "definition": document,
            "input": read_object(input_, "--input"),
            "orgId": None if org == "default" else org,
            "channel": channel,
            "externalId": external_id,
            "correlationId": correlation_id,
            "idempotencyKey": idempotency_key,
            "userId": actor(as_),
            "tags": read_tags(tag),
        }
    )
    known = known_tasks(task_sources(tasks, catalogue))

    async def begin(services: Services) -> StartedRun:
        return await start(services, request, execution_id=id_, catalogue=known)

    _run(begin, _started_text, wait=wait, org=org, output=output, task_queue=task_queue)


def rerun(
    execution: ExecutionArgument,
    *,
    from_: Annotated[
        str,
        typer.Option(
            "--from", metavar="STEP", help="The step of its main path to go on from; done anew."
        ),
    ],
    input_: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", metavar="JSON|@FILE", help="A new input; the earlier one if not given."
        ),
    ] = None,
    reason: ReasonOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it ends; exit 1 unless it completes.")
    ] = False,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="NAME", help="The new execution's id.")
    ] = None,
    task_queue: Annotated[
        str | None, typer.Option(help="The workers' task queue. Also: STEPLOOM_TASK_QUEUE.")
    ] = None,
    as_: ActorOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Run an ended execution again from one of its steps, as a new execution.

    What came before the step is taken from the record and not done again; the version is the
    earlier one's. The earlier execution stays as it is.
    """
    from steploom.cli.inputs import read_object  # noqa: PLC0415 (as all of these)
    from steploom.operations.reruns import rerun  # noqa: PLC0415
    from steploom.operations.starting import parse_start  # noqa: PLC0415

    asked = {"executionId": execution, "fromStep": from_, "reason": reason}
    request = parse_start(
        {
            "rerun": {name: value for name, value in asked.items() if value is not None},
            "input": read_object(input_, "--input") if input_ is not None else None,
            "orgId": None if org == "default" else org,
            "userId": actor(as_),
        }
    )

    async def begin(services: Services) -> StartedRun:
        return await rerun(services, request, execution_id=id_)

    def told(run: StartedRun) -> str:
        return _started_text(run, f", from step {from_} of {execution}")

    _run(begin, told, wait=wait, org=org, output=output, task_queue=task_queue)


def _run(
    begin: Callable[[Services], Awaitable[StartedRun]],
    told: Callable[[StartedRun], str],
    *,
    wait: bool,
    org: str,
    output: Format,
    task_queue: str | None,
) -> None:
    """Starts a run and tells of it, or of its end with ``wait``."""
    from steploom.cli.session import in_session  # noqa: PLC0415 (heavy, as all of these)

    out = Output(output)

    async def work(services: Services, owner: Organization) -> tuple[StartedRun, Snapshot | None]:
        run = await begin(services)
        if not run.served:
            notice(
                f"No worker serves the task queue {services.settings.task_queue!r} now; the "
                "execution waits for one. Next: steploom worker, or steploom dev"
            )
        if not wait:
            return run, None
        if not out.machine:
            _tell(run)
        from steploom.cli.watching import follow  # noqa: PLC0415

        return run, await follow(services, owner, run.execution_id)

    run, ended = in_session(org, work, task_queue=task_queue)
    if ended is None:
        out.result(run.to_json(), lambda: told(run))
        return
    facts = {**run.to_json(), "status": ended.instance.status, "output": ended.instance.output,
             "error": ended.instance.error}  # fmt: skip
    out.result(facts, lambda: _ended_text(ended))
    if ended.instance.status != "completed":
        raise typer.Exit(FAILED)


def _tell(run: StartedRun) -> None:
    how = "Found" if run.existing else "Started"
    notice(f"{how} {run.execution_id}" + (f"\n  {run.url}" if run.url else ""))


def _started_text(run: StartedRun, origin: str = "") -> str:
    how = "was started before, with the same idempotency key" if run.existing else "started"
    lines = [f"{run.execution_id} {how}: {run.workflow_id} {run.version}{origin}"]
    if run.url:
        lines.append(f"In Temporal's UI: {run.url}")
    also = "" if run.org == "default" else f" --org {run.org}"
    return "\n".join([*lines, f"Next: steploom watch {run.execution_id}{also}"])


def _ended_text(ended: Snapshot) -> str:
    import json  # noqa: PLC0415

    instance = ended.instance
    lines = [f"{instance.execution_id} {instance.status}"]
    if instance.error:
        lines.append(f"{instance.error.get('type')}: {instance.error.get('message', '')}")
    if instance.output is not None:
        lines.append(json.dumps(instance.output, indent=2, ensure_ascii=False))
    return "\n".join([*lines, f"Next: steploom show {instance.execution_id}"])

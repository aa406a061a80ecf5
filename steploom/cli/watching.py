"""``watch``: an execution live, on a terminal as a picture, elsewhere as a line for each change."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from steploom.cli.errors import FAILED
from steploom.cli.options import ExecutionArgument, OrgOption, OutputOption
from steploom.cli.output import Format, Output, notice, stderr

if TYPE_CHECKING:
    from rich.console import RenderableType

    from definitions.ports import Organization
    from definitions.views import StepView
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
    from steploom.operations.executions import watch  # noqa: PLC0415

    out = Output(output)

    async def work(services: Services, owner: Organization) -> Snapshot | None:
        if not out.machine and sys.stderr.isatty():
            return await follow(services, owner, execution)
        last, changes = None, Changes()
        async for last in watch(services, owner, execution):
            for fact, line in changes.of(last):
                out.change(fact, line)
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
    from steploom.operations.executions import watch  # noqa: PLC0415

    last: Snapshot | None = None
    if not sys.stderr.isatty():
        changes = Changes()
        async for last in watch(services, org, name):
            for _, line in changes.of(last):
                notice(line)
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


class Changes:
    """What is new in a snapshot, compared with the one before."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._status: str | None = None

    def of(self, snapshot: Snapshot) -> Iterator[tuple[dict[str, Any], str]]:
        """Each change as JSON values, and as a line."""
        for step in snapshot.steps:
            failed = sum(1 for attempt in step.attempt_records if attempt.error)
            facts = (str(step.status), step.attempts, failed, len(step.votes), step.compensated)
            if self._steps.get((step.path, step.iteration)) != facts:
                self._steps[step.path, step.iteration] = facts
                yield _step_fact(step), _step_line(step)
        status = str(snapshot.instance.status)
        if status != self._status:
            self._status = status
            yield _run_change(snapshot, status)


def _step_fact(step: StepView) -> dict[str, Any]:
    return {
        "step": step.path,
        "iteration": step.iteration,
        "status": str(step.status),
        "attempts": step.attempts,
        "error": step.error.to_json() if step.error else None,
        "compensated": step.compensated,
    }


def _step_line(step: StepView) -> str:
    from steploom.cli.timeline import error_text  # noqa: PLC0415

    again = f" ({step.iteration})" if step.iteration > 1 else ""
    parts = [f"{step.path}{again}: {step.status}"]
    latest = step.attempt_records[-1] if step.attempt_records else None
    if step.error:
        parts.append(error_text(step.error))
    elif latest is not None and latest.error and not step.status.ended:
        parts.append(f"attempt {latest.attempt} failed, {error_text(latest.error)}")
    elif step.attempts > 1:
        parts.append(f"attempt {step.attempts}")
    if step.votes:
        parts.append(f"{step.votes[-1].decision} by {step.votes[-1].approver}")
    if step.compensated is not None:
        parts.append("undone" if step.compensated else "could not be undone")
    return ", ".join(parts)


def _run_change(snapshot: Snapshot, status: str) -> tuple[dict[str, Any], str]:
    instance = snapshot.instance
    fact = {"execution": instance.execution_id, "status": status, "error": instance.error}
    why = f", {instance.error.get('type')}" if instance.error else ""
    return fact, f"{instance.execution_id}: {status}{why}"

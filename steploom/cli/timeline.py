"""One execution for people: its header, its steps in order, and what is worth knowing of each.

Then what was done to it from outside, and the events that went in and out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from definitions.action_sentences import (
    by_whom,
    children_of,
    origin_sentence,
    reruns_in,
    skip_of,
    what_was_done,
)
from definitions.decided import decision_of
from definitions.references import find_references, told
from steploom.cli.tables import moment, short, status, table, took
from steploom.operations.changes import error_text

if TYPE_CHECKING:
    from definitions.records import Decision
    from definitions.views import ActionView, InstanceView, OutboxView, StepView
    from steploom.operations.reading import WholeRecord


def execution(whole: WholeRecord, url: str | None) -> RenderableType:
    """Everything that ``show`` shows."""
    parts: list[RenderableType] = [
        header(whole.instance, url, reruns_in(whole.related)),
        Text(),
        steps(whole.steps, whole.actions, whole.related),
    ]
    if whole.actions or whole.published:
        parts += [Text(), _outside(whole.actions, whole.published)]
    return Group(*parts)


def header(instance: InstanceView, url: str | None, reruns: Sequence[InstanceView] = ()) -> Table:
    """The run itself, as a list of facts."""
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("execution", instance.execution_id)
    facts.add_row("instance", str(instance.id))
    facts.add_row("definition", f"{instance.workflow_id} {instance.version}")
    facts.add_row("status", status(instance.status))
    facts.add_row("started", f"{moment(instance.started_at)} UTC")
    if instance.completed_at:
        long = took(instance.started_at, instance.completed_at)
        facts.add_row("ended", f"{moment(instance.completed_at)} UTC, after {long}")
    elif instance.current_step_id:
        facts.add_row("at step", instance.current_step_id)
    for name, value in (
        ("correlation id", instance.correlation_id),
        ("started by", instance.user_id),
        ("origin", origin_sentence(instance.origin) if instance.origin else None),
        ("run again as", ", ".join(f"{run.execution_id} ({run.status})" for run in reruns)),
        ("input", _json(instance.input)),
        ("output", _json(instance.output)),
        ("error", _run_error(instance.error)),
        ("in Temporal", url),
    ):
        if value:
            facts.add_row(name, Text(value))
    return facts


def steps(
    recorded: Sequence[StepView],
    actions: Sequence[ActionView] = (),
    related: Sequence[InstanceView] = (),
) -> RenderableType:
    """The steps in the order in which they began."""
    if not recorded:
        return Text("No step has begun.", style="dim")
    shown = table("STEP", "TASK", "STATUS", "BEGAN", "TOOK", "ATTEMPTS", "THEN")
    for step in recorded:
        shown.add_row(
            Text(_place(step)),
            Text(step.task_id or ""),
            _step_status(step),
            moment(step.started_at)[11:],
            took(step.started_at, step.completed_at),
            str(len(step.attempt_records) or step.attempts or ""),
            Text(_then(decision_of(step))),
        )
    notes = list(_notes(recorded, actions, related))
    return Group(shown, Text(), *notes) if notes else shown


def _place(step: StepView) -> str:
    """The step's path, with as much of it left out as the rows above say: its parent steps."""
    # A path is step/branch/step/branch/step.
    parts = step.path.split("/")
    again = f" ({step.iteration})" if step.iteration > 1 else ""
    return "  " * (len(parts) // 2) + "/".join(parts[-2:] if len(parts) > 1 else parts) + again


def _step_status(step: StepView) -> Text:
    text = status(step.status)
    if step.compensated is not None:
        text.append(" undone" if step.compensated else " not undone", "yellow")
    return text


#: What follows the target, by the kind of the decision.
_BECAUSE = {
    "sequence": "",
    "handler": ", handles the error",
    "global": ", handles the error",
    "continue": ", in spite of the error",
    "skip": ", skipped",
}


def _then(decision: Decision | None) -> str:
    if decision is None:
        return ""
    target = decision.target or "end"
    match decision.kind:
        case "end":
            return "end"
        case "raise":
            return "fails the run"
        case "condition":
            true = next((one.expression for one in decision.evaluated if one.result), None)
            otherwise = ", otherwise" if decision.evaluated else ""
            return f"→ {target}" + (f", for {short(true, 60)}" if true else otherwise)
        case "sequence" | "handler" | "global" | "continue" | "skip":
            return f"→ {target}{_BECAUSE[decision.kind]}"


def _outside(actions: Sequence[ActionView], published: Sequence[OutboxView]) -> RenderableType:
    """What came from outside and went there, in its order."""
    shown = table("AT", "FROM OUTSIDE AND TO IT", "BY", "WHY")
    lines: list[tuple[int, list[str]]] = [
        (
            one.seq,
            [moment(one.occurred_at), what_was_done(one), one.actor or "", one.reason or ""],
        )
        for one in actions
    ]
    for event in published:
        sent = "" if event.published_at else ", not delivered yet"
        lines.append(
            (event.seq, [moment(event.occurred_at), f"published {event.event_type}{sent}", "", ""])
        )
    for _, cells in sorted(lines, key=lambda line: line[0]):
        shown.add_row(*(Text(short(cell, 400)) for cell in cells))
    return shown


def _notes(
    recorded: Sequence[StepView], actions: Sequence[ActionView], related: Sequence[InstanceView]
) -> Iterator[RenderableType]:
    """What does not fit into the table, step by step."""
    for step in recorded:
        lines = [*_lines(step), *_beside(step, actions, related)]
        if lines:
            yield Text(step.path, style="bold")
            yield Padding(Group(*map(Text, lines)), (0, 0, 0, 2))


def _lines(step: StepView) -> Iterator[str]:
    if step.error is not None or len(step.attempt_records) > 1:
        for attempt in step.attempt_records:
            long = took(attempt.started_at, attempt.completed_at)
            what = f", {error_text(attempt.error)}" if attempt.error else ""
            yield f"attempt {attempt.attempt}: {attempt.status} after {long or '?'}{what}"
    if step.error is not None and not step.attempt_records:
        yield f"error: {error_text(step.error)}"
    for where, big in find_references(step.output):
        yield f"{'.'.join(['output', *where.split('/')[1:]])}: {told(big)}"
    for vote in step.votes:
        because = f", “{vote.comment}”" if vote.comment else ""
        payload = f", {short(vote.payload)}" if vote.payload is not None else ""
        yield f"{vote.decision} by {vote.approver} at {moment(vote.decided_at)}{because}{payload}"
    if str(step.status) == "waiting" and step.waiting_for:
        yield f"waits for: {short(step.waiting_for, 200)}"
    decision = decision_of(step)
    for one in decision.evaluated if decision else ():
        values = ", ".join(f"{name} = {short(value, 40)}" for name, value in one.values.items())
        result = f"error: {one.error}" if one.error else json.dumps(one.result)
        yield f"condition: {one.expression}  is {result}{f', with {values}' if values else ''}"


def _beside(
    step: StepView, actions: Sequence[ActionView], related: Sequence[InstanceView]
) -> Iterator[str]:
    """Who skipped a step, and the runs that it started."""
    if (skipped := skip_of(step, actions)) is not None:
        yield f"skipped {by_whom(skipped)}"
    for run in children_of(step, related):
        name = run.execution_id
        about = f"{run.workflow_id} {run.version}, {run.status}"
        yield f"ran {name} ({about}): steploom show {name}"


def _run_error(error: dict[str, Any] | None) -> str | None:
    if not error:
        return None
    step = f" at step {error['stepId']}" if error.get("stepId") else ""
    rollback = error.get("rollback")
    undone = f"; undone: {', '.join(rollback['compensated'])}" if rollback else ""
    return f"{error.get('type')}{step}: {error.get('message', '')}{undone}"


def _json(value: Any) -> str | None:
    return short(value, 400) if value not in (None, {}) else None

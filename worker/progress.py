"""A run's progress as Markdown, for the details that Temporal's UI shows beside its history."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject
    from worker.interpreter.plan import Plan
    from worker.interpreter.state import RunState

#: Steps in the table; the latest ones, when a run has more.
SHOWN = 30

_SIGNS = {
    "completed": "✅",
    "failed": "❌",
    "timeout": "⌛",
    "cancelled": "🚫",
    "skipped": "⏭️",
}


def progress(plan: Plan, state: RunState) -> str:
    """The run as it stands now."""
    definition = plan.definition
    steps = state.main.steps
    ended = sum(1 for step_id in plan.step_ids if step_id in steps)
    lines = [
        f"### {definition.name}",
        "",
        (
            f"**{state.status}** · {ended} of {len(plan.step_ids)} steps · "
            f"`{definition.workflow_id}` {definition.version}"
        ),
        "",
    ]
    rows = [*steps.items()][-SHOWN:]
    if rows:
        lines += ["| step | status |", "|---|---|"]
        lines += [_row(step_id, view) for step_id, view in rows]
    active = state.main.active
    if active is not None and active.step_id not in dict(rows):
        waiting = any(unit.waiting_for is not None for unit in active.units)
        sign, word = ("⏳", "waiting") if waiting else ("▶️", "active")
        if not rows:
            lines += ["| step | status |", "|---|---|"]
        lines.append(f"| {active.step_id} | {sign} {word} |")
    if state.failure is not None:
        lines += ["", f"**{state.failure.get('type')}**: {_inline(state.failure.get('message'))}"]
    return "\n".join(lines)


def _row(step_id: str, view: JsonObject) -> str:
    status = str(view.get("status"))
    error = view.get("error")
    because = f" — {_inline(error.get('type'))}" if isinstance(error, dict) else ""
    return f"| {step_id} | {_SIGNS.get(status, '')} {status}{because} |"


def _inline(value: object) -> str:
    """Text that cannot break out of a table's cell."""
    return str(value or "").replace("|", "\\|").replace("\n", " ")[:200]

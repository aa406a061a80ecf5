"""Rollbacks with nothing to undo, and compensations that nothing ever runs or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.validation.outline import object_of, text_of

if TYPE_CHECKING:
    from definitions.validation.findings import Findings
    from definitions.validation.outline import Outline


#: What a compensation would wait for, by its task.
_WAITS_FOR = {"core.approval": "a person", "core.event": "an event"}


def check_compensations(outline: Outline, findings: Findings) -> None:
    """A compensation does not wait for anybody: what is rolled back takes no messages."""
    for step in outline.steps:
        task_id = text_of(object_of(step.value, "compensation"), "taskId") or ""
        if (awaited := _WAITS_FOR.get(task_id)) is not None:
            findings.add(
                (*step.where, "compensation", "taskId"),
                "waiting_compensation",
                f"{task_id} would wait for {awaited}, and a run that is being rolled back takes "
                "neither decisions nor events",
            )


def check_rollback(outline: Outline, findings: Findings) -> None:
    """``rollback`` and the compensations belong together."""
    rollback = outline.document.get("rollback")
    if not isinstance(rollback, dict):
        return
    compensated = [step for step in outline.steps if object_of(step.value, "compensation")]
    if rollback.get("on") == []:
        for step in compensated:
            findings.add(
                (*step.where, "compensation"),
                "compensation_never_runs",
                "rollback.on is empty, and so no compensation ever runs",
            )
    elif not compensated:
        findings.add(
            ("rollback",),
            "rollback_without_compensation",
            "no step has a compensation, and so there is nothing to roll back",
        )

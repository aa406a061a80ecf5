"""Rollbacks with nothing to undo, and compensations that nothing ever runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.validation.outline import object_of

if TYPE_CHECKING:
    from definitions.validation.findings import Findings
    from definitions.validation.outline import Outline


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

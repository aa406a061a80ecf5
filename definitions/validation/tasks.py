"""The task of each step, and of each compensation: is there one of that name?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.tasks import BUILTIN_TASKS
from definitions.validation.builtins import check_builtin_input
from definitions.validation.outline import object_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.tasks import TaskSpec
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.outline import Outline


def check_tasks(
    outline: Outline, findings: Findings, catalogue: Mapping[str, TaskSpec] | None
) -> None:
    """``catalogue``: every task that is known, or None where that is not known."""
    for step in outline.steps:
        compensation = object_of(step.value, "compensation")
        for value, where in (
            (step.value, step.where),
            (compensation, (*step.where, "compensation")),
        ):
            task_id = text_of(value, "taskId")
            if task_id:
                _check_task(task_id, (*where, "taskId"), findings, catalogue)
                if "input" in value:
                    check_builtin_input(task_id, value["input"], (*where, "input"), findings)


def _check_task(
    task_id: str, where: Parts, findings: Findings, catalogue: Mapping[str, TaskSpec] | None
) -> None:
    if task_id in BUILTIN_TASKS:
        return
    if task_id.startswith("core."):
        hint = findings.meant(task_id, BUILTIN_TASKS)
        message = f"there is no built-in task {task_id!r:.270}{hint}"
        findings.add(where, "unknown_core_task", message)
    elif catalogue is None:
        findings.add(
            where,
            "unregistered_task",
            f"whether there is a task {task_id!r:.270} is not known here",
        )
    elif task_id not in catalogue:
        hint = findings.meant(task_id, [*catalogue, *sorted(BUILTIN_TASKS)])
        findings.add(where, "unknown_task", f"nobody registered a task {task_id!r:.270}{hint}")

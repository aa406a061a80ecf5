"""Steps so deep inside others that their path is longer than a record can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.validation.outline import object_of

if TYPE_CHECKING:
    from definitions.validation.findings import Findings
    from definitions.validation.outline import Outline, RawStep, StepList

#: The longest path of a step, in characters.
MAX_PATH = 255
#: Room for the mark of an item (``#12345``) and of a compensation.
_ITEM, _COMPENSATION = 6, len("@compensation")


def check_paths(outline: Outline, findings: Findings) -> None:
    """Ids of steps and branches add up to the paths of what they hold (docs/adr/0007-paths.md)."""
    for step in outline.steps:
        if step.step_id is None:
            continue
        length = _length(step)
        if length > MAX_PATH:
            findings.add(
                (*step.where, "stepId"),
                "path_too_long",
                f"the path of this step can have {length} characters, at most {MAX_PATH} are "
                "allowed: shorten its id, or those of the steps and branches around it",
            )


def _length(step: RawStep) -> int:
    own = _prefix(step.siblings) + len(step.step_id or "")
    item = _ITEM if object_of(step.value, "forEach") else 0
    return own + max(item, _COMPENSATION if object_of(step.value, "compensation") else 0)


def _prefix(siblings: StepList) -> int:
    """How long everything is that comes before the ids of a list of steps."""
    length = 0
    while siblings.owner is not None:
        owner = siblings.owner
        mark = _ITEM if object_of(owner.value, "forEach") else 0
        length += len(owner.step_id or "") + len(_branch_id(owner, siblings)) + mark + 2
        siblings = owner.siblings
    return length


def _branch_id(owner: RawStep, siblings: StepList) -> str:
    branches = owner.value.get("parallelBranches")
    index = siblings.where[len(owner.where) + 1]
    branch = branches[index] if isinstance(branches, list) and isinstance(index, int) else None
    name = branch.get("branchId") if isinstance(branch, dict) else None
    return name if isinstance(name, str) else ""

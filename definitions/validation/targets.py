"""Ids and the places that name them: duplicates, and where a step may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.problems import pointer
from definitions.validation.outline import object_of, objects_in, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.jsontypes import JsonObject
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.outline import Outline, StepList


def check_ids(outline: Outline, findings: Findings) -> None:
    """A ``stepId`` stands once in the document, a ``branchId`` once in its step."""
    for step in outline.steps:
        step_id = step.step_id
        if step_id is not None and outline.ids[step_id] is not step:
            first = pointer(*outline.ids[step_id].where)
            findings.add(
                (*step.where, "stepId"),
                "duplicate_step_id",
                f"the step at {first} has the stepId {step_id!r:.140} too",
            )
        seen: set[str] = set()
        for index, branch in objects_in(step.value.get("parallelBranches")):
            branch_id = text_of(branch, "branchId")
            if branch_id in seen:
                findings.add(
                    (*step.where, "parallelBranches", index, "branchId"),
                    "duplicate_branch_id",
                    f"another branch of this step has the branchId {branch_id!r:.140}",
                )
            elif branch_id is not None:
                seen.add(branch_id)


def check_targets(outline: Outline, findings: Findings) -> None:
    """A target is a step of the same list: no jump into a branch or out of one."""
    for step in outline.steps:
        for where, target in _targets_of_step(step.value, step.where):
            _check_target(where, target, step.siblings, outline, findings)
    on_failure = outline.document.get("onFailure")
    for where, target in _targets_of_failure(on_failure, ("onFailure",)):
        _check_target(where, target, outline.main, outline, findings)


def _targets_of_step(step: JsonObject, where: Parts) -> Iterator[tuple[Parts, str]]:
    for index, transition in objects_in(step.get("next")):
        if (target := text_of(transition, "nextStepId")) is not None:
            yield (*where, "next", index, "nextStepId"), target
    yield from _targets_of_failure(step.get("onFailure"), (*where, "onFailure"))


def _targets_of_failure(on_failure: object, where: Parts) -> Iterator[tuple[Parts, str]]:
    if not isinstance(on_failure, dict):
        return
    if (target := text_of(on_failure, "nextStepId")) is not None:
        yield (*where, "nextStepId"), target
    conditions = object_of(on_failure, "errorHandler").get("conditions")
    for index, condition in objects_in(conditions):
        if (target := text_of(condition, "nextStepId")) is not None:
            yield (*where, "errorHandler", "conditions", index, "nextStepId"), target


def _check_target(
    where: Parts, target: str, siblings: StepList, outline: Outline, findings: Findings
) -> None:
    if target in siblings.ids:
        return
    if target in outline.ids:
        findings.add(
            where,
            "target_in_other_list",
            f"the step {target!r:.140} is in another list of steps: a run can go neither into a "
            "branch nor out of one",
        )
    else:
        hint = findings.meant(target, siblings.ids)
        findings.add(where, "unknown_target", f"there is no step {target!r:.140}{hint}")

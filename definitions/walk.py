"""Ways through the steps of a definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from definitions.document import Definition, Step


def every_step(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, those of branches included, in the order of the document."""
    for step in steps:
        yield step
        for branch in step.parallel_branches:
            yield from every_step(branch.steps)


def task_ids(definition: Definition) -> list[str]:
    """Every task that a definition names, compensations included, each once, in order."""
    found: dict[str, None] = {}
    for step in every_step(definition.steps):
        found[step.task_id] = None
        if step.compensation is not None:
            found[step.compensation.task_id] = None
    return list(found)


def asks_people(definition: Definition) -> bool:
    """Whether any step waits for an approval."""
    return any(step.task_id == "core.approval" for step in every_step(definition.steps))

"""The steps of a raw document, found as well as they can be.

The rules that need the whole document must also speak when its structure is broken elsewhere, so
they do not read the models but this: whatever looks like a step, with its place and its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.jsontypes import Json, JsonObject
    from definitions.validation.findings import Parts


@dataclass(slots=True)
class StepList:
    """A list of steps: the document's own, or a branch's.

    ``ids``: what a target in it may name; ``owner``: the step of which it is a branch.
    """

    where: Parts
    owner: RawStep | None = None
    steps: list[RawStep] = field(default_factory=list)
    ids: dict[str, RawStep] = field(default_factory=dict)


@dataclass(slots=True)
class RawStep:
    """An object in a list of steps. ``in_item``: it runs once for each item of a ``forEach``.

    ``position`` counts the objects of its list, from 0; ``branches`` are the lists below it.
    """

    where: Parts
    value: JsonObject
    siblings: StepList
    in_item: bool
    position: int = 0
    branches: list[StepList] = field(default_factory=list)

    @property
    def step_id(self) -> str | None:
        """Its id, if it has one."""
        return text_of(self.value, "stepId")

    @property
    def task_id(self) -> str | None:
        """Its task, if it has one."""
        return text_of(self.value, "taskId")


@dataclass(slots=True)
class Outline:
    """``steps`` in the order of the document, branches included; ``ids``: the first of each.

    ``lists``: every list of steps, ``main`` first.
    """

    document: JsonObject
    main: StepList
    lists: list[StepList]
    steps: list[RawStep]
    ids: dict[str, RawStep]


def outline_of(document: Json) -> Outline:
    """The outline of any JSON value; of something that is no document it is empty."""
    whole = document if isinstance(document, dict) else {}
    main = StepList(("steps",))
    steps: list[RawStep] = []
    _collect(whole.get("steps"), main, steps, in_item=False)
    ids: dict[str, RawStep] = {}
    for step in steps:
        if step.step_id is not None:
            ids.setdefault(step.step_id, step)
    lists = [main, *(below for step in steps for below in step.branches)]
    return Outline(document=whole, main=main, lists=lists, steps=steps, ids=ids)


def _collect(value: Json, into: StepList, steps: list[RawStep], *, in_item: bool) -> None:
    for index, item in objects_in(value):
        step = RawStep((*into.where, index), item, into, in_item, len(into.steps))
        into.steps.append(step)
        steps.append(step)
        if step.step_id is not None:
            into.ids.setdefault(step.step_id, step)
        inner = in_item or item.get("forEach") is not None
        for number, branch in objects_in(item.get("parallelBranches")):
            below = StepList((*step.where, "parallelBranches", number, "steps"), step)
            step.branches.append(below)
            _collect(branch.get("steps"), below, steps, in_item=inner)


def objects_in(value: Json) -> Iterator[tuple[int, JsonObject]]:
    """The objects of what should be a list of objects, with their indexes."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield index, item


def object_of(value: JsonObject, key: str) -> JsonObject:
    """A member that should be an object; an empty one where it is not."""
    member = value.get(key)
    return member if isinstance(member, dict) else {}


def text_of(value: JsonObject, key: str) -> str | None:
    """A member that should be text."""
    member = value.get(key)
    return member if isinstance(member, str) else None

"""Where expressions stand in a document, and what is in scope there.

A later check that reads expressions (unknown fields, types) can start from the same list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from definitions.expressions import (
    AFTER_STEP_NAMES,
    ITEM_NAMES,
    STEP_NAMES,
    TRIGGER_NAMES,
    UI_NAMES,
)
from definitions.validation.outline import object_of, objects_in, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.jsontypes import Json, JsonObject
    from definitions.validation.findings import Parts
    from definitions.validation.outline import Outline, RawStep


#: ``input`` has ``forEach.items`` with it, ``result`` is the document's ``output``.
Role: TypeAlias = Literal["input", "output", "next", "compensation", "trigger", "ui", "result"]


@dataclass(frozen=True, slots=True)
class Place:
    """A value of the document that is, or holds, expressions.

    ``condition``: the value is an expression that gives a boolean. ``mapping``: any JSON with
    ``${ }`` in its strings. ``items``: a mapping that gives a list. ``role`` says when it is
    evaluated, ``step`` of which step it is.
    """

    where: Parts
    kind: Literal["condition", "mapping", "items"]
    value: Json
    names: frozenset[str]
    role: Role = "result"
    step: RawStep | None = None


def places_of(outline: Outline) -> Iterator[Place]:
    """Every place of a document, step by step."""
    for step in outline.steps:
        yield from places_of_step(step)
    document = outline.document
    for index, trigger in objects_in(document.get("triggers")):
        yield from _condition(trigger, ("triggers", index), TRIGGER_NAMES, "trigger")
    for index, component in objects_in(document.get("uiComponents")):
        yield from _condition(component, ("uiComponents", index), UI_NAMES, "ui")
    if "output" in document:
        yield Place(("output",), "mapping", document["output"], STEP_NAMES)


def places_of_step(step: RawStep) -> Iterator[Place]:
    """The places of one step, without those of its branches."""
    value, where = step.value, step.where
    # An item is in scope in what runs once for each: the input and the branches, not the step's
    # own output and next, which come when all items are done.
    outer = ITEM_NAMES if step.in_item else STEP_NAMES
    inner = ITEM_NAMES if value.get("forEach") is not None else outer
    after = outer | AFTER_STEP_NAMES
    for_each = object_of(value, "forEach")
    if "items" in for_each:
        at = (*where, "forEach", "items")
        yield Place(at, "items", for_each["items"], outer, "input", step)
    if "input" in value:
        yield Place((*where, "input"), "mapping", value["input"], inner, "input", step)
    if "output" in value:
        yield Place((*where, "output"), "mapping", value["output"], after, "output", step)
    for index, transition in objects_in(value.get("next")):
        yield from _condition(transition, (*where, "next", index), after, "next", step)
    compensation = object_of(value, "compensation")
    if "input" in compensation:
        # It runs when the run ends, where no item is left.
        at, names = (*where, "compensation", "input"), AFTER_STEP_NAMES
        yield Place(at, "mapping", compensation["input"], names, "compensation", step)


def _condition(
    value: JsonObject,
    where: Parts,
    names: frozenset[str],
    role: Role,
    step: RawStep | None = None,
) -> Iterator[Place]:
    # An empty one is the structure's affair.
    if text := text_of(value, "condition"):
        yield Place((*where, "condition"), "condition", text, names, role, step)

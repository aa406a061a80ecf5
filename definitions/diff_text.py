"""A diff as text, a line for each thing that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.texts import one_line, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from definitions.diff import Diff, FieldChange, Place, StepChange

#: Longer values are cut; the JSON form has them whole.
_VALUE = 60
_SIGNS = {"added": "+", "removed": "-", "moved": ">", "changed": "~"}


def as_text(diff: Diff) -> str:
    """The differences for a person: what kind of change, where, and both values."""
    return "\n".join(_lines(diff)) + "\n"


def _lines(diff: Diff) -> Iterator[str]:
    yield f"{diff.workflow_id}  {diff.old_version} → {diff.new_version}"
    if diff.empty:
        yield "no difference" + ("" if diff.old_version == diff.new_version else " but the version")
        return
    yield _summary(diff)
    if diff.document:
        yield "\nDocument"
        yield from _fields(diff.document, "", "  ")
    if diff.steps:
        yield "\nSteps"
        for step in diff.steps:
            yield from _step(step)


def _summary(diff: Diff) -> str:
    counts = [
        f"{len(diff.of_kind(kind))} {kind}"
        for kind in ("added", "removed", "moved", "changed")
        if diff.of_kind(kind)
    ]
    parts = [f"steps: {', '.join(counts)}"] if counts else []
    if diff.document:
        parts.append(f"fields of the document: {len(diff.document)}")
    return "; ".join(parts)


def _step(step: StepChange) -> Iterator[str]:
    line = f"  {_SIGNS[step.kind]} {step.step_id}"
    old, new = step.old_place, step.new_place
    if step.kind == "moved" and old is not None and new is not None:
        line += f"  from {_place(old)} to {_place(new)}"
    elif step.kind == "added" and new is not None:
        line += f"  {_about(step)}, {_place(new)}"
    elif step.kind == "removed" and old is not None:
        line += f"  {_about(step)}, {_place(old)}"
    yield line
    yield from _fields(step.fields, new.pointer if new is not None else "", "      ", step)


def _about(step: StepChange) -> str:
    task = (step.step or {}).get("taskId")
    return f"(task {one_line(str(task))})"


def _place(place: Place) -> str:
    where = f"branch {place.steps}" if place.steps else "the main path"
    return f"{where}, {f'after {place.after}' if place.after else 'first'}"


def _fields(
    fields: Sequence[FieldChange], base: str, pad: str, step: StepChange | None = None
) -> Iterator[str]:
    old_base = step.old_place.pointer if step is not None and step.old_place is not None else ""
    for field in fields:
        root = old_base if field.kind == "removed" else base
        name = one_line(field.pointer.removeprefix(root))
        yield f"{pad}{_SIGNS[field.kind]} {name}: {_values(field)}"


def _values(field: FieldChange) -> str:
    match field.kind:
        case "added":
            return short(field.new, _VALUE)
        case "removed":
            return short(field.old, _VALUE)
        case "changed":
            return f"{short(field.old, _VALUE)} → {short(field.new, _VALUE)}"

"""What changed between two versions of a definition.

Steps are told apart by their ids, wherever they stand; a step has changed when something of its own
has, not when a step in one of its branches has. What is compared is the document as it was written:
a default that is spelled out is a change, since it changes the document's hash.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from definitions.problems import pointer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from definitions.document import Definition
    from definitions.jsontypes import Json, JsonObject

_Parts = tuple[str | int, ...]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    def to_json(self) -> dict[str, Any]:
        """The part as JSON values, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class FieldChange(_Part):
    """One value that differs. ``old`` is absent where it was added, ``new`` where it was removed.

    ``pointer`` is a JSON Pointer into the new document; of what was removed, into the old one.
    """

    kind: Literal["added", "removed", "changed"]
    pointer: str
    old: JsonValue = None
    new: JsonValue = None


class Place(_Part):
    """Where a step stands: its list (``""`` is the main path, else ``step/branch``) and pointer.

    ``after``: the step before it in that list, absent for the first one.
    """

    steps: str
    pointer: str
    after: str | None = None


class StepChange(_Part):
    """A step that is not as it was.

    ``kind`` is ``moved`` when it stands in another list or in another order there, whatever else
    has changed; ``fields`` are its own, and for an added or removed step ``step`` is all of it but
    the steps of its branches.
    """

    kind: Literal["added", "removed", "moved", "changed"]
    step_id: str
    old_place: Place | None = None
    new_place: Place | None = None
    fields: list[FieldChange] = Field(default_factory=list)
    step: dict[str, JsonValue] | None = None


class Diff(_Part):
    """All differences. ``document`` are the fields beside ``steps`` and ``version``."""

    workflow_id: str
    old_version: str
    new_version: str
    document: list[FieldChange] = Field(default_factory=list)
    steps: list[StepChange] = Field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether the two differ in their version at most."""
        return not self.document and not self.steps

    def of_kind(self, kind: Literal["added", "removed", "moved", "changed"]) -> list[StepChange]:
        """The steps that changed in one way."""
        return [step for step in self.steps if step.kind == kind]


class _Found(NamedTuple):
    """A step of a document: its own members and where it stands."""

    own: JsonObject
    parts: _Parts
    place: Place


def diff(old: Definition, new: Definition) -> Diff:
    """Every difference between two definitions, in the order of the new one, removed steps last."""
    before, after = _raw(old), _raw(new)
    return Diff(
        workflow_id=new.workflow_id,
        old_version=old.version,
        new_version=new.version,
        document=list(_fields(_without(before), _without(after), (), ())),
        steps=list(_steps(_found(before), _found(after))),
    )


def _raw(definition: Definition) -> JsonObject:
    return definition.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _without(document: JsonObject) -> JsonObject:
    return {key: value for key, value in document.items() if key not in {"steps", "version"}}


def _found(document: JsonObject) -> dict[str, _Found]:
    return {one.own["stepId"]: one for one in _every(document["steps"], "", ("steps",))}


def _every(steps: Sequence[JsonObject], name: str, parts: _Parts) -> Iterator[_Found]:
    after: str | None = None
    for index, step in enumerate(steps):
        where = (*parts, index)
        branches = step.get("parallelBranches", [])
        own = dict(step)
        if branches:
            # What a branch has beside its steps is the step's own.
            own["parallelBranches"] = [
                {key: value for key, value in branch.items() if key != "steps"}
                for branch in branches
            ]
        place: dict[str, Any] = {"steps": name, "pointer": pointer(*where)}
        yield _Found(own, where, Place(**place, **({"after": after} if after else {})))
        for number, branch in enumerate(branches):
            inner = (*where, "parallelBranches", number, "steps")
            yield from _every(branch["steps"], f"{step['stepId']}/{branch['branchId']}", inner)
        after = step["stepId"]


def _steps(before: dict[str, _Found], after: dict[str, _Found]) -> Iterator[StepChange]:
    moved = _moved(before, after)
    for step_id, new in after.items():
        old = before.get(step_id)
        if old is None:
            yield StepChange(kind="added", step_id=step_id, new_place=new.place, step=new.own)
            continue
        fields = list(_fields(old.own, new.own, old.parts, new.parts))
        if fields or step_id in moved:
            yield StepChange(
                kind="moved" if step_id in moved else "changed",
                step_id=step_id,
                old_place=old.place,
                new_place=new.place,
                fields=fields,
            )
    for step_id, old in before.items():
        if step_id not in after:
            yield StepChange(kind="removed", step_id=step_id, old_place=old.place, step=old.own)


def _moved(before: dict[str, _Found], after: dict[str, _Found]) -> set[str]:
    """The steps in another list, and the fewest that had to move within one."""
    positions = {step_id: position for position, step_id in enumerate(before)}
    moved: set[str] = set()
    lists: dict[str, list[str]] = {}
    for step_id, new in after.items():
        old = before.get(step_id)
        if old is None:
            continue
        if old.place.steps != new.place.steps:
            moved.add(step_id)
        else:
            lists.setdefault(new.place.steps, []).append(step_id)
    for step_ids in lists.values():
        kept = _longest_rising([positions[step_id] for step_id in step_ids])
        moved |= {step_id for index, step_id in enumerate(step_ids) if index not in kept}
    return moved


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """The indexes of a longest rising subsequence; of several, one and always the same."""
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, number in enumerate(numbers):
        length = bisect_left(tails, number)
        previous.append(ends[length - 1] if length else -1)
        if length == len(tails):
            tails.append(number)
            ends.append(index)
        else:
            tails[length], ends[length] = number, index
    kept: set[int] = set()
    index = ends[-1] if ends else -1
    while index >= 0:
        kept.add(index)
        index = previous[index]
    return kept


def _fields(old: Json, new: Json, old_at: _Parts, new_at: _Parts) -> Iterator[FieldChange]:
    """The deepest values that differ; lists of different lengths differ as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in new:
                gone = pointer(*old_at, key)
                yield FieldChange(kind="removed", pointer=gone, old=old[key])
            elif key not in old:
                yield FieldChange(kind="added", pointer=pointer(*new_at, key), new=new[key])
            else:
                yield from _fields(old[key], new[key], (*old_at, key), (*new_at, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _fields(one, other, (*old_at, index), (*new_at, index))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield FieldChange(kind="changed", pointer=pointer(*new_at), old=old, new=new)

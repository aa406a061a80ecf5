"""What can be known of the values in scope, as JSON Schemas.

A schema says more of what a task returns than anybody holds it to, so each is kept with whether it
is sure: that of the input is (a run whose input does not fit never begins), and so is what the
document itself spells out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from definitions.validation.graph import may_be_handled
from definitions.validation.outline import object_of, objects_in, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.jsontypes import Json, JsonObject
    from definitions.tasks import TaskSpec
    from definitions.terms import Path
    from definitions.validation.graph import Flow
    from definitions.validation.outline import RawStep, StepList
    from definitions.validation.places import Place

#: Members by which a schema says more than its ``properties`` do.
_OPEN = frozenset(
    {
        "$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "if", "then", "else",
        "not", "patternProperties", "dependentSchemas", "dependencies", "unevaluatedProperties",
    }
)  # fmt: skip
_ONLY_OBJECT = frozenset({"object"})
_NOTHING: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}


State: TypeAlias = Literal["there", "undeclared", "absent"]


class Shape(NamedTuple):
    """A schema, and whether values are sure to fit it."""

    schema: JsonObject
    sure: bool = True


_ANYTHING = Shape({})


class Found(NamedTuple):
    """Where a path leads to in a schema.

    ``there``: it can be; ``undeclared``: the schema lists others, and leaves open whether there are
    more; ``absent``: it can never be. ``shape`` is what is there; ``length`` how much of the path
    leads to what is missing, in whose place there are the members ``known``.
    """

    state: State
    shape: Shape
    length: int = 0
    known: tuple[str, ...] = ()


def look_up(shape: Shape, path: Path) -> Found:
    """Follows a path of members through a schema."""
    schema: Any = shape.schema
    for depth, part in enumerate(path, 1):
        if not isinstance(schema, dict) or "$ref" in schema:
            return Found("there", _ANYTHING)
        members = schema.get("properties")
        members = members if isinstance(members, dict) else {}
        state = _state_of(part, schema, members)
        if state != "there":
            return Found(state, shape, depth, tuple(members))
        schema = members.get(part, schema.get("additionalProperties"))
        if isinstance(schema, bool):
            schema = None
    return Found("there", Shape(schema if isinstance(schema, dict) else {}, shape.sure))


def _state_of(part: str, schema: JsonObject, members: JsonObject) -> State:
    types = types_of(schema)
    if types is not None and "object" not in types:
        return "absent"
    if part in members:
        return "absent" if members[part] is False else "there"
    if isinstance(schema.get("patternProperties"), dict):
        return "there"
    more = schema.get("additionalProperties")
    if more is False:
        return "absent"
    says_more = more is not None or not members or not _OPEN.isdisjoint(schema)
    return "there" if says_more else "undeclared"


def types_of(schema: JsonObject) -> frozenset[str] | None:
    """The JSON types that a schema allows (whole numbers are numbers), or None for any."""
    if "$ref" in schema:
        return None
    values = values_of(schema)
    if values is not None:
        return frozenset(map(type_of, values))
    types = schema.get("type")
    named = [types] if isinstance(types, str) else types
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        return None
    return frozenset("number" if name == "integer" else name for name in named) or None


def values_of(schema: JsonObject) -> list[Json] | None:
    """The only values that a schema allows, where it lists them."""
    if "$ref" in schema:
        return None
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) and values else None


def type_of(value: Json) -> str:
    """The JSON type of a value."""
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "boolean"),
        ((int, float), "number"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    ]
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def _object(*members: str, closed: bool = False) -> JsonObject:
    schema: JsonObject = {"type": "object", "properties": {name: {} for name in members}}
    return {**schema, "additionalProperties": False} if closed else schema


#: What the built-in tasks return.
_BUILTIN: dict[str, Shape] = {
    "core.noop": Shape(_NOTHING),
    "core.set": Shape(_NOTHING),
    "core.wait": Shape(_NOTHING),
    "core.http": Shape(_object("status", "headers", "body"), sure=False),
    "core.publish": Shape(
        {"type": "object", "properties": {"eventId": {"type": "string"}}}, sure=False
    ),
    "core.approval": Shape(
        {
            "type": "object",
            "properties": {
                "decision": {"enum": ["approved", "rejected"]},
                **{name: {} for name in ("approver", "comment", "payload", "decidedAt")},
                "decisions": {"type": "array"},
            },
        },
        sure=False,
    ),
}
#: What an approval returns that fails when it is rejected.
_APPROVED: JsonObject = {"decision": {"enum": ["approved"]}}
_STEP = ("status", "startedAt", "completedAt", "error", "errors", "compensated")
_SCOPE: dict[str, Shape] = {
    "workflow": Shape(
        _object("id", "version", "executionId", "correlationId", "startedAt"), sure=False
    ),
    "error": Shape(
        _object(
            "type", "code", "message", "details", "stepId", "attempts", "rollback", closed=True
        ),
        sure=False,
    ),
}


@dataclass(slots=True)
class _Merged:
    """Which steps of a list put which members into ``data``, as bits by their positions."""

    anything: int
    members: dict[str, int]


class Scope:
    """What is known of every name at every place of a document."""

    def __init__(self, flow: Flow, catalogue: Mapping[str, TaskSpec] | None) -> None:
        self._flow = flow
        self._catalogue = catalogue or {}
        self._raw: dict[int, Shape] = {}
        self._mapped: dict[int, Shape] = {}
        self._merged: dict[tuple[str | int, ...], _Merged] = {}
        schema = flow.outline.document.get("inputSchema")
        self._input = Shape(schema) if isinstance(schema, dict) else _ANYTHING
        self._variables = self._shape_of_variables()

    def find(self, path: Path, place: Place) -> Found:
        """Where a path leads that is read at a place."""
        head, *rest = path
        if head == "steps" and rest and rest[0] in self._flow.outline.ids:
            step = self._flow.outline.ids[rest[0]]
            found = look_up(self._shape_of_step(step, rest[1:]), tuple(rest[1:]))
            return found._replace(length=found.length + 1)
        if head == "data" and rest and self._may_provide(rest[0], place):
            return Found("there", _ANYTHING)
        return look_up(self._shape_of(head, place), tuple(rest))

    def _shape_of(self, name: str, place: Place) -> Shape:
        if name in {"input", "data"}:
            return self._input
        if name == "variables":
            return self._variables
        if name == "output" and place.step is not None:
            return self._output_at(place, place.step)
        return _SCOPE.get(name, _ANYTHING)

    def _shape_of_step(self, step: RawStep, rest: list[str]) -> Shape:
        stored = self._stored(step)
        schema = _object(*_STEP)
        schema["properties"]["output"] = stored.schema
        return Shape(schema, stored.sure and rest[:1] == ["output"])

    def _output_at(self, place: Place, step: RawStep) -> Shape:
        if place.role == "output":
            return self._raw_output(step)
        if place.role == "compensation" and step.value.get("forEach") is not None:
            return _ANYTHING
        return self._stored(step)

    def _raw_output(self, step: RawStep) -> Shape:
        found = self._raw.get(id(step))
        if found is None:
            found = self._raw[id(step)] = self._reckon_raw_output(step)
        return found

    def _reckon_raw_output(self, step: RawStep) -> Shape:
        shape = _BUILTIN.get(step.task_id or "")
        if shape is None:
            spec = self._catalogue.get(step.task_id or "")
            schema = spec.output_schema if spec is not None else None
            shape = Shape(schema, sure=False) if schema is not None else _ANYTHING
        if step.task_id == "core.approval" and _rejection_fails(step):
            members = {**shape.schema["properties"], **_APPROVED}
            shape = Shape({**shape.schema, "properties": members}, sure=False)
        if step.branches:
            shape = self._with_branches(_stored(shape), step)
        if step.value.get("forEach") is not None:
            shape = Shape({"type": "array", "items": shape.schema}, shape.sure)
        return shape

    def _with_branches(self, shape: Shape, step: RawStep) -> Shape:
        """The task's output with those of the branches laid over it."""
        if types_of(shape.schema) != _ONLY_OBJECT or not _OPEN.isdisjoint(shape.schema):
            return _ANYTHING
        members = dict(shape.schema.get("properties") or {})
        sure = shape.sure
        branches = [branch for _, branch in objects_in(step.value.get("parallelBranches"))]
        for branch, steps in zip(branches, step.branches, strict=True):
            last = self._stored(steps.steps[-1]) if _is_straight(steps) else _ANYTHING
            members[text_of(branch, "branchId") or ""] = last.schema
            sure = sure and last.sure
        return Shape({**shape.schema, "properties": members}, sure)

    def _output(self, step: RawStep) -> Shape:
        """What goes through the ``output`` mapping, or the raw output where there is none."""
        found = self._mapped.get(id(step))
        if found is None:
            given = "output" in step.value
            found = _of_mapping(step.value["output"]) if given else self._raw_output(step)
            self._mapped[id(step)] = found
        return found

    def _stored(self, step: RawStep) -> Shape:
        return _stored(self._output(step))

    def _may_provide(self, member: str, place: Place) -> bool:
        """Whether a step before this place can have put the member into ``data``."""
        step = place.step
        if step is None or place.role == "compensation":
            merged = self._merged_by(self._flow.outline.main.where)
            return bool(merged.anything or merged.members.get(member))
        own = 1 << step.position if place.role == "next" else 0
        at: RawStep | None = step
        while at is not None:
            merged = self._merged_by(at.siblings.where)
            before = self._flow.of(at.siblings).before(at.position) | own
            if before & (merged.anything | merged.members.get(member, 0)):
                return True
            at, own = at.siblings.owner, 0
        return False

    def _merged_by(self, where: tuple[str | int, ...]) -> _Merged:
        found = self._merged.get(where)
        if found is None:
            found = self._merged[where] = _Merged(0, {})
            for step in self._flow.graphs[where].steps.steps:
                bit = 1 << step.position
                schema = self._output(step).schema
                types = types_of(schema)
                if types is not None and "object" not in types:
                    continue
                if schema.get("additionalProperties") is not False or not _OPEN.isdisjoint(schema):
                    found.anything |= bit
                for name in schema.get("properties") or {}:
                    found.members[name] = found.members.get(name, 0) | bit
        return found

    def _shape_of_variables(self) -> Shape:
        given = self._flow.outline.document.get("variables")
        names: dict[str, None] = dict.fromkeys(given) if isinstance(given, dict) else {}
        for step in self._flow.outline.steps:
            for work in (step.value, object_of(step.value, "compensation")):
                if text_of(work, "taskId") == "core.set":
                    written = work.get("input")
                    if not isinstance(written, dict):
                        return _ANYTHING
                    names.update(dict.fromkeys(written))
        return Shape(_object(*names, closed=True))


def _rejection_fails(step: RawStep) -> bool:
    """Whether only an approval can end the step well."""
    given = step.value.get("input")
    return isinstance(given, dict) and given.get("onRejected", "fail") == "fail"


def _is_straight(steps: StepList) -> bool:
    """Whether the list can only end with its last step."""
    return bool(steps.steps) and all(
        step.value.get("next") is None and step.value.get("onFailure") is None
        for step in steps.steps
    )


def _stored(shape: Shape) -> Shape:
    """An object is stored as it is, anything else under ``value``."""
    types = types_of(shape.schema)
    if types == _ONLY_OBJECT:
        return shape
    if types is not None and "object" not in types:
        schema = {"type": "object", "properties": {"value": shape.schema}}
        return Shape({**schema, "additionalProperties": False}, shape.sure)
    return _ANYTHING


def _of_mapping(value: Json) -> Shape:
    return Shape(_schema_of_mapping(value))


def _schema_of_mapping(value: Json) -> JsonObject:
    if isinstance(value, dict):
        members = {key: _schema_of_mapping(member) for key, member in value.items()}
        return {"type": "object", "properties": members, "additionalProperties": False}
    if isinstance(value, str):
        if "${" not in value:
            return {"type": "string"}
        # Text around it makes it text; alone, an expression gives anything.
        return {} if value.startswith("${") else {"type": "string"}
    return {"type": type_of(value)}


def may_leave_error(step: RawStep) -> bool:
    """Whether a run can go on with ``error`` in scope after this step or one in its branches."""
    return may_be_handled(step) or any(
        may_leave_error(inner) for branch in step.branches for inner in branch.steps
    )

"""What a version's steps read from one another, and what their tasks take and give.

Derived from the document and from the task catalogue, for readers: nothing runs by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from definitions.problems import pointer
from definitions.validation.outline import outline_of
from definitions.validation.parsed import expressions_at
from definitions.validation.places import places_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.jsontypes import Json, JsonObject
    from definitions.tasks import TaskSpec
    from definitions.validation.places import Place

BindingType: TypeAlias = Literal["input", "items", "output", "condition", "compensation", "result"]

_TYPES: dict[str, BindingType] = {
    "input": "input",
    "output": "output",
    "next": "condition",
    "compensation": "compensation",
    "result": "result",
}


class Binding(NamedTuple):
    """One reference of one expression.

    ``target`` is the id of the step that reads (``None``: the document's own ``output``),
    ``source`` of the step that is read, where it is one. ``source_path`` is the reference, as in
    ``steps.charge.output.id``; ``target_path`` the JSON Pointer of the text that makes it.
    """

    type: BindingType
    source: str | None
    source_path: str
    target: str | None
    target_path: str
    expression: str


class Requirement(NamedTuple):
    """One field of what a task takes (``input``) or gives (``output``).

    ``type`` is its JSON type, where it has one; ``rules`` the rest of its schema.
    """

    io: Literal["input", "output"]
    name: str
    type: str | None
    required: bool
    default: Json
    has_default: bool
    rules: JsonObject
    description: str | None


def data_bindings(document: Json) -> list[Binding]:
    """What the mappings and conditions of a document read, each reference of a text once."""
    found: dict[tuple[str, str], Binding] = {}
    for place in places_of(outline_of(document)):
        kind = _type_of(place)
        if kind is None:
            continue
        for where, expression in expressions_at(place):
            for reference in expression.references:
                path = reference.path
                binding = Binding(
                    kind,
                    path[1] if path[0] == "steps" and len(path) > 1 else None,
                    str(reference),
                    place.step.step_id if place.step is not None else None,
                    pointer(*where),
                    expression.text,
                )
                found.setdefault((binding.target_path, binding.source_path), binding)
    return list(found.values())


def _type_of(place: Place) -> BindingType | None:
    return "items" if place.kind == "items" else _TYPES.get(place.role)


def task_requirements(task: TaskSpec) -> list[Requirement]:
    """The fields of a task's schemas, as far as they are objects."""
    return [
        *_fields("input", task.input_schema or {}),
        *_fields("output", task.output_schema or {}),
    ]


def _fields(io: Literal["input", "output"], schema: JsonObject) -> Iterator[Requirement]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict):
        return
    needed = required if isinstance(required, list) else []
    for name, given in properties.items():
        # A field's schema can be `true`, and it can stand elsewhere in the same schema.
        field = _target(schema, given) if isinstance(given, dict) else {}
        kind, description = field.get("type"), field.get("description")
        known = {"type"} if isinstance(kind, str) else set()
        if isinstance(description, str):
            known.add("description")
        yield Requirement(
            io,
            name,
            kind if isinstance(kind, str) else None,
            name in needed,
            field.get("default"),
            "default" in field,
            {key: value for key, value in field.items() if key not in known | {"default"}},
            description if isinstance(description, str) else None,
        )


def _target(schema: JsonObject, field: JsonObject) -> JsonObject:
    """A field's schema with what it refers to by ``#/$defs/…`` beneath its own members."""
    reference, definitions = field.get("$ref"), schema.get("$defs")
    if not isinstance(reference, str) or not isinstance(definitions, dict):
        return field
    target = definitions.get(reference.removeprefix("#/$defs/"))
    if not isinstance(target, dict):
        return field
    return {**target, **{key: value for key, value in field.items() if key != "$ref"}}

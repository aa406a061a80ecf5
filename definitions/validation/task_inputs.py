"""The literals of a task's input against the schema that the task was registered with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from definitions.inputs import check_input, violations
from definitions.problems import pointer
from definitions.schemas import InvalidSchemaError, compile_schema
from definitions.templates import TemplateError, parse_mapping, split_template
from definitions.validation.outline import object_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from definitions.jsontypes import Json, JsonObject
    from definitions.schemas import Validator
    from definitions.tasks import TaskSpec
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.outline import Outline

#: Where a schema has one of these, what is wrong with a member can hang on another one.
_ENTANGLED = frozenset(
    {
        "anyOf", "oneOf", "if", "not", "dependentSchemas", "dependentRequired", "dependencies",
        "contains", "uniqueItems", "unevaluatedProperties", "unevaluatedItems",
    }
)  # fmt: skip
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


def check_task_inputs(
    outline: Outline, findings: Findings, catalogue: Mapping[str, TaskSpec] | None
) -> None:
    """What is spelled out in an input fits the task's schema."""
    known = catalogue or {}
    schemas: dict[str, _Schema | None] = {}
    for step in outline.steps:
        compensation = object_of(step.value, "compensation")
        for work, where in (
            (step.value, step.where),
            (compensation, (*step.where, "compensation")),
        ):
            task_id = text_of(work, "taskId") or ""
            if task_id not in schemas:
                schemas[task_id] = _schema_of(known.get(task_id))
            schema = schemas[task_id]
            if schema is not None and "input" in work:
                for place, message in _misfits(work["input"], schema):
                    findings.add(
                        (*where, "input", *place),
                        "input_does_not_fit",
                        f"the task does not take this input: {message}",
                    )


def misfits(value: Json, schema: JsonObject) -> Iterator[tuple[Parts, str]]:
    """What is spelled out in a mapping and does not fit a schema: where in it, and a sentence.

    A schema that is unusable itself finds nothing; that is said elsewhere.
    """
    usable = _usable(schema)
    return _misfits(value, usable) if usable is not None else iter(())


class _Schema(NamedTuple):
    """A task's input schema, with a validator where checking cannot take long."""

    schema: JsonObject
    validator: Validator | None
    entangled: bool


def _schema_of(spec: TaskSpec | None) -> _Schema | None:
    if spec is None or spec.input_schema is None:
        return None
    return _usable(spec.input_schema)


def _usable(schema: JsonObject) -> _Schema | None:
    try:
        validator = compile_schema(schema)
    except InvalidSchemaError:
        return None
    plain = not _has(schema, _REFERENCES)
    return _Schema(schema, validator if plain else None, _has(schema, _ENTANGLED))


def _misfits(value: Json, schema: _Schema) -> Iterator[tuple[Parts, str]]:
    open_places = {pointer(*place) for place in _open_places(value, ())}
    if open_places and (schema.entangled or "" in open_places):
        return
    plain = _plain(value)
    found = (
        violations(schema.validator, plain)
        if schema.validator is not None
        else check_input(schema.schema, plain)
    )
    for problem in found:
        of_members = problem.code in {"value_missing", "value_unknown"}
        if any(_hangs_on(problem.pointer, place, of_members) for place in open_places):
            continue
        yield _parts(problem.pointer, value), problem.message


def _hangs_on(place: str, open_place: str, of_members: bool) -> bool:
    """Whether a problem may be gone once an open place has its value.

    Which members there are does not hang on what is in them.
    """
    if place.startswith(f"{open_place}/"):
        return True
    return not of_members and (place == open_place or open_place.startswith(f"{place}/"))


def _open_places(value: Json, where: Parts) -> Iterator[Parts]:
    """The places of the strings that are known only when the step runs."""
    if isinstance(value, str):
        try:
            known = all(not is_expression for is_expression, _ in split_template(value))
        except ValueError:
            known = False
        if not known:
            yield where
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _open_places(item, (*where, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _open_places(item, (*where, key))


def _plain(value: Json) -> Json:
    """The input with ``$${`` as ``${``; what is open stays as it is."""
    if isinstance(value, str):
        try:
            mapping = parse_mapping(value, frozenset())
        except TemplateError:
            return value
        return mapping.evaluate({}) if mapping.constant else value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _has(schema: Json, keywords: frozenset[str]) -> bool:
    if isinstance(schema, dict):
        return not keywords.isdisjoint(schema) or any(
            _has(member, keywords) for member in schema.values()
        )
    return isinstance(schema, list) and any(_has(item, keywords) for item in schema)


def _parts(where: str, value: Json) -> Parts:
    """A pointer as keys and indexes."""
    parts: list[str | int] = []
    at = value
    for raw in where.split("/")[1:]:
        key = raw.replace("~1", "/").replace("~0", "~")
        part = int(key) if isinstance(at, list) and key.isdecimal() else key
        parts.append(part)
        if isinstance(at, list) and isinstance(part, int):
            at = at[part] if part < len(at) else None
        else:
            at = at.get(key) if isinstance(at, dict) else None
    return tuple(parts)

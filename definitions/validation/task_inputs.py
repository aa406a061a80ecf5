"""The literals of a task's input against the schema that the task was registered with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.inputs import check_input
from definitions.jsongate import MAX_DEPTH
from definitions.problems import pointer
from definitions.templates import TemplateError, parse_mapping, split_template
from definitions.validation.outline import object_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from definitions.jsontypes import Json, JsonObject
    from definitions.tasks import TaskSpec
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.outline import Outline

#: Where a schema has one of these, what is wrong with a member can hang on another one.
_ENTANGLED = frozenset(
    {
        "anyOf", "oneOf", "if", "not", "dependentSchemas", "dependentRequired", "dependencies",
        "contains", "uniqueItems", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
        "$recursiveRef",
    }
)  # fmt: skip


def check_task_inputs(
    outline: Outline, findings: Findings, catalogue: Mapping[str, TaskSpec] | None
) -> None:
    """What is spelled out in an input fits the task's schema."""
    for step in outline.steps:
        compensation = object_of(step.value, "compensation")
        for work, where in (
            (step.value, step.where),
            (compensation, (*step.where, "compensation")),
        ):
            spec = (catalogue or {}).get(text_of(work, "taskId") or "")
            if spec is not None and spec.input_schema is not None and "input" in work:
                _check(work["input"], spec.input_schema, (*where, "input"), findings)


def _check(value: Json, schema: JsonObject, where: Parts, findings: Findings) -> None:
    open_places = {pointer(*place) for place in _open_places(value, ())}
    if open_places and (_entangled(schema) or "" in open_places):
        return
    for problem in check_input(schema, _plain(value)):
        if problem.code not in {"value_missing", "value_unknown"} and any(
            _overlap(problem.pointer, place) for place in open_places
        ):
            continue
        if any(problem.pointer.startswith(f"{place}/") for place in open_places):
            continue
        parts = _parts(problem.pointer, value)
        message = f"the task does not take this input: {problem.message}"
        findings.add((*where, *parts), "input_does_not_fit", message)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


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


def _entangled(schema: Json, depth: int = 0) -> bool:
    if isinstance(schema, dict):
        return not _ENTANGLED.isdisjoint(schema) or any(
            _entangled(member, depth + 1) for member in schema.values()
        )
    if isinstance(schema, list):
        return depth > MAX_DEPTH or any(_entangled(item, depth + 1) for item in schema)
    return False


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

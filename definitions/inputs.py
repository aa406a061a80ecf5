"""Does a value fit a schema: a run's input and ``inputSchema``, a decision's payload and its form.

All violations at once, each as a ``Problem`` with a sentence of ours; the value itself is never
quoted, because it may hold what must not be logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.jsongate import JsonGateError, check
from definitions.problems import Problem, pointer
from definitions.schema_work import too_much_work
from definitions.schemas import InvalidSchemaError, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import jsonschema_rs

    from definitions.jsontypes import Json, JsonObject
    from definitions.problem_codes import Code
    from definitions.schemas import Validator

#: More violations than anyone reads; the rest is cut off.
MAX_PROBLEMS = 1_000

_CODES: dict[str, Code] = {
    "required": "value_missing",
    "additionalProperties": "value_unknown",
    "unevaluatedProperties": "value_unknown",
    "falseSchema": "value_unknown",
    "additionalItems": "value_unknown",
    "unevaluatedItems": "value_unknown",
    "type": "value_wrong_type",
    "enum": "value_not_allowed",
    "const": "value_not_allowed",
    "minimum": "value_out_of_range",
    "maximum": "value_out_of_range",
    "exclusiveMinimum": "value_out_of_range",
    "exclusiveMaximum": "value_out_of_range",
    "multipleOf": "value_out_of_range",
    "minLength": "value_out_of_range",
    "maxLength": "value_out_of_range",
    "minItems": "value_out_of_range",
    "maxItems": "value_out_of_range",
    "minProperties": "value_out_of_range",
    "maxProperties": "value_out_of_range",
    "pattern": "value_bad_format",
    "format": "value_bad_format",
}

_LIMITS = {
    "minimum": "must be at least {limit}",
    "maximum": "must be at most {limit}",
    "exclusiveMinimum": "must be more than {limit}",
    "exclusiveMaximum": "must be less than {limit}",
    "multipleOf": "must be a multiple of {multiple_of}",
    "minLength": "must have at least {limit} characters",
    "maxLength": "must have at most {limit} characters",
    "minItems": "must have at least {limit} items",
    "maxItems": "must have at most {limit} items",
    "minProperties": "must have at least {limit} members",
    "maxProperties": "must have at most {limit} members",
    "pattern": "does not match the pattern {pattern}",
    "format": "is not of the format {format}",
}

_OTHERS = {
    "enum": "is not one of the allowed values",
    "const": "is not the one allowed value",
    "uniqueItems": "must not have the same item twice",
    "contains": "lacks an item that must be there",
    "propertyNames": "has a member whose name is not allowed",
    "not": "has a shape that is not allowed",
    "anyOf": "fits none of the allowed shapes",
    "oneOf": "must fit exactly one of the allowed shapes",
    "falseSchema": "must not be there",
    "additionalItems": "has more items than are allowed",
    "unevaluatedItems": "has more items than are allowed",
}

_TYPES = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def check_input(schema: JsonObject | None, value: Json) -> list[Problem]:
    """What keeps a value from fitting a schema; an empty list when it fits.

    Args:
        schema: A JSON Schema (2020-12 unless it says otherwise), or None for "anything goes".
        value: Any JSON value.

    Returns:
        Problems whose pointers lead into ``value``; a missing member names its parent. A value that
        the JSON gate refuses has that one problem, a schema that cannot be used has the schema's,
        with the empty pointer. Never raises.
    """
    try:
        check(value)
    except JsonGateError as error:
        return [Problem(pointer=error.pointer, code=error.code, message=error.message)]
    if schema is None:
        return []
    try:
        validator = compile_schema(schema)
    except InvalidSchemaError as error:
        return [Problem(pointer="", code=p.code, message=p.message) for p in error.problems]
    if too_much_work(schema, value):
        message = "the schema and the value together take too much work to check"
        return [Problem(pointer="", code="value_mismatch", message=message)]
    return violations(validator, value)


def violations(validator: Validator, value: Json) -> list[Problem]:
    """As ``check_input``, where schema and value are known to be harmless."""
    found: dict[Problem, None] = {}
    for violation in validator.iter_errors(value):
        found.update(dict.fromkeys(_problems(violation, value)))
        if len(found) >= MAX_PROBLEMS:
            break
    return list(found)[:MAX_PROBLEMS]


def _problems(error: jsonschema_rs.ValidationError, value: Json) -> Iterator[Problem]:
    keyword = error.kind.name
    where = list(error.instance_path)
    if keyword in {"anyOf", "oneOf"}:
        yield from _problems_of_choice(error, value)
        return
    code = _CODES.get(keyword, "value_mismatch")
    if (unexpected := _unexpected(error, value)) is not None:
        for name in unexpected:
            yield Problem(
                pointer=pointer(*where, name), code=code, message=f"{name} is not a known member"
            )
        return
    name = _name(where)
    yield Problem(pointer=pointer(*where), code=code, message=_sentence(keyword, name, error))


def _unexpected(error: jsonschema_rs.ValidationError, value: Json) -> list[str] | None:
    """The members that are not allowed, where the rule is about members."""
    if error.kind.name in {"additionalProperties", "unevaluatedProperties"}:
        return list(error.kind.as_dict()["unexpected"])
    if error.kind.name == "falseSchema" and error.schema_path[-1:] == ["additionalProperties"]:
        # Where a schema names no properties, the library speaks of one member and does not say
        # which: all of them are unexpected.
        found = value
        for part in error.instance_path:
            found = found[part]
        return list(found) if isinstance(found, dict) else None
    return None


def _problems_of_choice(error: jsonschema_rs.ValidationError, value: Json) -> Iterator[Problem]:
    """Those of the one branch that was meant: the only one that takes the value's type."""
    where = list(error.instance_path)
    fitting: list[list[jsonschema_rs.ValidationError]] = []
    types: dict[str, None] = {}
    for branch in error.kind.as_dict().get("context", []):
        wrong = [e for e in branch if e.kind.name == "type" and list(e.instance_path) == where]
        if not wrong:
            fitting.append(branch)
        for inner in wrong:
            types.update(dict.fromkeys(inner.kind.as_dict()["types"]))
    if len(fitting) == 1 and fitting[0]:
        for inner in fitting[0]:
            yield from _problems(inner, value)
        return
    name = _name(where)
    if types and not fitting:
        message = f"{name} must be {_one_of(types)}"
        yield Problem(pointer=pointer(*where), code="value_wrong_type", message=message)
        return
    message = f"{name} {_OTHERS[error.kind.name]}"
    yield Problem(pointer=pointer(*where), code="value_mismatch", message=message)


def _one_of(types: Iterable[str]) -> str:
    return " or ".join(_TYPES.get(name, name) for name in types)


def _sentence(keyword: str, name: str, error: jsonschema_rs.ValidationError) -> str:
    facts = error.kind.as_dict()
    if keyword == "required":
        return f"{facts['property']} is missing in {name}"
    if keyword == "type":
        return f"{name} must be {_one_of(facts['types'])}"
    if keyword in _LIMITS:
        return f"{name} {_LIMITS[keyword].format(**facts)}"
    return f"{name} {_OTHERS.get(keyword, f'breaks the rule {keyword} of the schema')}"


def _name(where: list[str | int]) -> str:
    """What a sentence calls a place: ``items[2].price``."""
    if not where:
        return "the value"
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".")

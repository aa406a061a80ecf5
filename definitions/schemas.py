"""JSON Schemas that teams bring along: an ``inputSchema``, the form of an approval.

``jsonschema-rs`` does the work, told to fetch nothing and to use an engine for regular expressions
that does not backtrack. What it still leaves open is bounded here: the size of a compiled pattern
and their number. (The work of a validation is bounded in ``definitions.inputs``.)
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jsonschema_rs

from definitions.jsongate import JsonGateError, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.jsontypes import Json, JsonObject
    from definitions.problem_codes import Code

Validator: TypeAlias = jsonschema_rs.Validator
Parts: TypeAlias = tuple[str | int, ...]

#: How many patterns one schema may have: each can take a megabyte and some milliseconds.
MAX_PATTERNS = 200
_PATTERN_BYTES = 1024 * 1024
_DEFAULT_DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: Members of a schema that hold data, in which ``$ref`` and ``pattern`` mean nothing.
_DATA = frozenset({"const", "default", "enum", "examples"})


class SchemaProblem(NamedTuple):
    """What is wrong with a schema. ``where`` leads to it inside the schema."""

    where: Parts
    code: Code
    message: str


class InvalidSchemaError(ValueError):
    """A schema that cannot be used. ``problems`` holds all that could be found."""

    def __init__(self, problems: list[SchemaProblem]) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


def compile_schema(schema: JsonObject) -> Validator:
    """A validator for a schema, kept for the next one with the same content.

    Formats (``email``, ``date-time``, …) are checked, in every draft.

    Raises:
        InvalidSchemaError: It breaks its draft's rules, refers to something that is not in it, or
            is over a bound.
    """
    try:
        check(schema)
    except JsonGateError as error:
        raise InvalidSchemaError([SchemaProblem((), error.code, error.message)]) from None
    return _compile(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=512)
def _compile(text: str) -> Validator:
    schema = json.loads(text)
    patterns = _patterns(schema)
    if next((where for number, where in enumerate(patterns) if number >= MAX_PATTERNS), None):
        message = f"the schema has more than {MAX_PATTERNS} patterns"
        raise InvalidSchemaError([SchemaProblem((), "invalid_schema", message)])
    if problems := _broken_rules(schema):
        raise InvalidSchemaError(problems)
    try:
        return _validator(schema)
    except jsonschema_rs.ValidationError as error:
        raise InvalidSchemaError(_unresolved(schema, error)) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        message = f"the schema cannot be used: {error}"
        raise InvalidSchemaError([SchemaProblem((), "invalid_schema", message)]) from None


def _validator(schema: JsonObject) -> Validator:
    return jsonschema_rs.validator_for(
        schema,
        offline=True,
        validate_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(
            size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES
        ),
    )


@lru_cache(maxsize=16)
def _rules_of(draft: str) -> Validator:
    return _validator({"$schema": draft, "$ref": draft})


def _broken_rules(schema: JsonObject) -> list[SchemaProblem]:
    """What the schema of schemas says, all at once."""
    draft = schema.get("$schema", _DEFAULT_DRAFT)
    try:
        rules = _rules_of(draft if isinstance(draft, str) else _DEFAULT_DRAFT)
    except (ValueError, jsonschema_rs.ReferencingError):
        message = f"the draft {draft!r:.100} is not known; leave $schema out for 2020-12"
        return [SchemaProblem(("$schema",), "invalid_schema", message)]
    return [
        SchemaProblem(tuple(error.instance_path), "invalid_schema", _sentence(error))
        for error in rules.iter_errors(schema)
    ]


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    keyword = error.kind.name
    name = next((str(p) for p in reversed(error.instance_path) if isinstance(p, str)), "the schema")
    if keyword == "type":
        return f"{name} must be {' or '.join(error.kind.as_dict()['types'])} in a JSON Schema"
    if name == "type":
        return "type must be a JSON type (string, number, integer, boolean, object, array, null)"
    if keyword == "format" or name in {"pattern", "patternProperties"}:
        return (
            f"{name} is not a regular expression that can be used here "
            "(no look-around, no back-references)"
        )
    return f"{name} breaks the rules of JSON Schema ({keyword})"


def _unresolved(schema: JsonObject, error: jsonschema_rs.ValidationError) -> list[SchemaProblem]:
    """The places of the references that the compiler could not follow."""
    if error.kind.name != "$ref":
        where = tuple(error.instance_path)
        return [SchemaProblem(where, "invalid_schema", _sentence(error))]
    remote = [
        SchemaProblem(
            where,
            "remote_schema_reference",
            f"{ref!r:.100} is in another place, and nothing is ever fetched: "
            "put the schema under $defs",
        )
        for where, ref in _references(schema)
        if not ref.startswith("#")
    ]
    if "Retriev" in error.message or "retriev" in error.message:
        return remote or [SchemaProblem((), "remote_schema_reference", error.message)]
    local = [
        SchemaProblem(where, "invalid_schema", f"{ref!r:.100} leads to nothing in the schema")
        for where, ref in _references(schema)
        if ref.startswith("#") and len(ref) > 1 and f"'{ref[1:]}'" in error.message
    ]
    return local or [SchemaProblem((), "invalid_schema", error.message)]


def _members(value: Json, where: Parts = ()) -> Iterator[tuple[Parts, str, Any]]:
    """Every member of every object of a schema, data left out. Its depth is bounded."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _members(item, (*where, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield where, key, item
            if key not in _DATA:
                yield from _members(item, (*where, key))


def _references(schema: JsonObject) -> Iterator[tuple[Parts, str]]:
    for where, key, value in _members(schema):
        if key in {"$ref", "$dynamicRef", "$recursiveRef"} and isinstance(value, str):
            yield (*where, key), value


def _patterns(schema: JsonObject) -> Iterator[Parts]:
    for where, key, value in _members(schema):
        if key == "pattern" and isinstance(value, str):
            yield (*where, key)
        elif key == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                yield (*where, key, pattern)

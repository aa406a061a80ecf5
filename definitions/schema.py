"""The published JSON Schemas: of the document, of the start object, and of the task catalogue.

They are made from the models, so that they cannot say something else. What a schema cannot express
(a description's length in bytes, the targets of steps, expressions) is left to validation: each
document that validates fits the schema, but not the other way round.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from definitions.declared import LIMITS, RESERVED, RESERVED_QUEUE, TaskCatalogue
from definitions.document import Definition
from definitions.durations import CALENDAR_PATTERN, EXACT_PATTERN
from definitions.schema_descriptions import DESCRIPTIONS
from definitions.start import StartRequest

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: https://semver.org, its own suggestion, without groups.
VERSION_PATTERN = (
    r"^(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)"
    r"(?:-(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$"
)
_EXACT = {"pattern": EXACT_PATTERN}
#: What the models check in code, by the name of the property.
_MORE_RULES: dict[str, JsonObject] = {
    "version": {"pattern": VERSION_PATTERN},
    "description": {"maxLength": 1024},
    "delay": _EXACT,
    "maxDelay": _EXACT,
    "timeout": _EXACT,
    "attemptTimeout": _EXACT,
    "heartbeatTimeout": _EXACT,
    "retention": {"pattern": CALENDAR_PATTERN},
    "variables": {"propertyNames": {"minLength": 1}},
}


def definition_schema() -> JsonObject:
    """The JSON Schema (draft 2020-12) of a workflow definition."""
    schema = Definition.model_json_schema(by_alias=True)
    schema = _finish("Definition", schema, open_keys=True)
    return _with_head("definition", "Workflow definition", schema)


def start_schema() -> JsonObject:
    """The JSON Schema (draft 2020-12) of the object that starts a run."""
    schema = _finish("StartRequest", StartRequest.model_json_schema(by_alias=True), open_keys=False)
    schema["oneOf"] = [
        {"required": ["workflowId"], "properties": {"workflowId": {"type": "string"}}},
        {"required": ["definition"], "properties": {"definition": {"type": "object"}}},
        {"required": ["rerun"], "properties": {"rerun": {"type": "object"}}},
    ]
    schema["allOf"] = [
        {
            "if": {"required": [name], "properties": {name: {"type": "object"}}},
            "then": {"properties": {"version": {"type": "null"}}},
        }
        for name in ("definition", "rerun")
    ]
    return _with_head("start", "Start of a run", schema)


def catalogue_schema() -> JsonObject:
    """The JSON Schema (draft 2020-12) of a task catalogue."""
    schema = TaskCatalogue.model_json_schema(by_alias=True)
    schema = _finish("TaskCatalogue", schema, open_keys=True)
    task = schema["$defs"]["DeclaredTask"]
    task["properties"]["taskId"]["not"] = {"pattern": f"^{re.escape(RESERVED)}"}
    task["properties"]["taskQueue"]["not"] = {"pattern": f"^{re.escape(RESERVED_QUEUE)}"}
    task["anyOf"] = [{"required": [limit]} for limit in LIMITS]
    return _with_head("catalogue", "Task catalogue", schema)


def _with_head(name: str, title: str, schema: JsonObject) -> JsonObject:
    head = {"$schema": _DRAFT, "$id": f"urn:steploom:{name}", "title": title}
    return {**head, **{key: value for key, value in schema.items() if key not in head}}


def _finish(name: str, schema: JsonObject, *, open_keys: bool) -> JsonObject:
    """Pydantic's schema, with what it does not say of the models added."""
    parts = schema.get("$defs", {})
    for part_name, part in {name: schema, **parts}.items():
        if "properties" in part:
            _finish_object(part_name, part, open_keys=open_keys)
    return schema


def _finish_object(name: str, part: JsonObject, *, open_keys: bool) -> None:
    part.pop("title", None)
    if open_keys:
        part["patternProperties"] = {"^x-": {}}
    part["additionalProperties"] = False
    for key, member in part["properties"].items():
        member.pop("title", None)
        if member.get("default", ...) is None:
            del member["default"]
        if key in _MORE_RULES:
            _add(member, _MORE_RULES[key])
        if (description := DESCRIPTIONS.get(f"{name}.{key}")) is not None:
            member["description"] = description


def _add(member: JsonObject, rules: JsonObject) -> None:
    """Adds rules to a property, or to the part of it that is not null."""
    choices: list[Any] = member.get("anyOf", [member])
    for choice in choices:
        if choice.get("type") != "null":
            choice.update(rules)

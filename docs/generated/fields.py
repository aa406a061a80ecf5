"""The fields of the document, of the start object and of the task catalogue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from definitions import document
from definitions.declared import DeclaredTask
from definitions.durations import CALENDAR_PATTERN, EXACT_PATTERN
from definitions.schema import (
    VERSION_PATTERN,
    catalogue_schema,
    definition_schema,
    start_schema,
)
from definitions.start import RerunRequest, StartRequest
from generated.markdown import table

if TYPE_CHECKING:
    from pydantic import BaseModel

    from definitions.jsontypes import JsonObject

Row: TypeAlias = tuple[str, str, str, str]
_HEAD = ("field", "type", "default", "meaning")
#: The objects inside the document in the order in which a reader meets them, by where they stand.
_INSIDE = {
    "Transition": "next[]",
    "Branch": "parallelBranches[]",
    "ForEach": "forEach",
    "RetryPolicy": "retryPolicy",
    "OnFailure": "onFailure",
    "ErrorHandler": "onFailure.errorHandler",
    "ErrorCondition": "onFailure.errorHandler.conditions[]",
    "Compensation": "compensation",
    "Rollback": "rollback",
    "ExecutionLog": "executionLog",
    "Trigger": "triggers[]",
    "Transform": "triggers[].transform",
    "UiComponent": "uiComponents[]",
}
_PATTERNS = {
    EXACT_PATTERN: "duration",
    CALENDAR_PATTERN: "duration, years and months allowed",
    VERSION_PATTERN: "semantic version",
}
_NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "object": "object",
    "boolean": "boolean",
}


def document_fields() -> str:
    """A table for the document, one for a step, and one for the objects inside them.

    Raises:
        KeyError: The document has an object of which this module does not know where it stands.
    """
    schema = definition_schema()
    parts = schema["$defs"]
    if missing := set(parts) - set(_INSIDE) - {"Step", "JsonValue"}:
        raise KeyError(f"where do these stand: {sorted(missing)}")
    models = vars(document)
    inside = [
        row
        for name, place in _INSIDE.items()
        for row in _rows(models[name], parts[name], prefix=f"{place}.")
    ]
    made = [
        "### Fields of the document",
        table(_HEAD, _rows(document.Definition, schema)),
        "### Fields of a step",
        table(_HEAD, _rows(document.Step, parts["Step"])),
        "### Fields of the objects in them",
        table(_HEAD, inside),
    ]
    return "\n\n".join(made)


def start_fields() -> str:
    """The table of the start object, and of the object in it."""
    schema = start_schema()
    inside = _rows(RerunRequest, schema["$defs"]["RerunRequest"], prefix="rerun.")
    return table(_HEAD, [*_rows(StartRequest, schema), *inside])


def catalogue_fields() -> str:
    """The table of a task in a catalogue."""
    return table(_HEAD, _rows(DeclaredTask, catalogue_schema()["$defs"]["DeclaredTask"]))


def _rows(model: type[BaseModel], schema: JsonObject, *, prefix: str = "") -> list[Row]:
    defaults = {
        field.alias or name: "required" if field.is_required() else _default(field)
        for name, field in model.model_fields.items()
    }
    return [
        (f"`{prefix}{name}`", _type(one), defaults[name], one.get("description", ""))
        for name, one in schema["properties"].items()
    ]


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return ""
    if hasattr(value, "model_dump"):
        return "`{}`"
    return f"`{json.dumps(value)}`"


def _type(schema: JsonObject) -> str:
    choices = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    [only] = choices
    if (ref := only.get("$ref")) is not None:
        name = ref.rpartition("/")[2]
        return "any JSON" if name == "JsonValue" else "object"
    if "enum" in only:
        return ", ".join(f"`{one}`" for one in only["enum"])
    if only["type"] == "array":
        least = ", at least 1" if only.get("minItems") else ""
        return f"list of {_plural(_type(only['items']))}{least}"
    if (pattern := only.get("pattern")) is not None:
        if pattern not in _PATTERNS:
            return f"`{pattern}`"
        kind = _PATTERNS[pattern]
    else:
        kind = _NAMES[only["type"]]
    return kind + _limits(only)


def _plural(kind: str) -> str:
    return {"text": "texts", "object": "objects"}.get(kind, kind)


def _limits(schema: JsonObject) -> str:
    if "maxLength" in schema:
        low = schema.get("minLength")
        least = f"{low} to " if low is not None else "up to "
        return f", {least}{schema['maxLength']:,} characters"
    if "maxProperties" in schema:
        return f" of texts, up to {schema['maxProperties']} members"
    if "minLength" in schema:
        return ", not empty"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low:,g} to {high:,.0f}"
    return f", from {low:g}" if low is not None else ""

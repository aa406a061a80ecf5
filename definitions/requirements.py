"""What operators say of the fields that steps take and give, beyond what their tasks say.

A task's own schemas are the task's to hold. Here is what somebody has changed of them in
``node_io_requirements``: a default, a field that has to be there, a rule for its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from definitions.inputs import check_input
from definitions.schemas import compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from definitions.jsontypes import Json, JsonObject
    from definitions.problems import Problem


class FieldRow(BaseModel):
    """A row of ``node_io_requirements``. ``described``: what the task's schemas say, if anything.

    ``default`` null: there is none.
    """

    model_config = ConfigDict(frozen=True)

    step_id: str
    io: Literal["input", "output"]
    name: str
    type: str | None = None
    required: bool = False
    default: Any = None
    rules: Any = None
    described: Any = None


class FieldRules(BaseModel):
    """Of the fields of one input, or of one output: a JSON Schema of them all, and defaults."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rules: dict[str, Any] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)

    def apply(self, value: Json) -> tuple[Json, list[Problem]]:
        """The value with defaults for the members that it lacks, and what it breaks then."""
        if isinstance(value, dict):
            value = {**self.defaults, **value}
        return value, check_input(self.rules, value) if self.rules else []


class StepRequirements(BaseModel):
    """What was said of one step. It stands in histories, so it only grows."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    input: FieldRules | None = None
    output: FieldRules | None = None


def step_requirements(rows: Iterable[FieldRow]) -> dict[str, StepRequirements]:
    """What the rows say beyond what the tasks' schemas say, by the ids of the steps.

    Raises:
        InvalidSchemaError: The rules of a field are no JSON Schema.
    """
    found: dict[str, dict[str, FieldRules]] = {}
    for row in rows:
        rules = found.setdefault(row.step_id, {}).setdefault(row.io, FieldRules())
        _add(row, rules)
    for sides in found.values():
        for rules in sides.values():
            compile_schema(rules.rules)
    return {
        step_id: StepRequirements(**{io: rules for io, rules in sides.items() if _says(rules)})
        for step_id, sides in found.items()
        if any(map(_says, sides.values()))
    }


def _says(rules: FieldRules) -> bool:
    return bool(rules.rules or rules.defaults)


def _add(row: FieldRow, rules: FieldRules) -> None:
    said = row.described if isinstance(row.described, dict) else {}
    schema: JsonObject = {}
    if row.type is not None and row.type != said.get("type"):
        schema["type"] = row.type
    if isinstance(row.rules, dict) and row.rules != said.get("rules"):
        schema.update(row.rules)
    if row.default is not None and row.default != said.get("default"):
        rules.defaults[row.name] = row.default
    required = row.required and not said.get("required")
    if schema or required:
        rules.rules["type"] = "object"
    if schema:
        rules.rules.setdefault("properties", {})[row.name] = schema
    if required:
        rules.rules.setdefault("required", []).append(row.name)

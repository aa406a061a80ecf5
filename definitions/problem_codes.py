"""Every code that a problem can have, with its meaning and the smallest thing that yields it.

A code never changes its meaning; a new rule gets a new code. ``Code`` lets the type checker hold
that no other one is ever used, and a test holds that each example really yields its code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from definitions.problem_examples import (
    CATALOGUES,
    DECLARED,
    DOCUMENTS,
    REGISTERED,
    TEXTS,
    VALUES,
    Repeated,
    ValueExample,
)

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject

Severity: TypeAlias = Literal["error", "warning"]

GateCode: TypeAlias = Literal[
    "invalid_json", "trailing_data", "invalid_utf8", "text_too_long", "duplicate_key",
    "not_a_number", "number_out_of_range", "null_character", "lone_surrogate", "too_deep",
    "too_many_values", "not_json",
]  # fmt: skip
DocumentCode: TypeAlias = Literal[
    "document_too_large", "unknown_field", "missing_field", "wrong_type", "not_one_of",
    "invalid_id", "invalid_version", "invalid_duration", "empty", "too_long", "out_of_range",
    "duplicate_step_id", "duplicate_branch_id", "unknown_target", "target_in_other_list",
    "unknown_core_task", "unknown_task", "unregistered_task",
    "invalid_schema", "remote_schema_reference",
    "invalid_expression", "invalid_template", "name_not_in_scope", "unknown_step_reference",
    "hyphenated_step_reference", "condition_not_boolean", "items_not_a_list",
    "document_retry", "document_continue_without_target", "ignored_next_step",
    "attempt_longer_than_step", "zero_timeout",
    "invalid_task_input", "missing_task_input", "conflicting_task_input", "unknown_task_input",
    "approvals_unreachable", "input_does_not_fit",
    "workflow_cycle", "unregistered_workflow", "child_input_does_not_fit",
    "unreachable_step", "endless_loop", "falls_into_handler", "shadowed_handler",
    "transitions_not_exhaustive", "transition_never_taken",
    "impossible_field", "undeclared_field", "step_not_run_before", "error_without_failure",
    "continue_without_output", "type_mismatch", "doubtful_comparison",
    "rollback_without_compensation", "compensation_never_runs", "waiting_compensation",
    "invalid_event_pattern", "invalid_transform", "self_trigger", "path_too_long",
]  # fmt: skip
ValueCode: TypeAlias = Literal[
    "value_missing", "value_unknown", "value_wrong_type", "value_not_allowed",
    "value_out_of_range", "value_bad_format", "value_mismatch",
]  # fmt: skip
CatalogueCode: TypeAlias = Literal[
    "duplicate_task_id", "reserved_task_id", "reserved_task_queue", "unbounded_task",
]  # fmt: skip
Code: TypeAlias = GateCode | DocumentCode | ValueCode | CatalogueCode


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What a code means.

    One of four is its example: ``document``, members laid over ``problem_examples.BASE``;
    ``text``, which the JSON gate refuses; ``value``, a schema and a value that does not fit it;
    ``declared``, a catalogue of tasks in other languages.
    """

    code: Code
    severity: Severity
    meaning: str
    document: JsonObject | None = None
    text: str | bytes | Repeated | None = None
    value: ValueExample | None = None
    #: How ``document`` is validated: with a catalogue of tasks (each with the schema of its input,
    #: if it has one), or without one.
    catalogue: dict[str, JsonObject | None] | None = field(default=None)
    declared: JsonObject | None = None
    #: Which definitions are registered beside it, where that is known.
    registered: list[JsonObject] | None = field(default=None)


_GATE: dict[GateCode, str] = {
    "invalid_json": "The text is not JSON.",
    "trailing_data": "There is more text after the JSON value.",
    "invalid_utf8": "The bytes are not UTF-8.",
    "text_too_long": "The text is longer than is read at all.",
    "duplicate_key": "An object has the same key twice.",
    "not_a_number": "NaN or an infinity, which JSON does not have.",
    "number_out_of_range": "A number whose decimal exponent is beyond ±308.",
    "null_character": "A text holds the character \\u0000, which no database text can hold.",
    "lone_surrogate": "A text holds half of a surrogate pair.",
    "too_deep": "Objects and lists stand more than 64 deep inside one another.",
    "too_many_values": "There are more than 100,000 values.",
    "not_json": "A value given by a program is of a type that JSON does not have.",
}

_DOCUMENT: dict[DocumentCode, str] = {
    "document_too_large": "The document has more than 256 KB as compact JSON.",
    "unknown_field": "A field that is not of the format; keys that begin with x- are free.",
    "missing_field": "A field that must be there is not.",
    "wrong_type": "A value of another JSON type than the field takes.",
    "not_one_of": "A value outside the few that the field takes.",
    "invalid_id": "An id with characters or of a length that ids do not have.",
    "invalid_version": "A version that is not a semantic version.",
    "invalid_duration": "A text that is not an ISO 8601 duration of the wanted kind.",
    "empty": "A text, a list or a name that must not be empty.",
    "too_long": "A text over its limit.",
    "out_of_range": "A number below or above its limits.",
    "duplicate_step_id": "A stepId that another step of the document has, branches included.",
    "duplicate_branch_id": "A branchId that another branch of the same step has.",
    "unknown_target": "A target that no step has as its stepId.",
    "target_in_other_list": "A target in another list of steps: no jump into or out of a branch.",
    "unknown_core_task": "A taskId that begins with core. and is no built-in task.",
    "unknown_task": "A taskId that the known catalogue of tasks does not have.",
    "unregistered_task": "A taskId that cannot be checked, for no catalogue of tasks is known.",
    "invalid_schema": "A JSON Schema (inputSchema, an approval's form) that is not valid.",
    "remote_schema_reference": "A schema that refers to another place; nothing is ever fetched.",
    "invalid_expression": "An expression that does not parse, or that is over a bound.",
    "invalid_template": "A ${ without its closing brace.",
    "name_not_in_scope": "An expression names something that does not exist where it stands.",
    "unknown_step_reference": "steps.<id> in an expression, where no step has that id.",
    "hyphenated_step_reference": "steps.a-b in an expression is a subtraction: steps['a-b'].",
    "condition_not_boolean": "A condition that can never give a boolean.",
    "items_not_a_list": "forEach.items that can never be a list.",
    "document_retry": "retry in the document's own onFailure, where there is nothing to retry.",
    "document_continue_without_target": "continue without nextStepId in the document's onFailure.",
    "ignored_next_step": "onFailure.nextStepId has no effect without the action continue.",
    "attempt_longer_than_step": "attemptTimeout is longer than timeout, and so never reached.",
    "zero_timeout": "A timeout of no time at all.",
    "invalid_task_input": "A literal that a built-in task cannot take.",
    "missing_task_input": "A built-in task's input lacks what it cannot do without.",
    "conflicting_task_input": "A built-in task's input has two members that exclude each other.",
    "unknown_task_input": "A built-in task does not know this member of its input.",
    "approvals_unreachable": "More approvals are required than there are approvers.",
    "input_does_not_fit": "A literal that the schema of the task's input does not allow.",
    "workflow_cycle": "A definition that runs itself, by core.workflow, or one that runs it.",
    "unregistered_workflow": "core.workflow names a definition that is not registered.",
    "child_input_does_not_fit": "A literal that the inputSchema of the definition does not allow.",
    "unreachable_step": "A step that no way leads to, not even after a failure.",
    "endless_loop": "A loop from which no way leads to an end: it runs until it fails.",
    "falls_into_handler": "A step for errors that a run without any error comes to as well.",
    "shadowed_handler": "An error handler behind one that takes all of its errors.",
    "transitions_not_exhaustive": "It is not certain that any condition of a next is true.",
    "transition_never_taken": "An entry of next behind others that match whenever it would.",
    "impossible_field": "A field that can never be there, read where that always fails.",
    "undeclared_field": "A field that no schema declares, where others are declared.",
    "step_not_run_before": "steps.<id> of a step that cannot have ended before, or be seen.",
    "error_without_failure": "error is read where no failure can have been handled before.",
    "continue_without_output": "next reads output, which continue leaves empty after a failure.",
    "type_mismatch": "An operator or a function on a field whose type it cannot take.",
    "doubtful_comparison": "A comparison that by the field's schema always gives the same.",
    "rollback_without_compensation": "A rollback where no step has a compensation.",
    "compensation_never_runs": "A compensation where rollback.on is empty.",
    "waiting_compensation": "A compensation that would wait for a person or an event.",
    "invalid_event_pattern": "An eventPattern that is not made of segments, *, and ** at the end.",
    "path_too_long": "A step so deep inside others that its path has over 255 characters.",
    "invalid_transform": "A transform that is no JMESPath or JSONata, or that is over a bound.",
    "self_trigger": "A trigger without a condition that the definition's own events match.",
}  # fmt: skip

_VALUE: dict[ValueCode, str] = {
    "value_missing": "A member that the schema requires is not there.",
    "value_unknown": "A member that the schema does not allow.",
    "value_wrong_type": "A value of another type than the schema's.",
    "value_not_allowed": "A value outside the schema's enum or const.",
    "value_out_of_range": "A number, a length or a count outside the schema's limits.",
    "value_bad_format": "A text that does not match the schema's pattern or format.",
    "value_mismatch": "A value that does not fit a combination of schemas.",
}

_CATALOGUE: dict[CatalogueCode, str] = {
    "duplicate_task_id": "A taskId that another task of the catalogue has.",
    "reserved_task_id": "A taskId that begins with core., as only built-in tasks do.",
    "reserved_task_queue": "A taskQueue that begins with /_sys/, as only Temporal's own do.",
    "unbounded_task": "A task without any time limit: nobody would notice that its worker died.",
}

WARNINGS: frozenset[Code] = frozenset(
    {
        "unregistered_task", "ignored_next_step", "attempt_longer_than_step", "unknown_task_input",
        "unreachable_step", "falls_into_handler", "shadowed_handler",
        "transitions_not_exhaustive", "transition_never_taken",
        "undeclared_field", "step_not_run_before", "error_without_failure",
        "continue_without_output", "doubtful_comparison",
        "rollback_without_compensation", "compensation_never_runs",
        "unregistered_workflow", "child_input_does_not_fit",
    }
)  # fmt: skip


def severity_of(code: Code) -> Severity:
    """Whether a code blocks registration."""
    return "warning" if code in WARNINGS else "error"


def _table() -> dict[str, CodeInfo]:
    table: dict[str, CodeInfo] = {}
    meanings: dict[Any, str] = {**_GATE, **_DOCUMENT, **_VALUE, **_CATALOGUE}
    for code, meaning in meanings.items():
        table[code] = CodeInfo(
            code=code,
            severity=severity_of(code),
            meaning=meaning,
            document=DOCUMENTS.get(code),
            text=TEXTS.get(code),
            value=VALUES.get(code),
            catalogue=CATALOGUES.get(code),
            declared=DECLARED.get(code),
            registered=REGISTERED.get(code),
        )
    return table


#: By code, in the order in which the docs list them.
CODES: dict[str, CodeInfo] = _table()

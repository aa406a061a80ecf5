"""What a version's steps read from one another, and what their tasks take and give."""

from __future__ import annotations

from definitions.bindings import data_bindings, task_requirements
from definitions.tasks import TaskSpec

DOCUMENT = {
    "workflowId": "order",
    "name": "Order",
    "version": "1.0.0",
    "steps": [
        {
            "stepId": "charge-card",
            "taskId": "demo.charge",
            "input": {"amount": "${data.amount}", "text": "${data.amount} for ${input.name}"},
            "next": [{"nextStepId": "ship", "condition": "output.ok && data.amount > 10"}],
            "compensation": {"taskId": "demo.refund", "input": "${output.id}"},
        },
        {
            "stepId": "ship",
            "taskId": "core.noop",
            "forEach": {"items": "${data.parcels}"},
            "parallelBranches": [
                {
                    "branchId": "each",
                    "steps": [
                        {
                            "stepId": "label",
                            "taskId": "demo.label",
                            "input": "${steps['charge-card'].output.id}",
                        }
                    ],
                }
            ],
        },
    ],
    "output": {"id": "${steps.ship.output}"},
}


def test_each_reference_of_each_text_is_a_binding() -> None:
    """With the step that reads, the step that is read, the place and the text."""
    found = [one[:5] for one in data_bindings(DOCUMENT)]
    charge, ship = "/steps/0", "/steps/1"
    read = "steps['charge-card'].output.id"
    label = f"{ship}/parallelBranches/0/steps/0/input"
    assert found == [
        ("input", None, "data.amount", "charge-card", f"{charge}/input/amount"),
        ("input", None, "data.amount", "charge-card", f"{charge}/input/text"),
        ("input", None, "input.name", "charge-card", f"{charge}/input/text"),
        ("condition", None, "output.ok", "charge-card", f"{charge}/next/0/condition"),
        ("condition", None, "data.amount", "charge-card", f"{charge}/next/0/condition"),
        ("compensation", None, "output.id", "charge-card", f"{charge}/compensation/input"),
        ("items", None, "data.parcels", "ship", f"{ship}/forEach/items"),
        ("input", "charge-card", read, "label", label),
        ("result", "ship", "steps.ship.output", None, "/output/id"),
    ]
    assert data_bindings(DOCUMENT)[7].expression == "steps['charge-card'].output.id"


def test_something_that_is_no_document_reads_nothing() -> None:
    """Whatever is stored is read without an error."""
    assert data_bindings([1]) == []


def test_a_tasks_schemas_tell_what_it_takes_and_gives() -> None:
    """Type, default, whether it is needed, and the rest of the rules; `$defs` are followed."""
    task = TaskSpec(
        task_id="demo.charge",
        input_schema={
            "type": "object",
            "properties": {
                "amount": {"type": "number", "minimum": 0, "description": "What to charge."},
                "currency": {"type": "string", "default": "EUR"},
                "note": {"type": ["string", "null"], "default": None},
                "card": {"$ref": "#/$defs/Card", "description": "Which card."},
                "any": True,
            },
            "required": ["amount"],
            "$defs": {"Card": {"type": "object", "properties": {}}},
        },
        output_schema={"type": "object", "properties": {"id": {"type": "string"}}},
    )
    amount, currency, note, card, anything, identity = task_requirements(task)
    assert amount == (
        "input", "amount", "number", True, None, False, {"minimum": 0}, "What to charge.",
    )  # fmt: skip
    assert (currency.default, currency.has_default, currency.required) == ("EUR", True, False)
    assert (note.type, note.has_default, note.rules) == (None, True, {"type": ["string", "null"]})
    assert (card.type, card.description, card.rules) == (
        "object",
        "Which card.",
        {"properties": {}},
    )
    assert anything[1:4] == ("any", None, False)
    assert identity[:3] == ("output", "id", "string")


def test_a_task_without_schemas_says_nothing() -> None:
    """Nor does one whose schema is no object's."""
    assert task_requirements(TaskSpec(task_id="a")) == []
    assert task_requirements(TaskSpec(task_id="a", output_schema={"type": "string"})) == []

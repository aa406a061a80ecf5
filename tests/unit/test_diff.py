"""What changed between two versions of a definition."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from definitions.diff import Diff, FieldChange, diff
from definitions.diff_text import as_text
from definitions.document import Definition
from definitions.walk import every_step
from tests.unit.drawn import definitions

Document = dict[str, Any]
EXAMPLE = Path(__file__).parents[2] / "definitions" / "examples" / "order-fulfilment.json"


@pytest.fixture
def old() -> Document:
    made: Document = json.loads(EXAMPLE.read_text())
    return made


@pytest.fixture
def new(old: Document) -> Document:
    return {**copy.deepcopy(old), "version": "1.1.0"}


def compare(old: Document, new: Document) -> Diff:
    return diff(Definition.model_validate(old), Definition.model_validate(new))


def short(found: Diff) -> list[tuple[str, str]]:
    return [(step.kind, step.step_id) for step in found.steps]


def test_only_the_version(old: Document, new: Document) -> None:
    """The version itself is what a diff is between, not a difference."""
    found = compare(old, new)
    assert found.empty
    assert as_text(found) == "order-fulfilment  1.0.0 → 1.1.0\nno difference but the version\n"
    assert as_text(compare(old, old)).endswith("\nno difference\n")


def test_added_and_removed_steps(old: Document, new: Document) -> None:
    """Steps in branches count like others, and each comes with what it is."""
    del new["steps"][5]
    branch = new["steps"][2]["parallelBranches"][1]["steps"]
    branch.append({"stepId": "print", "taskId": "print", "next": []})
    found = compare(old, new)
    assert short(found) == [("added", "print"), ("removed", "give-up")]
    added, removed = found.steps
    assert added.new_place is not None
    assert added.new_place.steps == "hand-over/invoice"
    assert added.new_place.pointer == "/steps/2/parallelBranches/1/steps/1"
    assert added.new_place.after == "write-invoice"
    assert added.step == {"stepId": "print", "taskId": "print", "next": []}
    assert removed.old_place is not None
    assert (removed.old_place.steps, removed.old_place.pointer) == ("", "/steps/5")


def test_a_changed_field_has_its_pointer_and_both_values(old: Document, new: Document) -> None:
    """Pointers lead into the new document, those of removed fields into the old one."""
    new["steps"].insert(0, {"stepId": "zero", "taskId": "core.noop"})
    charge = new["steps"][2]
    charge["retryPolicy"]["maxAttempts"] = 7
    charge["heartbeatTimeout"] = "PT5S"
    del charge["compensation"]["input"]["amount"]
    found = compare(old, new)
    assert short(found) == [("added", "zero"), ("changed", "charge-card")]
    assert found.steps[1].fields == [
        FieldChange(kind="changed", pointer="/steps/2/retryPolicy/maxAttempts", old=5, new=7),
        FieldChange(
            kind="removed", pointer="/steps/1/compensation/input/amount", old="${input.amount}"
        ),
        FieldChange(kind="added", pointer="/steps/2/heartbeatTimeout", new="PT5S"),
    ]


def test_a_step_in_another_list_has_moved(old: Document, new: Document) -> None:
    """It is the same step, with its changes, not one removed and one added."""
    shipped = new["steps"][2]["parallelBranches"][0]["steps"].pop()
    new["steps"].insert(3, {**shipped, "timeout": "P2D"})
    found = compare(old, new)
    assert short(found) == [("moved", "ship")]
    moved = found.steps[0]
    assert moved.old_place is not None
    assert moved.new_place is not None
    assert (moved.old_place.steps, moved.new_place.steps) == ("hand-over/shipping", "")
    assert [(one.pointer, one.new) for one in moved.fields] == [("/steps/3/timeout", "P2D")]


def test_of_a_new_order_the_fewest_steps_have_moved(old: Document, new: Document) -> None:
    """Order matters, since a step without ``next`` goes to the following one."""
    new["steps"].insert(0, new["steps"].pop(3))
    assert short(compare(old, new)) == [("moved", "confirm")]


def test_a_change_inside_a_branch_is_not_one_of_the_step_around_it(
    old: Document, new: Document
) -> None:
    """The step that forks has changed only when its branches themselves have."""
    new["steps"][2]["parallelBranches"][0]["steps"][0]["name"] = "Pack"
    assert short(compare(old, new)) == [("changed", "pack")]
    new["steps"][2]["parallelBranches"][0]["x-team"] = "logistics"
    assert short(compare(old, new)) == [("changed", "hand-over"), ("changed", "pack")]


def test_fields_of_the_document(old: Document, new: Document) -> None:
    """Everything beside the steps, as deep as it differs."""
    new["timeout"] = "P14D"
    new["inputSchema"]["required"].append("note")
    new["metadata"] = {"team": True}
    del new["rollback"]
    found = compare(old, new)
    assert [(one.kind, one.pointer) for one in found.document] == [
        ("changed", "/inputSchema/required"),
        ("changed", "/timeout"),
        ("removed", "/rollback"),
        ("added", "/metadata"),
    ]
    assert not found.steps


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(1, True, False), (0, False, False), (1, 1.0, True), (None, None, True), (None, 0, False)],
)
def test_values_are_compared_as_json(old: Document, one: Any, other: Any, same: bool) -> None:
    """A number is no boolean, and 1.0 is 1."""
    before, after = {**old, "metadata": {"v": one}}, {**old, "metadata": {"v": other}}
    assert compare(before, after).empty is same


def test_null_and_absent_differ(old: Document, new: Document) -> None:
    """A mapping of null is a mapping, and the JSON form keeps it."""
    new["steps"][3]["output"] = None
    found = compare(old, new)
    assert found.to_json()["steps"][0]["fields"] == [
        {"kind": "added", "pointer": "/steps/3/output", "new": None}
    ]


def test_the_text(old: Document, new: Document) -> None:
    """A summary, then a line for each thing, with its place and both values."""
    new["timeout"] = "P14D"
    new["steps"][1]["retryPolicy"]["maxAttempts"] = 7
    new["steps"].append({"stepId": "log", "taskId": "log"})
    new["steps"][3]["name"] = "\x1b[31mConfirm"
    assert as_text(compare(old, new)).splitlines() == [
        "order-fulfilment  1.0.0 → 1.1.0",
        "steps: 1 added, 2 changed; fields of the document: 1",
        "",
        "Document",
        '  ~ /timeout: "P7D" → "P14D"',
        "",
        "Steps",
        "  ~ charge-card",
        "      ~ /retryPolicy/maxAttempts: 5 → 7",
        "  ~ confirm",
        '      ~ /name: "Confirm to the customer" → "\\u001b[31mConfirm"',
        "  + log  (task log), the main path, after give-up",
    ]


@given(definitions())
def test_a_definition_does_not_differ_from_itself(made: Definition) -> None:
    """Whatever it is; nor from what is read back from its own JSON."""
    again = Definition.model_validate(made.model_dump(by_alias=True, exclude_unset=True))
    assert diff(made, again).empty


@given(definitions(), definitions())
def test_a_diff_is_complete(one: Definition, other: Definition) -> None:
    """Every id that only one of two has is told, once, and both texts can be written."""
    before = {step.step_id for step in every_step(one.steps)}
    after = {step.step_id for step in every_step(other.steps)}
    found = diff(one, other)
    assert {step.step_id for step in found.of_kind("added")} == after - before
    assert {step.step_id for step in found.of_kind("removed")} == before - after
    assert len({step.step_id for step in found.steps}) == len(found.steps)
    assert Diff.model_validate(found.to_json()) == found
    assert all(line.isprintable() for line in as_text(found).split("\n"))

"""Validation as a whole: its report, its order, and that nothing damaged ever breaks it."""

from __future__ import annotations

import copy
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from definitions.document import Definition
from definitions.errors import InvalidDocumentError
from definitions.problem_examples import document_of
from definitions.tasks import TaskSpec
from definitions.validation.api import (
    MAX_TEXT_BYTES,
    parse_definition,
    validate,
    validate_text,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "definitions" / "examples").glob("*.json"))
#: How many damaged documents are tried; more with STEPLOOM_FUZZ=20000.
FUZZ = int(os.environ.get("STEPLOOM_FUZZ", "2000"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    """Every stored example validates, and only other teams' tasks are unknown."""
    report = validate_text(path.read_bytes())
    assert report.ok
    assert {problem.code for problem in report.problems} <= {"unregistered_task"}
    assert report.document["workflowId"] == path.stem


def test_a_valid_document_gives_its_definition() -> None:
    """The models, and the document as it was."""
    document = document_of({})
    report = validate(document)
    assert report.ok
    assert report.problems == []
    assert isinstance(report.definition, Definition)
    assert report.document is document
    assert parse_definition(document).workflow_id == "example"


def test_a_document_with_errors_raises_all_of_them() -> None:
    """``parse_definition`` carries every problem, warnings included."""
    document = document_of({"name": "", "steps": [{"stepId": "a", "taskId": "b", "x": 1}]})
    with pytest.raises(InvalidDocumentError) as caught:
        parse_definition(document)
    assert [(p.pointer, p.code) for p in caught.value.problems] == [
        ("/name", "empty"),
        ("/steps/0/taskId", "unregistered_task"),
        ("/steps/0/x", "unknown_field"),
    ]


def test_a_semantic_error_leaves_no_definition() -> None:
    """The shape alone being right is not enough."""
    report = validate(document_of({"onFailure": {"action": "retry"}}))
    assert not report.ok
    assert report.definition is None


def test_a_catalogue_is_passed_on() -> None:
    """With a catalogue an unknown task is an error, without one a warning."""
    document = document_of({"steps": [{"stepId": "a", "taskId": "b"}]})
    assert validate(document).ok
    assert not validate(document, catalogue={}).ok
    assert parse_definition(document, {"b": TaskSpec(task_id="b")}).steps[0].task_id == "b"


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("{", "invalid_json", ""),
        ('{"name": "a", "name": "b"}', "duplicate_key", "/name"),
        (b"\xff", "invalid_utf8", ""),
        ('{"metadata": {"a": 1e999}}', "number_out_of_range", "/metadata/a"),
        (" " * (MAX_TEXT_BYTES + 1), "text_too_long", ""),
        ('{"steps":' + "[" * 65 + "]" * 65 + "}", "too_deep", ""),
    ],
)
def test_text_goes_through_the_gate(text: str | bytes, code: str, where: str) -> None:
    """What the gate refuses is the one problem of the report."""
    assert [(p.pointer, p.code) for p in validate_text(text).problems] == [(where, code)]


def test_white_space_does_not_count() -> None:
    """An indented text may be longer than the document's own limit."""
    document = document_of({"x-note": ["x" * 50] * 4_000})
    text = json.dumps(document, indent=40)
    assert len(text) > 300 * 1024
    assert validate_text(text).ok
    assert validate(document).ok


def test_the_order_is_stable() -> None:
    """Twice the same document, twice the same list; the order is that of the document's keys."""
    document = document_of({"zz": 1, "aa": 1, "steps": [{"zz": 1, "aa": 1}]})
    first = validate(document).problems
    assert [p.pointer for p in first] == [
        "/steps/0",
        "/steps/0",
        "/steps/0/zz",
        "/steps/0/aa",
        "/zz",
        "/aa",
    ]
    assert validate(copy.deepcopy(document)).problems == first


def test_branches_as_deep_as_the_gate_lets_them() -> None:
    """The deepest nesting validates; one more is refused, not a ``RecursionError``."""

    def nested(levels: int) -> dict[str, Any]:
        step: dict[str, Any] = {"stepId": "s", "taskId": "core.noop"}
        for level in range(levels):
            step = {
                "stepId": f"s{level}",
                "taskId": "core.noop",
                "parallelBranches": [{"branchId": "b", "steps": [step]}],
            }
        return document_of({"steps": [step]})

    assert validate(nested(15)).ok
    assert [p.code for p in validate(nested(16)).problems] == ["too_deep"]


def test_five_thousand_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """A document near the limit validates; the time is printed, not judged."""
    steps = [{"stepId": f"s{number}", "taskId": "core.noop"} for number in range(5_000)]
    began = time.perf_counter()
    report = validate(document_of({"steps": steps}))
    with capsys.disabled():
        print(f"\n5,000 steps validated in {time.perf_counter() - began:.2f} s")  # noqa: T201 (a measurement)
    assert report.ok


@pytest.mark.parametrize(
    "value",
    [
        "${" + "\\'" * 120_000 + "}",
        "${'" * 80_000,
        "${" * 120_000,
        "$" * 250_000,
        "${steps." + "a-" * 120_000 + "}",
        ["${a%d}" % number for number in range(25_000)],  # noqa: UP031 (braces)
        {f"k{number}": "${user.x + %d}" % number for number in range(8_000)},  # noqa: UP031
    ],
    ids=["quotes", "open quotes", "open", "dollars", "hyphens", "names", "scopes"],
)
def test_hostile_mappings_take_no_longer_than_their_length(value: Any) -> None:
    """Nothing of the allowed size keeps validation busy, as work in its square would."""
    began = time.process_time()
    assert not validate(document_of({"output": value})).ok or value == "$" * 250_000
    assert time.process_time() - began < 30


ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 3.0, 1e300, 2**70, "", "a", "${", "${x}", "${output.a}", "PT5M",
    "core.wait", "core.http", "core.approval", "core.set", "steps.a-b", "continue", "retry",
    "\u2028",
    [], [None], [[]], {}, {"": 1}, {"stepId": 1}, [{"stepId": "a"}], {"$ref": "#"}, {"$ref": 5},
    {"type": ["object"]}, {"pattern": "("}, "x" * 300, "é" * 600, {"items": {"$ref": "http://a/b"}},
    {"form": []}, {"approvers": [[]]}, {"url": {}}, {"until": []}, {"duration": {}},
]  # fmt: skip
KEYS = [
    "stepId", "taskId", "next", "parallelBranches", "forEach", "items", "input", "output", "steps",
    "onFailure", "errorHandler", "conditions", "nextStepId", "action", "compensation", "condition",
    "inputSchema", "triggers", "uiComponents", "retryPolicy", "timeout", "x-y", "", "a/b", "~",
    "variables", "branchId", "metadata", "$schema", "__class__", "model_fields", "self",
]  # fmt: skip


def containers(value: Any) -> list[Any]:
    found = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict | list) and item:
            found.append(item)
            stack.extend(item.values() if isinstance(item, dict) else item)
    return found


def damage(document: Any, chance: random.Random) -> Any:
    """One to six mutations: a value replaced, removed, doubled, moved, or a key put in."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 6)):
        places = containers(document)
        if not places:
            return chance.choice(ODD)
        target = chance.choice(places)
        key = chance.choice(list(target) if isinstance(target, dict) else range(len(target)))
        match chance.randrange(6):
            case 0 | 1:
                target[key] = copy.deepcopy(chance.choice(ODD))
            case 2:
                del target[key]
            case 3 if isinstance(target, list):
                target.insert(0, copy.deepcopy(target[key]))
            case 4:
                target[key] = copy.deepcopy(chance.choice(places))
            case _ if isinstance(target, dict):
                target[chance.choice(KEYS)] = copy.deepcopy(target[key])
            case _:
                target.append(copy.deepcopy(chance.choice(ODD)))
    return document


def test_no_damaged_document_raises_anything_else() -> None:
    """Whatever is done to a document, it is a definition or an ``InvalidDocumentError``."""
    originals = [json.loads(path.read_bytes()) for path in EXAMPLES]
    refused = 0
    for number in range(FUZZ):
        chance = random.Random(number)  # noqa: S311 (reproducible by its number)
        document = damage(chance.choice(originals), chance)
        report = validate(document, catalogue={} if number % 2 else None)
        if report.ok:
            definition = parse_definition(document, {} if number % 2 else None)
            assert definition.workflow_id == document["workflowId"]
        else:
            refused += 1
            assert report.problems
            with pytest.raises(InvalidDocumentError):
                parse_definition(document, {} if number % 2 else None)
        if number % 10 == 0:
            text = json.dumps(document)
            cut = chance.randrange(len(text) + 1)
            validate_text(text[:cut] + chance.choice(['"', "}", "[", "\\", "\0", ""]) + text[cut:])
    assert refused > FUZZ // 2


@pytest.mark.parametrize(
    "document", [object(), {1: 2}, {"steps": (1,)}, {"steps": {1}}, b"{}", float("nan"), {"a": b""}]
)
def test_what_is_no_json_at_all(document: Any) -> None:
    """A program's own objects are refused as any damaged document is."""
    with pytest.raises(InvalidDocumentError):
        parse_definition(document)

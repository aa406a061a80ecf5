"""The published JSON Schemas say what the models say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from definitions.document import Definition
from definitions.problem_examples import DOCUMENTS, document_of
from definitions.schema import catalogue_schema, definition_schema, start_schema
from definitions.schema_descriptions import DESCRIPTIONS
from definitions.start import StartRequest

EXAMPLES = sorted((Path(__file__).parents[2] / "definitions" / "examples").glob("*.json"))
DOCUMENT = jsonschema_rs.validator_for(definition_schema(), offline=True)
START = jsonschema_rs.validator_for(start_schema(), offline=True)


@pytest.mark.parametrize(
    "schema",
    [definition_schema(), start_schema(), catalogue_schema()],
    ids=["document", "start", "catalogue"],
)
def test_they_are_schemas_themselves(schema: dict[str, Any]) -> None:
    """Valid against their draft, and plain JSON."""
    jsonschema_rs.meta.validate(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_field_is_described() -> None:
    """An editor has a sentence for each field, and no sentence is left over."""
    described: set[str] = set()
    published = {
        "Definition": definition_schema(),
        "StartRequest": start_schema(),
        "TaskCatalogue": catalogue_schema(),
    }
    for name, schema in published.items():
        for part_name, part in {name: schema, **schema["$defs"]}.items():
            for key, member in part.get("properties", {}).items():
                assert member.get("description"), f"{part_name}.{key}"
                described.add(f"{part_name}.{key}")
    assert described == set(DESCRIPTIONS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_fit(path: Path) -> None:
    """Each stored example fits the published schema."""
    assert [error.message for error in DOCUMENT.iter_errors(json.loads(path.read_bytes()))] == []


#: Codes that a schema can see; the others need the whole document or another language.
SHAPE = [
    "unknown_field", "missing_field", "wrong_type", "not_one_of", "invalid_id", "invalid_version",
    "invalid_duration", "empty", "too_long", "out_of_range",
]  # fmt: skip


@pytest.mark.parametrize("code", SHAPE)
def test_broken_documents_do_not_fit(code: str) -> None:
    """What is wrong with the shape is seen by an editor too."""
    assert not DOCUMENT.is_valid(document_of(DOCUMENTS[code]))


def accepted(document: Any) -> bool:
    try:
        Definition.model_validate(document)
    except ValidationError:
        return False
    return True


ids = st.sampled_from(["a", "charge-card", "A_1", "a b", "", "é"])
texts = st.sampled_from(["a", "", "x" * 256, "PT5M"])
durations = st.sampled_from(
    [
        "PT5M",
        "P1D",
        "P1W2DT3H4M5.5S",
        "PT1,5S",
        "P1M",
        "P1Y",
        "pt5m",
        "PT1.5H",
        "P",
        "PT",
        "P1DT",
        "-P1D",
    ]
)
wrong = st.sampled_from([None, 5, 3.0, 2.5, True, "text", [], {}, [1], {"a": 1}])


def an_object(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the members, mostly right, at times of another type or with an unknown key."""
    mixed = {key: st.one_of(value, value, value, wrong) for key, value in members.items()}
    extra = {"x-note": st.just(1), "other": st.just(1)}
    optional = {**mixed, **extra}
    # Deferred, because Hypothesis writes down strategies as text, and this one grows.
    return st.deferred(lambda: st.fixed_dictionaries({}, optional=optional))


retry = an_object(
    maxAttempts=st.integers(-1, 4),
    delay=durations,
    strategy=st.sampled_from(["fixed", "exponential", "linear"]),
    backoffRate=st.sampled_from([0.5, 1, 2.5, 1001]),
    maxDelay=durations,
    nonRetryableErrors=st.lists(texts, max_size=2),
)
on_failure = an_object(
    action=st.sampled_from(["continue", "stop", "retry", "go"]),
    nextStepId=ids,
    errorHandler=an_object(
        conditions=st.lists(an_object(errorType=texts, errorCode=texts, nextStepId=ids), max_size=2)
    ),
)


def a_step(branches: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    optional = an_object(
        name=texts,
        input=wrong,
        output=wrong,
        next=st.lists(an_object(nextStepId=ids, condition=texts), max_size=2),
        parallelBranches=branches,
        forEach=an_object(items=wrong, maxConcurrency=st.integers(0, 501)),
        retryPolicy=retry,
        timeout=durations,
        attemptTimeout=durations,
        onFailure=on_failure,
        compensation=an_object(taskId=texts, input=wrong, timeout=durations),
    )
    required = st.fixed_dictionaries({"stepId": ids, "taskId": texts})
    return st.builds(lambda first, second: {**first, **second}, required, optional)


steps = st.recursive(
    st.lists(a_step(st.just([])), max_size=2),
    lambda inner: st.lists(
        a_step(st.lists(an_object(branchId=ids, steps=inner), max_size=2)), max_size=2
    ),
    max_leaves=4,
)
documents = st.builds(
    lambda members, some: {**document_of({}), **members, "steps": some},
    an_object(
        workflowId=ids,
        name=texts,
        version=st.sampled_from(["1.0.0", "1.0.0-rc.1+b", "1.0", "01.0.0", "1.0.0-01", "1.0.0\n"]),
        description=texts,
        variables=st.sampled_from([{}, {"a": 1}, {"": 1}]),
        executionLog=an_object(level=st.sampled_from(["info", "all"]), retention=durations),
        rollback=an_object(on=st.lists(st.sampled_from(["failed", "x"]), max_size=2)),
        uiComponents=st.lists(an_object(componentId=texts, priority=st.floats(0, 5)), max_size=2),
        triggers=st.lists(an_object(eventPattern=texts, condition=texts), max_size=2),
        timeout=durations,
        onFailure=on_failure,
    ),
    steps,
)


@given(documents)
def test_the_schema_agrees_with_the_models(document: Any) -> None:
    """A document fits the schema exactly when the models take it."""
    assert DOCUMENT.is_valid(document) == accepted(document)


@pytest.mark.parametrize(
    "start",
    [
        {"workflowId": "a"},
        {"workflowId": "a", "version": "1.0.0", "input": {"a": 1}, "tags": {"a": "b"}},
        {"definition": {}},
        {"workflowId": "a", "definition": None},
        {"workflowId": "a", "version": None},
        {},
        [],
        {"workflowId": "a", "definition": {}},
        {"definition": {}, "version": "1.0.0"},
        {"definition": {}, "workflowId": None, "version": None},
        {"workflowId": None},
        {"workflowId": "A"},
        {"workflowId": "a", "version": "1"},
        {"workflowId": "a", "input": []},
        {"workflowId": "a", "other": 1},
        {"workflowId": "a", "x-other": 1},
        {"workflowId": "a", "orgId": ""},
        {"workflowId": "a", "tags": {"a": 1}},
        {"workflowId": "a", "workflow_id": "a"},
        {"workflow_id": "a"},
        {"rerun": {"executionId": "a", "fromStep": "b"}},
        {"rerun": {"executionId": "a", "fromStep": "b", "reason": "c"}, "input": {}},
        {"rerun": {"executionId": "a", "fromStep": "b"}, "workflowId": None, "version": None},
        {"rerun": {"executionId": "a", "fromStep": "b"}, "version": "1.0.0"},
        {"rerun": {"executionId": "a", "fromStep": "b"}, "workflowId": "a"},
        {"rerun": {"executionId": "a", "fromStep": "b"}, "definition": {}},
        {"rerun": {"executionId": "a"}},
        {"rerun": {"fromStep": "b"}},
        {"rerun": {"executionId": "", "fromStep": "b"}},
        {"rerun": {"executionId": "a", "fromStep": "b", "x": 1}},
        {"rerun": None},
    ],
)
def test_the_start_object(start: Any) -> None:
    """The start object's schema says what its model says."""
    try:
        StartRequest.model_validate(start, by_alias=True, by_name=False)
    except ValidationError:
        fits = False
    else:
        fits = True
    assert START.is_valid(start) == fits


def test_the_schemas_are_made_anew() -> None:
    """A caller may change what it gets."""
    first = definition_schema()
    kept = copy.deepcopy(first)
    first["properties"].clear()
    assert definition_schema() == kept

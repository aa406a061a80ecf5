"""The models of the document: names, defaults, and strictness."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from definitions.document import Definition, RetryPolicy, Step
from definitions.problem_examples import BASE, document_of


def step(**members: Any) -> Step:
    return Step.model_validate({"stepId": "a", "taskId": "b", **members})


def test_the_smallest_document() -> None:
    """Four fields are enough, and everything else has its default."""
    definition = Definition.model_validate(BASE)
    assert definition.rollback is None
    assert definition.variables == {}
    assert definition.execution_log.level is None
    assert definition.steps[0].next is None


def test_a_retry_policys_defaults() -> None:
    """What a policy leaves out is three attempts, one second, exponential."""
    policy = RetryPolicy.model_validate({})
    assert (policy.max_attempts, policy.delay, policy.strategy) == (3, "PT1S", "exponential")
    assert (policy.backoff_rate, policy.max_delay, policy.non_retryable_errors) == (2.0, None, [])


def test_absent_empty_and_null_are_told_apart() -> None:
    """``next: []`` ends a run, no ``next`` goes on; a mapping of null is a mapping."""
    assert step().next is None
    assert step(next=[]).next == []
    assert not step().gave("input")
    assert step(input=None).gave("input")


def test_a_whole_number_may_be_written_with_a_fraction_of_zero() -> None:
    """JSON has one kind of number: 3.0 is 3. What is no whole number is refused."""
    assert RetryPolicy.model_validate({"maxAttempts": 3.0}).max_attempts == 3
    assert isinstance(RetryPolicy.model_validate({"maxAttempts": 3.0}).max_attempts, int)
    for wrong in (3.5, "3", True, None):
        with pytest.raises(ValidationError):
            RetryPolicy.model_validate({"maxAttempts": wrong})


@pytest.mark.parametrize("wrong", ["2", True, None])
def test_numbers_are_not_made_of_other_types(wrong: Any) -> None:
    """A text that looks like a number is none."""
    with pytest.raises(ValidationError):
        RetryPolicy.model_validate({"backoffRate": wrong})
    assert RetryPolicy.model_validate({"backoffRate": 2}).backoff_rate == 2.0


def test_a_rollbacks_default() -> None:
    """A rollback that says nothing runs when a run failed, last step first."""
    rollback = Definition.model_validate(document_of({"rollback": {}})).rollback
    assert rollback is not None
    assert (rollback.on, rollback.order) == (["failed"], "reverse")


def test_python_names_are_not_the_documents() -> None:
    """A document is camelCase alone."""
    with pytest.raises(ValidationError):
        Step.model_validate({"step_id": "a", "task_id": "b"})


def test_definitions_cannot_be_changed() -> None:
    """A definition is shared by all runs that use it."""
    with pytest.raises(ValidationError):
        Definition.model_validate(BASE).name = "other"  # type: ignore[misc]

"""Executions that are tried again as a whole: a document of ours that runs the user's.

Its one step starts the user's document as a run of its own, by ``core.workflow``, and tries that
again by the spec's policy. So each try has a first run id, and with it idempotency keys and ids of
events, of its own. The execution is the run of this document, the supervisor; a try is
``<execution>/attempt``, then ``<execution>/attempt!2`` and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from adapters.postgres.reader import MAX_PAGE
from definitions.durations import format_duration
from definitions.providers.errors import ProviderConflictError, SpecError, Violation
from definitions.tasks import CHILD_TASK
from definitions.validation.api import validate

if TYPE_CHECKING:
    from temporalio.client import WorkflowExecutionDescription

    from adapters.postgres.reader import PostgresReader
    from definitions.document import Definition
    from definitions.ports import Organization
    from definitions.problems import Problem
    from definitions.providers.types import WorkflowSpec
    from definitions.views import InstanceView, StepView

#: In the ``metadata`` of a supervisor's start object: the version of the document that it runs.
RETRIED = "providerRetried"
#: The most tries. Each leaves its input and its error in the supervisor's history, of which
#: Temporal allows 50 MiB; inputs of 256 KiB take half of them.
MAX_TRIES = 100
_STEP = "attempt"
#: Where what is wrong with a supervisor stands in the spec.
_PLACES = {
    "/version": "/definition/version",
    "/timeout": "/timeout",
    "/steps/0/retryPolicy/delay": "/retry_policy/initial_interval",
    "/steps/0/retryPolicy/backoffRate": "/retry_policy/backoff_rate",
    "/steps/0/retryPolicy/maxDelay": "/retry_policy/max_interval",
}
#: Of a document, what its supervisor has as well.
_SHARED = ("name", "description", "executionLog")


class Try(NamedTuple):
    """One run of the user's document. ``number`` counts from 1."""

    number: int
    instance: InstanceView


def supervisor_of(spec: WorkflowSpec, document: dict[str, Any]) -> dict[str, Any] | None:
    """The document that tries another one again; None where that is tried once.

    Args:
        spec: Whose policy and timeout count.
        document: The user's document, valid and complete.
    """
    policy = spec.retry_policy
    if policy is None or spec.attempts == 1:
        return None
    retry: dict[str, Any] = {
        "maxAttempts": spec.attempts,
        "delay": format_duration(policy.initial_interval.to_timedelta()),
        "strategy": "exponential",
        "backoffRate": policy.backoff_rate,
    }
    if policy.max_interval.nanoseconds:
        retry["maxDelay"] = format_duration(policy.max_interval.to_timedelta())
    workflow_id, version = document["workflowId"], document["version"]
    supervisor: dict[str, Any] = {
        "workflowId": workflow_id,
        "version": _retried(version),
        **{name: document[name] for name in _SHARED if name in document},
        "steps": [
            {
                "stepId": _STEP,
                "taskId": CHILD_TASK,
                "input": {"workflowId": workflow_id, "version": version, "input": "${input}"},
                "retryPolicy": retry,
                "output": {"result": "${output}"},
            }
        ],
        "output": f"${{steps.{_STEP}.output.result}}",
    }
    if spec.timeout is not None and spec.timeout.nanoseconds:
        supervisor["timeout"] = format_duration(spec.timeout.to_timedelta())
    return supervisor


def _retried(version: str) -> str:
    """The version of a supervisor: build metadata, which does not change the order of versions."""
    return f"{version}{'.' if '+' in version else '+'}retried"


def check_supervisor(spec: WorkflowSpec, supervisor: dict[str, Any]) -> Definition:
    """A supervisor as a definition.

    Raises:
        SpecError: The spec asks for what no document of ours can do.
    """
    if spec.attempts > MAX_TRIES:
        message = f"{spec.attempts} are too many; a document is tried {MAX_TRIES} times at most"
        found = Violation(
            pointer="/retry_policy/max_attempts",
            code="range",
            message=message,
            limit=MAX_TRIES,
            size=spec.attempts,
        )
        raise SpecError("an unusable WorkflowSpec", [found])
    report = validate(supervisor)
    if report.definition is None:
        errors = [one for one in report.problems if one.severity == "error"]
        raise SpecError("an unusable WorkflowSpec", [_in_spec(one) for one in errors])
    return report.definition


def _in_spec(problem: Problem) -> Violation:
    place = _PLACES.get(problem.pointer, "/retry_policy")
    changes = {"pointer": place}
    if place == "/definition/version":
        changes["message"] = f"with {_retried('')!r} behind it, for the retries: {problem.message}"
    return Violation(**{**problem.model_dump(), **changes})


def retried_version(start: object) -> str | None:
    """The version of the document that a run tries again, by its metadata; None: it does not."""
    named = start.get(RETRIED) if isinstance(start, dict) else None
    return named if isinstance(named, str) else None


def error_of_try(error: dict[str, Any]) -> dict[str, Any]:
    """The error of the last try, by the one of its supervisor.

    One that came to nothing of its own, because the run was stopped from outside, names no step.
    """
    told = error.get("details")
    if isinstance(told, dict) and told.get("type") == error.get("type"):
        return told
    return {**error, "stepId": None} if error.get("stepId") == _STEP else error


def try_under_way(described: WorkflowExecutionDescription | None) -> str | None:
    """The execution id of the try that a supervisor waits for now, if it does."""
    if described is None:
        return None
    children = described.raw_description.pending_children
    return children[0].workflow_id if children else None


def no_try(execution: str) -> ProviderConflictError:
    """What is said to whoever sends an execution an event between two tries."""
    return ProviderConflictError(
        f"no try of {execution} is under way now, so nobody takes the event",
        hint="send it again once the next try has begun",
    )


async def tries_of(
    reader: PostgresReader, org: Organization, supervisor: InstanceView
) -> list[Try]:
    """The tries that are on record, in their order."""
    page = await reader.list_instances(org.id, came_from=supervisor.id, limit=MAX_PAGE)
    found = [
        Try(_number(one.execution_id), one)
        for one in page.items
        if one.origin is not None and one.origin.kind == "child"
    ]
    return sorted(found, key=lambda one: one.number)


def _number(execution: str) -> int:
    """Which try has this id: ``…/attempt`` is the first, ``…/attempt!2`` the second."""
    number = execution.rpartition("/")[2].partition("!")[2]
    return int(number) if number.isdecimal() else 1


async def steps_of_tries(
    reader: PostgresReader, org: Organization, supervisor: InstanceView
) -> list[tuple[int, list[StepView]]]:
    """The steps of each try, with its number."""
    return [
        (one.number, list(await reader.steps(org.id, one.instance.id)))
        for one in await tries_of(reader, org, supervisor)
    ]

"""What a ``WorkflowSpec`` means to Step Functions: a state machine of its own.

AWS knows a timeout of the whole, in whole seconds, and retries of a state. So a spec that wants
whole executions tried again has its state machine put into the one branch of a parallel state,
which is tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.providers.errors import SpecError, Violation
from definitions.providers.limits import json_type

if TYPE_CHECKING:
    from definitions.providers.durations import GoDuration
    from definitions.providers.types import RetryPolicy, WorkflowSpec

STEP_FUNCTIONS = "step-functions"
#: AWS's own limits, in characters.
MAX_MACHINE_NAME = 80
MAX_EXECUTION_NAME = 80
_CONFIG = {
    "role_arn": str,
    "logging_configuration": dict,
    "tracing_configuration": dict,
}
#: The state that is tried again; its name is in the histories.
ATTEMPTS = "Attempts"
_NANOSECONDS = 1_000_000_000
_LONGEST_WAIT = 31_622_400


def check_spec(spec: WorkflowSpec, machine: str, role_arn: str | None) -> dict[str, Any]:
    """The usable configuration of a spec: ``role_arn`` and what else there is.

    Args:
        spec: The spec.
        machine: What its state machine would be called.
        role_arn: The role of those that name none.

    Raises:
        SpecError: It is not for this provider, or not one that AWS can take.
    """
    found = []
    if spec.provider_type != STEP_FUNCTIONS:
        message = f"{spec.provider_type!r} is not this provider, which is {STEP_FUNCTIONS!r}"
        found.append(Violation(pointer="/provider_type", code="provider", message=message))
    if len(machine) > MAX_MACHINE_NAME:
        found.append(too_long("/workflow_id", machine, MAX_MACHINE_NAME))
    config, wrong = _config(spec.provider_config)
    found += wrong
    config.setdefault("role_arn", role_arn)
    if not wrong and not config["role_arn"]:
        message = "is missing: the ARN of the role that executions act as"
        found.append(
            Violation(pointer="/provider_config/role_arn", code="required", message=message)
        )
    found += _check_machine(spec.definition)
    if found:
        raise SpecError("an unusable WorkflowSpec", found)
    return config


def too_long(where: str, name: str, most: int) -> Violation:
    """The violation of a limit of AWS."""
    message = f"has {len(name)} characters as {name!r}; {STEP_FUNCTIONS} takes at most {most}"
    return Violation(pointer=where, code="too_large", message=message, limit=most, size=len(name))


def _config(given: Any) -> tuple[dict[str, Any], list[Violation]]:
    if given is None:
        return {}, []
    where = "/provider_config"
    if not isinstance(given, dict):
        message = "must be a JSON object"
        kind = json_type(given)
        return {}, [Violation(pointer=where, code="type", message=message, size=kind)]
    found = []
    for name, value in given.items():
        if name not in _CONFIG:
            message = f"there is no such field; there are {', '.join(_CONFIG)}"
            found.append(Violation(pointer=f"{where}/{name}", code="unknown", message=message))
        elif not isinstance(value, _CONFIG[name]):
            message = "must be " + ("a text" if _CONFIG[name] is str else "a JSON object")
            kind = json_type(value)
            found.append(
                Violation(pointer=f"{where}/{name}", code="type", message=message, size=kind)
            )
    return dict(given), found


def _check_machine(definition: Any) -> list[Violation]:
    """The little without which it is no state machine; the rest is AWS's to say."""
    where = "/definition"
    if not isinstance(definition, dict):
        message = "must be a JSON object: a state machine"
        kind = json_type(definition)
        return [Violation(pointer=where, code="type", message=message, size=kind)]
    start, states = definition.get("StartAt"), definition.get("States")
    if not isinstance(states, dict) or not states:
        message = "must be a state machine, with its states in States"
        return [Violation(pointer=where, code="required", message=message)]
    if not isinstance(start, str) or start not in states:
        message = "must name one of the States in StartAt"
        return [Violation(pointer=where, code="required", message=message)]
    return []


def machine_of(spec: WorkflowSpec) -> dict[str, Any]:
    """The state machine of a (checked) spec, with what the spec says beside it.

    Raises:
        SpecError: The spec and its definition have different timeouts.
    """
    given: dict[str, Any] = dict(spec.definition)
    if spec.description:
        given.setdefault("Comment", spec.description)
    if spec.timeout is not None and spec.timeout.nanoseconds:
        seconds = _seconds(spec.timeout)
        if given.setdefault("TimeoutSeconds", seconds) != seconds:
            message = f"is another one than the spec's timeout, {spec.timeout}: give one of them"
            where = "/definition/TimeoutSeconds"
            raise SpecError(
                "an unusable WorkflowSpec",
                [Violation(pointer=where, code="value", message=message)],
            )
    if spec.attempts > 1 and spec.retry_policy is not None:
        return _tried_again(given, spec.retry_policy, spec.attempts)
    return given


def _tried_again(given: dict[str, Any], policy: RetryPolicy, attempts: int) -> dict[str, Any]:
    branch = {name: given[name] for name in ("StartAt", "States")}
    whole = {name: value for name, value in given.items() if name not in branch}
    retry: dict[str, Any] = {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": max(1, _seconds(policy.initial_interval)),
        "MaxAttempts": attempts - 1,
        "BackoffRate": policy.backoff_rate,
    }
    longest = min(_LONGEST_WAIT, _seconds(policy.max_interval))
    # AWS takes no longest wait that is not longer than the first one.
    if longest > retry["IntervalSeconds"]:
        retry["MaxDelaySeconds"] = longest
    elif longest:
        retry["BackoffRate"] = 1.0
    state: dict[str, Any] = {"Type": "Parallel", "Branches": [branch], "Retry": [retry]}
    # The output of a parallel state is a list with that of each branch.
    if given.get("QueryLanguage") == "JSONata":
        state["Output"] = "{% $states.result[0] %}"
    else:
        state["OutputPath"] = "$[0]"
    return {**whole, "StartAt": ATTEMPTS, "States": {ATTEMPTS: {**state, "End": True}}}


def _seconds(value: GoDuration) -> int:
    """Whole seconds, rounded up, so that nothing is cut short."""
    return -(-value.nanoseconds // _NANOSECONDS)

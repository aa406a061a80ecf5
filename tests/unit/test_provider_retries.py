"""The document that has another one tried again, as a spec asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.providers.types import WorkflowSpec
from steploom.providers.temporal_retries import (
    check_supervisor,
    error_of_try,
    retried_version,
    supervisor_of,
)

DOCUMENT: dict[str, Any] = {
    "workflowId": "tenant-provisioning",
    "name": "Tenant Provisioning",
    "description": "Why",
    "version": "1.2.0",
    "steps": [{"stepId": "provision", "taskId": "core.noop"}],
    "executionLog": {"level": "error", "retention": "P30D", "metadata": ["orgId"]},
    "timeout": "PT5M",
    "triggers": [{"eventPattern": "tenant.*"}],
    "output": {"tenant": "${input.tenant_id}"},
}
POLICY: dict[str, Any] = {
    "max_attempts": 3,
    "backoff_rate": 2.0,
    "initial_interval": "1s",
    "max_interval": "1m",
}


def spec(policy: dict[str, Any] | None, **fields: Any) -> WorkflowSpec:
    """A spec of the document with this policy."""
    given = {
        "workflow_id": "tenant-provisioning",
        "provider_type": "temporal",
        "name": "Tenant Provisioning",
        "definition": DOCUMENT,
        "retry_policy": policy,
        **fields,
    }
    return WorkflowSpec.parse({name: one for name, one in given.items() if one is not None})


def retry_policy(policy: dict[str, Any]) -> Any:
    """The step's policy for a spec's."""
    supervisor = supervisor_of(spec(policy), DOCUMENT)
    assert supervisor is not None
    assert check_supervisor(spec(policy), supervisor).steps[0].retry_policy is not None
    return supervisor["steps"][0]["retryPolicy"]


def test_it_runs_the_document_by_the_specs_policy_and_timeout() -> None:
    """As a child of the same version, with how much is kept of it; not its triggers."""
    wanted = spec(POLICY, timeout="1h15m")
    supervisor = supervisor_of(wanted, DOCUMENT)
    assert supervisor == {
        "workflowId": "tenant-provisioning",
        "name": "Tenant Provisioning",
        "description": "Why",
        "version": "1.2.0+retried",
        "timeout": "PT1H15M",
        "executionLog": DOCUMENT["executionLog"],
        "steps": [
            {
                "stepId": "attempt",
                "taskId": "core.workflow",
                "input": {
                    "workflowId": "tenant-provisioning",
                    "version": "1.2.0",
                    "input": "${input}",
                },
                "retryPolicy": {
                    "maxAttempts": 3,
                    "delay": "PT1S",
                    "backoffRate": 2.0,
                    "maxDelay": "PT1M",
                    "strategy": "exponential",
                },
                "output": {"result": "${output}"},
            }
        ],
        "output": "${steps.attempt.output.result}",
    }
    assert check_supervisor(wanted, supervisor).version == "1.2.0+retried"


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_single_attempt_needs_none(attempts: int) -> None:
    """Nor does a spec without a policy."""
    assert supervisor_of(spec({**POLICY, "max_attempts": attempts}), DOCUMENT) is None
    assert supervisor_of(spec(None), DOCUMENT) is None


@pytest.mark.parametrize(
    ("version", "retried"),
    [
        ("1.0.0", "1.0.0+retried"),
        ("1.0.0+build.7", "1.0.0+build.7.retried"),
        ("1.0.0-rc.1", "1.0.0-rc.1+retried"),
        ("1.0.0+retried", "1.0.0+retried.retried"),
    ],
)
def test_its_version_is_another_one_and_valid(version: str, retried: str) -> None:
    """Build metadata that the document's version has already goes on."""
    supervisor = supervisor_of(spec(POLICY), {**DOCUMENT, "version": version})
    assert supervisor is not None
    assert check_supervisor(spec(POLICY), supervisor).version == retried
    assert supervisor["steps"][0]["input"]["version"] == version


def test_intervals_of_zero() -> None:
    """No longest one is no limit; no initial one is no wait."""
    policy = retry_policy({"max_attempts": 2, "backoff_rate": 1})
    assert policy == {
        "maxAttempts": 2,
        "delay": "PT0S",
        "backoffRate": 1,
        "strategy": "exponential",
    }


def test_an_error_is_that_of_the_last_try() -> None:
    """A supervisor's own keeps what it says, but for the step, which is nobody's state."""
    last = {"type": "GatewayError", "code": "502", "message": "bad", "stepId": "charge"}
    told = {"type": "GatewayError", "message": "w: bad", "stepId": "attempt", "details": last}
    assert error_of_try(told) == last
    own = {"type": "WorkflowTerminated", "message": "it was terminated", "stepId": "attempt"}
    assert error_of_try(own) == {**own, "stepId": None}
    other = {"type": "InputError", "message": "no", "details": [{"type": "InputError"}]}
    assert error_of_try(other) == other


@pytest.mark.parametrize(
    ("metadata", "version"),
    [
        ({"providerRetried": "1.0.0"}, "1.0.0"),
        ({"providerRetried": None}, None),
        ({"providerRetried": ["1.0.0"]}, None),
        ({}, None),
        (["providerRetried"], None),
        (None, None),
    ],
)
def test_a_run_tries_another_one_again_by_its_metadata(metadata: Any, version: str | None) -> None:
    """Whatever stands there."""
    assert retried_version(metadata) == version

"""The provider types: the published examples to the byte, and every rule at its border."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from definitions.errors import InvalidInputError
from definitions.providers import limits
from definitions.providers.durations import GoDuration
from definitions.providers.errors import ProviderError, SpecError
from definitions.providers.types import (
    CreateWorkflowResult,
    ExecutionError,
    ExecutionEvent,
    ExecutionInput,
    ExecutionResult,
    ExecutionState,
    ExecutionStatus,
    RetryPolicy,
    WorkflowSpec,
)

WORKFLOW_SPEC = """\
{
  "workflow_id": "tenant-provisioning",
  "provider_type": "step-functions",
  "name": "Tenant Provisioning Workflow",
  "description": "Provisions compute and database for new tenant",
  "definition": {
    "Comment": "Tenant provisioning state machine",
    "StartAt": "ProvisionCompute",
    "States": {
      "ProvisionCompute": {
        "Type": "Task",
        "Resource": "arn:aws:lambda:...",
        "Next": "ConfigureDatabase"
      },
      "ConfigureDatabase": {
        "Type": "Task",
        "Resource": "arn:aws:lambda:...",
        "End": true
      }
    }
  },
  "timeout": "30m",
  "retry_policy": {
    "max_attempts": 3,
    "backoff_rate": 2.0,
    "initial_interval": "1s",
    "max_interval": "60s"
  },
  "tags": {
    "environment": "production",
    "team": "platform"
  }
}"""
EXECUTION_STATUS = """\
{
  "execution_id": "exec-abc123",
  "workflow_id": "tenant-provisioning",
  "provider_type": "step-functions",
  "state": "succeeded",
  "start_time": "2026-01-30T10:00:00Z",
  "stop_time": "2026-01-30T10:05:00Z",
  "input": {
    "tenant_id": "tenant-123",
    "image": "app:v1.0.0"
  },
  "output": {
    "compute_id": "ecs-task-123",
    "database_id": "rds-instance-456"
  },
  "history": [
    {
      "timestamp": "2026-01-30T10:00:00Z",
      "type": "ExecutionStarted",
      "details": {}
    },
    {
      "timestamp": "2026-01-30T10:02:00Z",
      "type": "StateEntered",
      "details": {"state": "ProvisionCompute"}
    },
    {
      "timestamp": "2026-01-30T10:04:00Z",
      "type": "StateEntered",
      "details": {"state": "ConfigureDatabase"}
    },
    {
      "timestamp": "2026-01-30T10:05:00Z",
      "type": "ExecutionSucceeded",
      "details": {}
    }
  ]
}"""
NOW = datetime(2026, 1, 30, 10, tzinfo=UTC)


def spec(**fields: Any) -> dict[str, Any]:
    """The JSON of a spec with nothing but what it must have."""
    least = {"workflow_id": "a", "provider_type": "p", "name": "n", "definition": {"any": "thing"}}
    return {**least, **fields}


def status(**fields: Any) -> ExecutionStatus:
    """A status with nothing but what it must have."""
    least: dict[str, Any] = {
        "execution_id": "e",
        "workflow_id": "w",
        "provider_type": "p",
        "state": "running",
        "start_time": "2026-01-30T10:00:00Z",
        "input": {},
    }
    return ExecutionStatus.parse({**least, **fields})


def refused(given: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    """Pointer, code, limit and size of everything that is wrong with a spec."""
    with pytest.raises(SpecError) as caught:
        WorkflowSpec.parse(given)
    return [(one.pointer, one.code, one.limit, one.size) for one in caught.value.violations]


@pytest.mark.parametrize(
    ("model", "example"),
    [(WorkflowSpec, WORKFLOW_SPEC), (ExecutionStatus, EXECUTION_STATUS)],
    ids=["spec", "status"],
)
def test_the_published_examples_come_back_as_they_were(
    model: type[WorkflowSpec | ExecutionStatus], example: str
) -> None:
    """Read and written again, an example has the same bytes, in whatever format."""
    written = model.parse(example.encode()).to_json()
    assert model.parse(example).to_json() == written
    plain = json.dumps(json.loads(example), separators=(",", ":"))
    assert json.dumps(written, separators=(",", ":")) == plain
    # The example's one-line objects aside, that is its own format.
    indented = json.dumps(written, indent=2)
    for state in ("ProvisionCompute", "ConfigureDatabase"):
        spread = f'{{\n        "state": "{state}"\n      }}'
        indented = indented.replace(spread, f'{{"state": "{state}"}}')
    assert indented == example


def test_what_is_empty_is_left_out() -> None:
    """As Go's omitempty does it: by field, and a null that was given is not nothing."""
    assert WorkflowSpec.parse(spec()).to_json() == spec()
    empty = spec(description="", timeout="0s", tags={}, retry_policy=None)
    assert WorkflowSpec.parse(empty).to_json() == spec()
    given = spec(provider_config=None)
    assert WorkflowSpec.parse(given).to_json() == given
    assert ExecutionInput.parse({"input": []}).to_json() == {"input": []}
    assert "output" not in status().to_json()
    assert status(output=None).to_json()["output"] is None
    assert "stop_time" not in status(stop_time=None, history=[], metadata={}).to_json()
    assert RetryPolicy(backoff_rate=1).to_json() == {
        "max_attempts": 0,
        "backoff_rate": 1,
        "initial_interval": "0s",
        "max_interval": "0s",
    }


def test_the_members_stand_in_their_order() -> None:
    """Whatever the order in which they were given."""
    turned = dict(reversed(json.loads(WORKFLOW_SPEC).items()))
    assert [*WorkflowSpec.parse(turned).to_json()] == [*json.loads(WORKFLOW_SPEC)]
    result = CreateWorkflowResult(
        created_at=NOW, resource_ids={"arn": "x"}, provider_type="p", workflow_id="w"
    )
    assert json.dumps(result.to_json()) == (
        '{"workflow_id": "w", "provider_type": "p", "resource_ids": {"arn": "x"}, '
        '"created_at": "2026-01-30T10:00:00Z"}'
    )
    started = ExecutionResult(
        execution_id="e",
        workflow_id="w",
        provider_type="p",
        state=ExecutionState.PENDING,
        started_at=NOW,
        message="m",
    )
    assert [*started.to_json()][3:] == ["state", "started_at", "message"]
    assert ExecutionError(code="c", message="m").to_json() == {"code": "c", "message": "m"}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2026-01-30T10:00:00Z", "2026-01-30T10:00:00Z"),
        ("2026-01-30T10:00:00.5Z", "2026-01-30T10:00:00.5Z"),
        ("2026-01-30T10:00:00.120000Z", "2026-01-30T10:00:00.12Z"),
        ("2026-01-30T10:00:00.123456789Z", "2026-01-30T10:00:00.123456Z"),
        ("2026-01-30T12:00:00+02:00", "2026-01-30T10:00:00Z"),
        (datetime(2026, 1, 30, 12, tzinfo=timezone(timedelta(hours=2))), "2026-01-30T10:00:00Z"),
    ],
)
def test_times_are_utc(given: object, written: str) -> None:
    """With a Z, and as many digits as there are."""
    event = ExecutionEvent.parse({"timestamp": given, "type": "t"})
    assert event.to_json() == {"timestamp": written, "type": "t"}


@pytest.mark.parametrize(
    "given", ["2026-01-30T10:00:00", "2026-01-30", "2026-13-30T10:00:00Z", 0, None, ""]
)
def test_what_is_no_time_is_refused(given: object) -> None:
    """A time without a zone among it."""
    with pytest.raises(SpecError, match="/timestamp"):
        ExecutionEvent.parse({"timestamp": given, "type": "t"})


def test_everything_wrong_is_said_at_once() -> None:
    """Each violation with its place, the limit and what was found; also below a field."""
    assert refused(
        {
            "workflow_id": "Tenant\n",
            "name": "é" * 129,
            "description": "x" * 1025,
            "definition": {"big": "x" * limits.MAX_DEFINITION},
            "timeout": "-1s",
            "retry_policy": {
                "max_attempts": -1,
                "backoff_rate": 0.5,
                "initial_interval": "-1ms",
                "max_interval": 60,
            },
            "tags": {"k" * 129: "", "a": "v" * 129, "": "x"},
            "surprise": 1,
        }
    ) == [
        ("/workflow_id", "pattern", "^[a-z0-9-]{1,128}$", 7),
        ("/provider_type", "required", None, None),
        ("/name", "too_large", 256, 258),
        ("/description", "too_large", 1024, 1025),
        ("/definition", "too_large", 262_144, 262_154),
        ("/timeout", "range", "0s", "-1s"),
        ("/retry_policy/max_attempts", "range", 0, -1),
        ("/retry_policy/backoff_rate", "range", 1.0, 0.5),
        ("/retry_policy/initial_interval", "range", "0s", "-1ms"),
        ("/retry_policy/max_interval", "type", None, "number"),
        (f"/tags/{'k' * 129}", "too_large", 128, 129),
        ("/tags/a", "too_large", 128, 129),
        ("/tags/", "required", 1, 0),
        ("/surprise", "unknown", None, None),
    ]


def test_what_is_empty_is_told_with_its_size() -> None:
    """Against the pattern, or the one byte that there has to be."""
    pattern = limits.WORKFLOW_ID_PATTERN
    assert refused(spec(workflow_id="", provider_type="", name="")) == [
        ("/workflow_id", "required", pattern, 0),
        ("/provider_type", "required", 1, 0),
        ("/name", "required", 1, 0),
    ]


def test_as_text_each_violation_is_told_once() -> None:
    """And no more than ten of them."""
    with pytest.raises(SpecError) as caught:
        WorkflowSpec.parse(spec(name="", tags={str(n): "x" * 129 for n in range(12)}))
    text = str(caught.value)
    assert text.startswith("an unusable WorkflowSpec: /name: must not be empty; /tags/0: has 129")
    assert text.count("/name") == 1
    assert text.endswith("/tags/8: has 129 bytes, at most 128 are allowed (and 3 more)")


def test_a_value_made_in_code_is_held_to_the_same() -> None:
    """It raises the same error, which is one of the provider's and one of bad input."""
    with pytest.raises(SpecError) as caught:
        WorkflowSpec(**spec(name="", retry_policy={"backoff_rate": 0}))
    assert isinstance(caught.value, ProviderError)
    assert isinstance(caught.value, InvalidInputError)
    pointers = [one.pointer for one in caught.value.violations]
    assert pointers == ["/name", "/retry_policy/backoff_rate"]
    made = WorkflowSpec(**spec(timeout=timedelta(minutes=75, seconds=30.5)))
    assert made.to_json()["timeout"] == "1h15m30.5s"
    assert made.timeout == GoDuration.parse("4530.5s")


BORDERS: list[tuple[str, str, int]] = [
    ("name", "x", 256),
    ("name", "é", 256),
    ("name", "😀", 256),
    ("description", "é", 1024),
]


@pytest.mark.parametrize(("field", "character", "most"), BORDERS)
def test_texts_end_at_their_limit_in_bytes(field: str, character: str, most: int) -> None:
    """Exactly so many bytes of UTF-8 pass; one more does not."""
    fits = character * (most // len(character.encode()))
    assert getattr(WorkflowSpec.parse(spec(**{field: fits})), field) == fits
    assert refused(spec(**{field: fits + "x"})) == [(f"/{field}", "too_large", most, most + 1)]


def test_json_ends_at_its_limit_in_bytes() -> None:
    """Of its shortest text, in UTF-8."""
    frame = len('{"a":""}')
    fits = {"a": "é" * ((limits.MAX_DEFINITION - frame) // 2)}
    over = {"a": fits["a"] + "x"}
    bytes_over = limits.MAX_DEFINITION + 1
    assert WorkflowSpec.parse(spec(definition=fits)).definition == fits
    found = refused(spec(definition=over))
    assert found == [("/definition", "too_large", limits.MAX_DEFINITION, bytes_over)]
    assert ExecutionInput(input=fits).input == fits
    assert status(output=fits).output == fits
    for name, make in (("input", ExecutionInput.parse), ("output", lambda one: status(**one))):
        with pytest.raises(SpecError) as caught:
            make({name: over})
        [one] = caught.value.violations
        assert (one.field, one.limit, one.size) == (name, limits.MAX_INPUT, bytes_over)


def test_tags_end_at_their_limits() -> None:
    """Fifty of them, keys and values of 128 bytes each."""
    tags = {f"{n:02}" + "é" * 63: "é" * 64 for n in range(50)}
    assert WorkflowSpec.parse(spec(tags=tags)).tags == tags
    assert refused(spec(tags={**tags, "one": "more"})) == [("/tags", "too_many", 50, 51)]
    assert refused(spec(tags={"a": "é" * 64 + "x"})) == [("/tags/a", "too_large", 128, 129)]


@pytest.mark.parametrize("good", ["a", "0", "-", "a" * 128, "tenant-provisioning", "data-v2"])
def test_workflow_ids_that_pass(good: str) -> None:
    """Lower case, digits and hyphens."""
    assert WorkflowSpec.parse(spec(workflow_id=good)).workflow_id == good


@pytest.mark.parametrize(
    "bad", ["", "A", "a_b", "a b", "a\n", "\na", "é", "\uff41", "a" * 129, "٣"]
)
def test_workflow_ids_that_do_not(bad: str) -> None:
    """A line break at the end among them, which Python's ``$`` would let pass."""
    assert {place for place, *_ in refused(spec(workflow_id=bad))} == {"/workflow_id"}


@pytest.mark.parametrize("good", ["", "a", "A-b_9", "_", "x" * 128])
def test_execution_names_that_pass(good: str) -> None:
    """None at all is one: the provider makes one up."""
    assert ExecutionInput(execution_name=good, input={}).execution_name == good


@pytest.mark.parametrize("bad", ["a b", "a\n", "a.b", "a:b", "é", "x" * 129])
def test_execution_names_that_do_not(bad: str) -> None:
    """Also one that is only too long."""
    with pytest.raises(SpecError) as caught:
        ExecutionInput(execution_name=bad, input={})
    [one] = caught.value.violations
    assert one.field == "execution_name"
    assert one.limit == (128 if len(bad) > 128 else limits.EXECUTION_NAME_PATTERN)


@pytest.mark.parametrize("given", [None, 1, "text", True])
def test_an_input_is_an_object_or_an_array(given: object) -> None:
    """Nothing else."""
    with pytest.raises(SpecError, match="must be a JSON object or array"):
        ExecutionInput.parse({"input": given})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"input": {"a": 1, "a": 2}}', "duplicate_key"),
        ('{"input": {"a": NaN}}', "not_a_number"),
        ('{"input": {"a": "\\u0000"}}', "null_character"),
        ('{"input": {}', "invalid_json"),
        ("[]", "type"),
    ],
)
def test_text_that_is_no_usable_json_is_refused(text: str, code: str) -> None:
    """As at every entrance."""
    with pytest.raises(SpecError) as caught:
        ExecutionInput.parse(text)
    assert [one.code for one in caught.value.violations] == [code]


def test_states_follow_one_another() -> None:
    """Pending, running, one of four ends; nothing else."""
    allowed = {
        (before, after)
        for before in ExecutionState
        for after in ExecutionState
        if before.can_become(after)
    }
    ends = {"succeeded", "failed", "timed_out", "cancelled"}
    assert allowed == {("pending", "running"), *(("running", end) for end in ends)}
    assert {state for state in ExecutionState if state.ended} == ends
    assert ExecutionState.PENDING.become(ExecutionState.RUNNING) is ExecutionState.RUNNING
    with pytest.raises(SpecError, match="succeeded cannot become running"):
        ExecutionState.SUCCEEDED.become(ExecutionState.RUNNING)


@pytest.mark.parametrize("attempts", [0, 1])
def test_no_attempts_and_one_are_the_same(attempts: int) -> None:
    """A single attempt."""
    given = spec(retry_policy={"max_attempts": attempts, "backoff_rate": 1.0})
    assert WorkflowSpec.parse(given).attempts == 1


@pytest.mark.parametrize("given", ["Running", "", "unknown", 1, None])
def test_an_unknown_state_is_refused(given: object) -> None:
    """Only the six there are."""
    with pytest.raises(SpecError, match="/state"):
        status(state=given)

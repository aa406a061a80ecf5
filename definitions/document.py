"""The workflow document: what a team stores as JSON, as pydantic models.

The fields are those of the original "Workflows" specification, plus the extensions that
``docs/definitions.md`` lists. Names are camelCase in JSON and snake_case in Python. The models
check shape alone (types, patterns, sizes of single values); what needs the whole document, such as
targets and expressions, is ``definitions.validation``'s.

Unknown fields are refused, except keys that begin with ``x-`` and the free objects ``metadata`` and
``context``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import semver
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from definitions.durations import DurationError, check_calendar_duration, parse_duration

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_DESCRIPTION_BYTES = 1024
WORKFLOW_ID_PATTERN = r"^[a-z0-9-]{1,128}$"
STEP_ID_PATTERN = r"^[A-Za-z0-9_-]{1,128}$"


def _exact_duration(text: str) -> str:
    try:
        parse_duration(text)
    except DurationError as error:
        raise PydanticCustomError("duration", "{reason}", {"reason": str(error)}) from None
    return text


def _calendar_duration(text: str) -> str:
    try:
        return check_calendar_duration(text)
    except DurationError as error:
        raise PydanticCustomError("duration", "{reason}", {"reason": str(error)}) from None


def _semantic_version(text: str) -> str:
    if not semver.Version.is_valid(text):
        raise PydanticCustomError(
            "semantic_version",
            "{text} is not a semantic version such as 1.0.0 or 2.1.0-rc.1",
            {"text": repr(text)},
        )
    return text


def _short_description(text: str) -> str:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_DESCRIPTION_BYTES:
        raise PydanticCustomError(
            "description_too_long",
            "the description has {size} bytes, at most {limit} are allowed",
            {"size": size, "limit": MAX_DESCRIPTION_BYTES},
        )
    return text


def _whole_number(value: Any) -> Any:
    # JSON has one kind of number: 3.0 is 3, and some programs can only write the former.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WorkflowId = Annotated[str, Field(pattern=WORKFLOW_ID_PATTERN)]
StepId = Annotated[str, Field(pattern=STEP_ID_PATTERN)]
Version = Annotated[str, Field(max_length=50), AfterValidator(_semantic_version)]
Duration = Annotated[str, AfterValidator(_exact_duration)]
CalendarDuration = Annotated[str, AfterValidator(_calendar_duration)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
Description = Annotated[str, AfterValidator(_short_description)]
WHOLE_NUMBER = BeforeValidator(_whole_number)
#: CEL, without ``${ }``.
Condition = Annotated[str, Field(min_length=1)]
#: Any JSON value; strings may hold ``${ expression }``.
Mapping = JsonValue


class _Part(BaseModel):
    """Base of every object in the document: camelCase names, strict types, ``x-`` keys allowed."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="allow",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="after")
    def _refuse_unknown_fields(self) -> _Part:
        # extra="forbid" would refuse ``x-`` keys too, so the others are refused here; the
        # validation module turns this one error into one problem for each field.
        unknown = [key for key in self.model_extra or {} if not key.startswith("x-")]
        if unknown:
            raise PydanticCustomError(
                "unknown_fields", "unknown fields: {fields}", {"fields": unknown}
            )
        return self

    def gave(self, field: str) -> bool:
        """Whether the document has this field (``null`` counts; Python's name of it)."""
        return field in self.model_fields_set


class RetryPolicy(_Part):
    """How often a task is tried, and how long is waited in between."""

    max_attempts: Annotated[int, Field(ge=1, le=1_000_000), WHOLE_NUMBER] = 3
    delay: Duration = "PT1S"
    strategy: Literal["exponential", "fixed"] = "exponential"
    backoff_rate: Annotated[float, Field(ge=1.0, le=1000.0)] = 2.0
    max_delay: Duration | None = None
    non_retryable_errors: list[str] = Field(default_factory=list)


class ErrorCondition(_Part):
    """Matches an error when each of the two that it gives is equal to the error's."""

    error_type: str | None = None
    error_code: str | None = None
    next_step_id: StepId


class ErrorHandler(_Part):
    """Error-specific transitions, tried in order."""

    conditions: list[ErrorCondition] = Field(default_factory=list)


class OnFailure(_Part):
    """What happens when a step's attempts are spent."""

    action: Literal["continue", "stop", "retry"] = "stop"
    next_step_id: StepId | None = None
    error_handler: ErrorHandler | None = None


class Transition(_Part):
    """An entry of ``next``: the first whose condition is absent or true is taken."""

    next_step_id: StepId
    condition: Condition | None = None


class ForEach(_Part):
    """Runs a step's task and branches once for each item of a list."""

    items: Mapping
    max_concurrency: Annotated[int, Field(ge=1, le=500), WHOLE_NUMBER] = 10
    tolerated_failures: Annotated[int, Field(ge=0), WHOLE_NUMBER] = 0


class Compensation(_Part):
    """What undoes a completed step when the run is rolled back."""

    task_id: Annotated[str, Field(min_length=1, max_length=255)]
    input: Mapping = None
    retry_policy: RetryPolicy | None = None
    timeout: Duration | None = None


class Branch(_Part):
    """One of the lists of steps that a step runs side by side."""

    branch_id: StepId
    steps: Annotated[list[Step], Field(min_length=1)]


class Step(_Part):
    """One step: a task, where to go from it, and what to do when it fails."""

    step_id: StepId
    task_id: Annotated[str, Field(min_length=1, max_length=255)]
    name: Name | None = None
    description: Description | None = None
    input: Mapping = None
    output: Mapping = None
    next: list[Transition] | None = None
    parallel_branches: list[Branch] = Field(default_factory=list)
    for_each: ForEach | None = None
    retry_policy: RetryPolicy | None = None
    timeout: Duration | None = None
    attempt_timeout: Duration | None = None
    heartbeat_timeout: Duration | None = None
    on_failure: OnFailure | None = None
    compensation: Compensation | None = None


class Transform(_Part):
    """Makes a workflow's input of an event."""

    type: Literal["jmespath", "jsonata"]
    expression: Annotated[str, Field(min_length=1)]


class Trigger(_Part):
    """An event that starts this workflow."""

    event_pattern: Annotated[str, Field(min_length=1, max_length=255)]
    description: Description | None = None
    condition: Condition | None = None
    transform: Transform | None = None


class UiComponent(_Part):
    """A component of a user interface and when to show it."""

    component_id: Annotated[str, Field(min_length=1, max_length=255)]
    condition: Condition | None = None
    priority: float = 0
    context: dict[str, JsonValue] = Field(default_factory=dict)


class ExecutionLog(_Part):
    """How much of each execution is kept, and for how long."""

    level: Literal["debug", "info", "error"] | None = None
    retention: CalendarDuration | None = None
    metadata: list[str] = Field(default_factory=list)


def _only_failed() -> list[Literal["failed", "cancelled"]]:
    return ["failed"]


class Rollback(_Part):
    """When and how the compensations of completed steps run."""

    on: list[Literal["failed", "cancelled"]] = Field(default_factory=_only_failed)
    order: Literal["reverse", "parallel"] = "reverse"


class Definition(_Part):
    """A whole workflow definition, one version of it."""

    workflow_id: WorkflowId
    name: Name
    version: Version
    steps: Annotated[list[Step], Field(min_length=1)]
    description: Description | None = None
    input_schema: dict[str, JsonValue] | None = None
    triggers: list[Trigger] = Field(default_factory=list)
    ui_components: list[UiComponent] = Field(default_factory=list)
    execution_log: ExecutionLog = Field(default_factory=ExecutionLog)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    timeout: Duration | None = None
    output: Mapping = None
    on_failure: OnFailure | None = None
    rollback: Rollback | None = None

    @field_validator("variables")
    @classmethod
    def _variables_are_named(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if "" in value:
            raise PydanticCustomError("empty_name", "a variable needs a name", {})
        return value


Branch.model_rebuild()

"""The types of the provider interface: what a workflow is, how one is started, what became of it.

Their JSON has snake_case names. ``parse`` reads it and ``to_json`` writes it; see ``values`` for
the rules, ``limits`` for the sizes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field

from definitions.jsongate import MAX_BYTES
from definitions.providers import limits
from definitions.providers.durations import GoDuration
from definitions.providers.errors import SpecError, Violation
from definitions.providers.values import (
    Duration,
    ProviderModel,
    Tags,
    Time,
    WorkflowId,
    holding,
)


class ExecutionState(StrEnum):
    """Where an execution stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing can come after it."""
        return not _NEXT[self]

    def can_become(self, after: ExecutionState) -> bool:
        """Whether ``after`` may come next: pending, running, then one of the four ends."""
        return after in _NEXT[self]

    def become(self, after: ExecutionState) -> ExecutionState:
        """Returns ``after``.

        Raises:
            SpecError: It may not come next.
        """
        if not self.can_become(after):
            allowed = ", ".join(sorted(_NEXT[self])) or "nothing"
            message = f"{self} cannot become {after}; what can come next is {allowed}"
            found = Violation(pointer="/state", code="transition", message=message)
            raise SpecError("an impossible change of state", [found])
        return after


_ENDS = frozenset(
    {
        ExecutionState.SUCCEEDED,
        ExecutionState.FAILED,
        ExecutionState.TIMED_OUT,
        ExecutionState.CANCELLED,
    }
)
_NEXT: dict[ExecutionState, frozenset[ExecutionState]] = {
    ExecutionState.PENDING: frozenset({ExecutionState.RUNNING}),
    ExecutionState.RUNNING: _ENDS,
    **dict.fromkeys(_ENDS, frozenset()),
}


def _not_negative(value: GoDuration) -> list[Violation]:
    if value.nanoseconds >= 0:
        return []
    message = f"{value} is negative"
    return [Violation(pointer="", code="range", message=message, limit="0s", size=value.text)]


def _timeout(value: GoDuration | None) -> list[Violation]:
    if value is None or value.nanoseconds >= 0:
        return []
    message = f"{value} is negative; a timeout is greater than zero where it is set"
    return [Violation(pointer="", code="range", message=message, limit="0s", size=value.text)]


def _at_least(least: float) -> Any:
    def rule(value: float) -> list[Violation]:
        # Turned round, so that NaN is refused too.
        if value >= least and value - value == 0:
            return []
        message = f"{value} is less than {least}" if value < least else f"{value} is no number"
        return [Violation(pointer="", code="range", message=message, limit=least, size=value)]

    return holding(rule)


def _text(most: int, *, required: bool = False) -> Any:
    return holding(lambda text: limits.check_text(text, most, required=required))


def _json(most: int, *, containers: bool = False) -> Any:
    return holding(lambda value: limits.check_json(value, most, containers=containers))


def _execution_name(text: str) -> list[Violation]:
    if not text:
        return []
    return limits.check_pattern(text, limits.EXECUTION_NAME_PATTERN, limits.MAX_EXECUTION_NAME)


def _execution_state(value: object) -> object:
    if isinstance(value, str) and value in ExecutionState.__members__.values():
        return ExecutionState(value)
    return value


_Name = Annotated[str, _text(limits.MAX_NAME, required=True)]
_State = Annotated[ExecutionState, BeforeValidator(_execution_state)]


class RetryPolicy(ProviderModel):
    """How often an execution is tried as a whole, and how long is waited between two attempts.

    Attributes:
        max_attempts: All attempts; 0 and 1 both mean a single one.
        backoff_rate: What each wait is multiplied by for the next; at least 1.0.
        initial_interval: The wait before the second attempt.
        max_interval: The longest wait; zero means that there is no such limit.
    """

    model_config = ConfigDict(extra="forbid")

    max_attempts: Annotated[int, _at_least(0)] = 0
    backoff_rate: Annotated[int | float, _at_least(1.0)]
    initial_interval: Annotated[Duration, holding(_not_negative)] = GoDuration(0, "0s")
    max_interval: Annotated[Duration, holding(_not_negative)] = GoDuration(0, "0s")


class WorkflowSpec(ProviderModel):
    """A workflow that is to be created.

    Attributes:
        workflow_id: Its id, unique within its provider (and org).
        provider_type: Which provider has it.
        name: What people call it.
        description: What it does.
        definition: The provider's own definition of it.
        timeout: The longest an execution may take; absent or zero: as the provider has it.
        retry_policy: How an execution is tried again.
        tags: Metadata.
        provider_config: What else the provider needs.
    """

    model_config = ConfigDict(extra="forbid")
    omitempty: ClassVar[frozenset[str]] = frozenset(
        {"description", "timeout", "retry_policy", "tags", "provider_config"}
    )
    free: ClassVar[frozenset[str]] = frozenset({"definition", "provider_config"})

    workflow_id: WorkflowId
    provider_type: Annotated[str, _text(MAX_BYTES, required=True)]
    name: _Name
    description: Annotated[str, _text(limits.MAX_DESCRIPTION)] = ""
    definition: Annotated[Any, _json(limits.MAX_DEFINITION)]
    timeout: Annotated[Duration | None, holding(_timeout)] = None
    retry_policy: RetryPolicy | None = None
    tags: Tags = Field(default_factory=dict)
    provider_config: Annotated[Any, _json(limits.MAX_DEFINITION)] = None

    @property
    def attempts(self) -> int:
        """How often an execution is tried at most."""
        return max(1, self.retry_policy.max_attempts) if self.retry_policy else 1


class ExecutionInput(ProviderModel):
    """What an execution is started with.

    Attributes:
        execution_name: Its name, unique within the workflow; empty: the provider makes one up.
        input: A JSON object or array.
        tags: Metadata of this execution.
    """

    model_config = ConfigDict(extra="forbid")
    omitempty: ClassVar[frozenset[str]] = frozenset({"execution_name", "tags"})

    execution_name: Annotated[str, holding(_execution_name)] = ""
    input: Annotated[Any, _json(limits.MAX_INPUT, containers=True)]
    tags: Tags = Field(default_factory=dict)


class CreateWorkflowResult(ProviderModel):
    """A workflow that was created. ``resource_ids``: what the provider calls its parts."""

    omitempty: ClassVar[frozenset[str]] = frozenset({"message"})

    workflow_id: str
    provider_type: str
    resource_ids: dict[str, str]
    created_at: Time
    message: str = ""


class ExecutionResult(ProviderModel):
    """An execution that was started."""

    omitempty: ClassVar[frozenset[str]] = frozenset({"message"})

    execution_id: str
    workflow_id: str
    provider_type: str
    state: _State
    started_at: Time
    message: str = ""


class ExecutionError(ProviderModel):
    """Why an execution failed. ``failed_at``: the step or state in which it did."""

    omitempty: ClassVar[frozenset[str]] = frozenset({"cause", "failed_at"})

    code: str
    message: str
    cause: str = ""
    failed_at: str = ""


class ExecutionEvent(ProviderModel):
    """Something that happened in an execution.

    ``type`` is ``ExecutionStarted``, ``StateEntered``, ``StateExited``, ``StateFailed``,
    ``ExecutionSucceeded``, ``ExecutionFailed``, ``ExecutionTimedOut``, ``ExecutionCancelled``, or
    one of a provider's own.
    """

    omitempty: ClassVar[frozenset[str]] = frozenset({"details"})
    free: ClassVar[frozenset[str]] = frozenset({"details"})

    timestamp: Time
    type: str
    details: Annotated[Any, _json(MAX_BYTES)] = None


class ExecutionStatus(ProviderModel):
    """An execution as it stands.

    Attributes:
        execution_id: Which one.
        workflow_id: Of which workflow.
        provider_type: Where.
        state: Where it stands.
        start_time: When it began.
        stop_time: When it ended; absent until then.
        input: What it was given.
        output: What came out; absent unless it succeeded.
        error: Why it failed; absent unless it did.
        history: Its events, where they were asked for.
        metadata: What else the provider says of it.
    """

    omitempty: ClassVar[frozenset[str]] = frozenset(
        {"stop_time", "output", "error", "history", "metadata"}
    )
    free: ClassVar[frozenset[str]] = frozenset({"output"})

    execution_id: str
    workflow_id: str
    provider_type: str
    state: _State
    start_time: Time
    stop_time: Time | None = None
    input: Annotated[Any, _json(limits.MAX_INPUT)]
    output: Annotated[Any, _json(limits.MAX_OUTPUT)] = None
    error: ExecutionError | None = None
    history: list[ExecutionEvent] = Field(default_factory=list)
    metadata: dict[str, str] = Field(default_factory=dict)


#: The types of events that every provider uses.
EXECUTION_STARTED = "ExecutionStarted"
STATE_ENTERED = "StateEntered"
STATE_EXITED = "StateExited"
STATE_FAILED = "StateFailed"
#: The event with which an execution ends.
END_EVENTS: dict[ExecutionState, str] = {
    ExecutionState.SUCCEEDED: "ExecutionSucceeded",
    ExecutionState.FAILED: "ExecutionFailed",
    ExecutionState.TIMED_OUT: "ExecutionTimedOut",
    ExecutionState.CANCELLED: "ExecutionCancelled",
}

"""Every error that the client raises.

::

    SteploomError
    ├── InvalidDocumentError      an inline definition with problems in it
    ├── InvalidInputError         an input, a name or a parameter that does not fit
    ├── NotFoundError             no such execution, definition or org (or another org's)
    ├── UnreachableError          Temporal or Postgres does not answer, or no worker does
    ├── ConflictError             the name, or the idempotency key, was used for something else
    ├── RefusedError              an action that the execution does not allow now
    ├── ClientClosedError         the client was used after its ``with`` block; also a
    │                             ``RuntimeError``
    ├── WaitTimeoutError          it has not ended in time; also a ``TimeoutError``
    └── ExecutionEndedError       it has ended, and not well
        ├── ExecutionFailedError      by an error, its own or a step's
        │   └── ExecutionTimedOutError    by its own timeout
        ├── ExecutionCancelledError   it was asked to
        └── ExecutionTerminatedError  it was ended from outside, without a word of its own
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.errors import SteploomError

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject


class ClientClosedError(SteploomError, RuntimeError):
    """A client whose ``with`` block was left, or an execution of one."""

    def __init__(self) -> None:
        super().__init__(
            "the client is closed: its `with` block was left",
            hint="use it, and its executions, within the block, or connect again",
        )


class WaitTimeoutError(SteploomError, TimeoutError):
    """An execution that has not ended in the time that it was waited for. It goes on."""

    def __init__(self, execution_id: str, seconds: float) -> None:
        super().__init__(
            f"{execution_id} has not ended within {seconds:g} s; it goes on",
            hint="wait again, or watch it",
        )
        self.execution_id = execution_id


class ExecutionEndedError(SteploomError):
    """An execution that did not end well.

    Attributes:
        execution_id: Which one.
        type: The error's type, such as ``GatewayError`` or ``ApprovalRejected``.
        code: The error's code, where it has one.
        step_id: The step that failed, where one did.
        details: What the error carries, any JSON.
        error: The whole error as it stands on record.
    """

    def __init__(self, execution_id: str, message: str, error: JsonObject | None = None) -> None:
        super().__init__(message, hint=f"`steploom explain {execution_id}` tells why")
        self.execution_id = execution_id
        self.error: JsonObject = error or {}
        self.type = _text(self.error.get("type")) or "Error"
        self.code = _text(self.error.get("code"))
        self.step_id = _text(self.error.get("stepId"))
        self.details: Any = self.error.get("details")


class ExecutionFailedError(ExecutionEndedError):
    """It failed."""


class ExecutionTimedOutError(ExecutionFailedError):
    """It took longer than its definition's ``timeout`` (or Temporal's, where one was set)."""


class ExecutionCancelledError(ExecutionEndedError):
    """It was cancelled."""


class ExecutionTerminatedError(ExecutionEndedError):
    """It was terminated in Temporal."""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

"""Every error that steploom raises on purpose.

::

    SteploomError
    ├── InvalidDocumentError      a definition with problems in it          exit 2
    ├── InvalidInputError         an input or a start object that does not fit   exit 2
    ├── NotFoundError             a definition, execution or org             exit 3
    ├── UnreachableError          Temporal or Postgres does not answer       exit 4
    ├── ConflictError             the same name with other content           exit 5
    ├── RefusedError              a decision or an action that is not allowed    exit 5
    └── TaskError                 what a task raises to fail its step

Another org's id is always ``NotFoundError``, never "forbidden".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.problems import Problem

#: Error types that no retry policy ever retries (docs/definitions.md).
NEVER_RETRIED = frozenset(
    {
        "ApprovalRejected",
        "ExpressionError",
        "InputError",
        "IterationLimitExceeded",
        "NoTransitionMatched",
        "PayloadTooLarge",
        "UnknownTask",
        "ValidationError",
        "WorkflowTimeout",
    }
)


class SteploomError(Exception):
    """Base of all errors raised on purpose. ``hint`` is the next thing to try, if there is one."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidDocumentError(SteploomError):
    """A definition with at least one error. ``problems`` holds all of them, warnings included."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        errors = [p for p in problems if p.severity == "error"] or list(problems)
        many = f"{len(errors)} errors" if len(errors) > 1 else "an error"
        super().__init__(f"the document has {many}")
        self.problems = list(problems)

    @override
    def __str__(self) -> str:
        """The message with the first of the errors."""
        errors = [p for p in self.problems if p.severity == "error"] or self.problems
        return f"{self.message}: {_told(errors[:1])}"


class InvalidInputError(SteploomError):
    """An input that does not fit its schema, or a start object of a wrong shape."""

    def __init__(
        self, message: str, *, problems: Sequence[Problem] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.problems = list(problems)

    @override
    def __str__(self) -> str:
        """The message with all problems, which ``message`` alone leaves out."""
        return f"{self.message}: {_told(self.problems)}" if self.problems else self.message


def _told(problems: Sequence[Problem]) -> str:
    return "; ".join(f"{one.pointer or '/'}: {one.message}" for one in problems)


class NotFoundError(SteploomError):
    """Nothing of that name in this org. ``kind`` says what was looked for."""

    def __init__(self, kind: str, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"{kind} {name!r} not found", hint=hint)
        self.kind = kind
        self.name = name


class UnreachableError(SteploomError):
    """A service does not answer. ``service`` is ``Temporal``, ``Postgres`` or ``Kafka``."""

    def __init__(self, service: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.service = service


class ConflictError(SteploomError):
    """The same name was used before with other content."""


class RefusedError(SteploomError):
    """An action that the state of the execution, or the rules of a step, do not allow."""


class TaskError(SteploomError):
    """Raised by a task to fail its step.

    Args:
        message: One sentence for a person.
        type: The error's type, matched by ``onFailure`` and ``nonRetryableErrors``.
        code: The error's code, matched by ``onFailure``.
        details: Any JSON value.
        retryable: False ends the attempts at once.
    """

    def __init__(
        self,
        message: str,
        *,
        type: str = "TaskError",  # noqa: A002 (the document's own word for it)
        code: str | None = None,
        details: Any = None,
        retryable: bool = True,
    ) -> None:
        super().__init__(message)
        self.type = type
        self.code = code
        self.details = details
        self.retryable = retryable

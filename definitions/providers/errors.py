"""What a provider raises.

::

    SteploomError
    └── ProviderError
        ├── ProviderNotFoundError     no such provider, workflow or execution      exit 3
        ├── ProviderConflictError     its state does not allow that now            exit 5
        │   └── AlreadyExistsError    the same name with other content             exit 5
        ├── SpecError                 values that break a rule, all of them named  exit 2
        ├── UnavailableError          the engine does not answer, or has no room   exit 4
        └── UnsupportedError          this provider cannot do that                 exit 5

Each is also the general error of its kind (``NotFoundError``, ``ConflictError``,
``InvalidInputError``, ``UnreachableError``, ``RefusedError``), so that whoever handles those
handles these.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from typing_extensions import override

from definitions.errors import (
    ConflictError,
    InvalidDocumentError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    SteploomError,
    UnreachableError,
)
from definitions.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Violations that an error tells as text; ``violations`` has all.
_TOLD = 10


class ProviderError(SteploomError):
    """Base of all errors of a provider."""


class ProviderNotFoundError(NotFoundError, ProviderError):
    """There is no such provider, workflow or execution, or it is not the caller's to see."""


class ProviderConflictError(ConflictError, ProviderError):
    """The state in which it is does not allow that."""


class AlreadyExistsError(ProviderConflictError):
    """The name is taken by something with other content."""


class UnavailableError(UnreachableError, ProviderError):
    """The engine does not answer, does not let us in, or has no room now. ``service`` names it."""


class UnsupportedError(RefusedError, ProviderError):
    """This provider cannot do that, whatever the values are."""


class Violation(Problem):
    """A rule that a value breaks.

    Attributes:
        pointer: The JSON Pointer of the value, such as ``/retry_policy/backoff_rate``.
        code: What kind of rule: ``too_large``, ``pattern``, ``required``, ``range``, …
        limit: The limit that was broken, in the rule's own unit; absent where there is none.
        size: What was found, in the same unit.
    """

    limit: int | float | str | None = None
    size: int | float | str | None = None

    @property
    def field(self) -> str:
        """Which field of the whole: ``retry_policy`` for ``/retry_policy/backoff_rate``."""
        return self.pointer[1:].split("/", 1)[0]

    def below(self, prefix: str) -> Violation:
        """The same of a value that stands further down."""
        return self.model_copy(update={"pointer": prefix + self.pointer})


# A ValueError too, so that one inside another type's value is collected with the others.
class SpecError(InvalidInputError, ProviderError, ValueError):
    """Values that break rules. ``problems`` holds every violation, in the order of the fields."""

    def __init__(
        self, what: str, violations: Sequence[Violation], *, hint: str | None = None
    ) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        message = f"{what}: {first.pointer or '/'}: {first.message}{more}"
        super().__init__(message, problems=list(violations), hint=hint)
        self.violations = list(violations)
        self._what = what

    @override
    def __str__(self) -> str:
        """What is unusable, with the violations: each once, and not a whole page of them."""
        told = [f"{one.pointer or '/'}: {one.message}" for one in self.violations[:_TOLD]]
        more = len(self.violations) - len(told)
        return f"{self._what}: {'; '.join(told)}{f' (and {more} more)' if more else ''}"


@contextmanager
def provider_errors() -> Iterator[None]:
    """Turns the general errors of its body into those of a provider."""
    try:
        yield
    except ProviderError:
        raise
    except NotFoundError as error:
        raise ProviderNotFoundError(error.kind, error.name, hint=error.hint) from error
    except ConflictError as error:
        raise AlreadyExistsError(error.message, hint=error.hint) from error
    except (InvalidInputError, InvalidDocumentError) as error:
        found = [Violation(**one.model_dump()) for one in error.problems]
        text = error.message
        alone = [Violation(pointer="", code="refused", message=text)]
        raise SpecError("an unusable value", found or alone, hint=error.hint) from error
    except UnreachableError as error:
        raise UnavailableError(error.service, error.message, hint=error.hint) from error
    except RefusedError as error:
        raise ProviderConflictError(error.message, hint=error.hint) from error

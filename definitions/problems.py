"""What is wrong with a document: where, a stable code, and one plain sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable


class Problem(BaseModel):
    """One finding. ``pointer`` is a JSON Pointer (RFC 6901); the empty string is the document."""

    model_config = ConfigDict(frozen=True)

    pointer: str
    code: str
    message: str
    severity: Literal["error", "warning"] = "error"


def pointer(*parts: str | int) -> str:
    """The JSON Pointer of a path: ``pointer("steps", 0, "next")`` is ``/steps/0/next``."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether any of them blocks registration."""
    return any(problem.severity == "error" for problem in problems)

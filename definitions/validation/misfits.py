"""What keeps a JSON value from one of our models, in our words: for what comes from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pydantic_core.core_schema import ErrorType

from definitions.problems import Problem, pointer
from definitions.validation.structure import CODES, sentence

if TYPE_CHECKING:
    from pydantic import ValidationError

#: All others were raised by validators of ours, and are said in our words already.
_OF_PYDANTIC = frozenset(get_args(ErrorType))


def misfits(error: ValidationError) -> list[Problem]:
    """Every problem, with the place of the offending value; of a missing one, of its parent."""
    found = []
    for detail in error.errors(include_url=False):
        kind, where = detail["type"], detail["loc"]
        code: str = CODES.get(kind, "wrong_type")
        if kind == "extra_forbidden":
            code, message = "unknown_field", f"{where[-1]!r:.80} is not a field here"
        elif kind not in _OF_PYDANTIC and kind not in CODES:
            code, message = kind, detail["msg"]
        else:
            message = sentence(kind, where, detail)
        if kind == "missing":
            where = where[:-1]
        found.append(Problem(pointer=pointer(*where), code=code, message=message))
    return found


def misfit_text(error: ValidationError) -> str:
    """All problems as one sentence."""
    return "; ".join(f"{one.pointer or '/'}: {one.message}" for one in misfits(error))

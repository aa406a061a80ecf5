"""What is wrong with a value that pydantic has refused, in our words.

For what people write by themselves: an option of a command, a variable of the environment, a field
of an event. Each sentence follows on the name of the value: what is allowed there, what was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.validation.structure import json_type

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_LONGEST = 80
#: By the beginning of pydantic's type of error (``int_parsing``, ``int_from_float``, …).
_WANTED = {
    "int_parsing_size": "a whole number of fewer digits",
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "string_type": "text",
    "uuid": "a UUID",
    "time_delta": "a duration, in seconds or in ISO 8601",
    "datetime": "a time in ISO 8601",
    "timezone": "a time in ISO 8601",
    "list": "a list",
    "dict": "an object",
    "model": "an object",
    "path": "a path",
}
#: By pydantic's type of error, with its context.
_RULES = {
    "missing": "is missing",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}


def misfit_words(detail: ErrorDetails, *, found: bool = True) -> str:
    """What is wrong, as in ``must be a whole number, not 'ten'``.

    Args:
        detail: One of ``ValidationError.errors()``.
        found: Whether to say what was found, which must not be done for what may be a secret.
    """
    kind = detail["type"]
    if kind in {"value_error", "assertion_error"}:
        # A validator's own sentence.
        return str(detail.get("ctx", {}).get("error", detail["msg"]))
    words = _words(kind, detail)
    if not found or kind == "missing":
        return words
    value = detail["input"]
    return f"{words}, not {_shown(value)}"


def _words(kind: str, detail: ErrorDetails) -> str:
    if kind in _RULES:
        return _RULES[kind].format(**detail.get("ctx", {}))
    wanted = next((text for begin, text in _WANTED.items() if kind.startswith(begin)), None)
    return f"must be {wanted}" if wanted is not None else "must be of another kind"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}…"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value!r:.80}"
    return json_type(value)

"""JSON from the command line: the text itself, ``@FILE``, or ``@-`` for standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from definitions.errors import InvalidInputError
from definitions.jsongate import JsonGateError, loads
from steploom.operations.documents import read_file

if TYPE_CHECKING:
    from definitions.jsontypes import Json

#: The longest text that is read; what may go into a run is much less.
_MAX_BYTES = 1024 * 1024


def read_json(text: str, option: str) -> Json:
    """The value.

    Raises:
        InvalidInputError: It is no JSON, or the file cannot be read.
    """
    given: str | bytes = text
    if text == "@-":
        given = sys.stdin.buffer.read(_MAX_BYTES + 1)
    elif text.startswith("@"):
        given = read_file(Path(text[1:]))
    try:
        return loads(given, max_bytes=_MAX_BYTES)
    except JsonGateError as error:
        hint = "give JSON, as in '{\"amount\": 42}', or @FILE"
        if not text.startswith("@") and _is_file(text):
            hint = f"to read the file, give @{text}"
        raise InvalidInputError(f"{option} is no JSON: {error.message}", hint=hint) from None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # Too long for a name, or with characters that none can have.
        return False


def read_object(text: str, option: str) -> dict[str, Any]:
    """The value, which has to be an object.

    Raises:
        InvalidInputError: It is none.
    """
    value = read_json(text, option)
    if not isinstance(value, dict):
        raise InvalidInputError(
            f"{option} has to be a JSON object", hint="as in '{\"amount\": 42}'"
        )
    return value


def read_tags(given: list[str] | None) -> dict[str, str] | None:
    """Tags as they are typed, ``NAME=VALUE``.

    Raises:
        InvalidInputError: One is not of that form.
    """
    tags: dict[str, str] = {}
    for one in given or ():
        name, separator, value = one.partition("=")
        if not separator or not name:
            raise InvalidInputError(f"--tag {one!r} is not of the form NAME=VALUE")
        tags[name] = value
    return tags or None

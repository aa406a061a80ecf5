"""Makes any value of a task storable as JSON, so that a strange output never loses the record.

Postgres's ``jsonb`` has no U+0000, no lone surrogates, no NaN and no infinities, and refuses the
whole row for one of them. What comes in from outside is refused at the JSON gate; what a task gave
has already happened, so it is kept with those places replaced, and flagged.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from definitions.jsontypes import Json

REPLACEMENT = "\ufffd"
#: Objects and lists inside each other; what lies deeper is replaced. Python's own JSON stops at
#: about 1,000, and a list that holds itself never ends.
MAX_DEPTH = 200
#: About 4,200 digits. Python refuses to write or read integers of more than 4,300.
MAX_INTEGER_BITS = 14_000

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Json) -> tuple[Json, bool]:
    """The value as ``jsonb`` can keep it, and whether anything had to be replaced.

    U+0000 and lone surrogates become U+FFFD (in keys too); NaN and the infinities the strings
    ``NaN``, ``Infinity`` and ``-Infinity``; integers beyond ``MAX_INTEGER_BITS`` and what lies
    deeper than ``MAX_DEPTH`` a text that says so; keys and values that JSON does not have, their
    ``str``. The value given is never changed; where nothing is replaced it is returned itself.
    """
    return _storable(value, 0)


def with_storable_keys(value: Any) -> tuple[Any, bool]:
    """A value with U+FFFD for what cannot be stored in its keys, and whether there was any.

    For what pydantic is to make JSON of: it fails at a lone surrogate in a key, or replaces it
    without a word. Looks into objects and lists alone, and returns the value itself where nothing
    is replaced.
    """
    return _with_storable_keys(value, 0)


def _with_storable_keys(value: Any, depth: int) -> tuple[Any, bool]:
    if depth > MAX_DEPTH:
        return value, False
    if type(value) is dict:
        changed = False
        result: dict[Any, Any] = {}
        for key, member in value.items():
            name, name_changed = _text(key) if isinstance(key, str) else (key, False)
            result[name], member_changed = _with_storable_keys(member, depth + 1)
            changed = changed or name_changed or member_changed
        return (result, True) if changed else (value, False)
    if type(value) is list:
        items = [_with_storable_keys(item, depth + 1) for item in value]
        if any(changed for _, changed in items):
            return [item for item, _ in items], True
    return value, False


def _storable(value: Json, depth: int) -> tuple[Json, bool]:
    if value is None:
        return None, False
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, (dict, list, tuple)):
        if depth == MAX_DEPTH:
            return "<nested too deep>", True
        return _object(value, depth) if isinstance(value, dict) else _list(value, depth)
    return _text(str(value))[0], True


def _text(value: str) -> tuple[str, bool]:
    if _UNSTORABLE.search(value) is None:
        return value, False
    return _UNSTORABLE.sub(REPLACEMENT, value), True


def _number(value: float) -> tuple[Json, bool]:
    if isinstance(value, int):
        bits = value.bit_length()
        return (f"<integer of {bits} bits>", True) if bits > MAX_INTEGER_BITS else (value, False)
    if math.isfinite(value):
        return value, False
    if math.isnan(value):
        return "NaN", True
    return ("Infinity" if value > 0 else "-Infinity"), True


def _object(value: dict[Json, Json], depth: int) -> tuple[Json, bool]:
    result: dict[str, Json] = {}
    changed = False
    for key, member in value.items():
        name, name_changed = _text(key) if isinstance(key, str) else (_text(str(key))[0], True)
        result[name], member_changed = _storable(member, depth + 1)
        changed = changed or name_changed or member_changed
    return (result, True) if changed else (value, False)


def _list(value: list[Json] | tuple[Json, ...], depth: int) -> tuple[Json, bool]:
    result = [_storable(item, depth + 1) for item in value]
    if any(changed for _, changed in result):
        return [item for item, _ in result], True
    return value, False

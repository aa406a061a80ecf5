"""What was expected and what came, as lines that a person can read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from definitions.problems import pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.jsontypes import Json

_LONGEST = 200
#: What is shown before the place in which two long texts begin to differ.
_BEFORE = 60


def differences(what: str, expected: Json, actual: Json, *, subset: bool = False) -> list[str]:
    """A line for each place in which two JSON values differ; none when they are the same.

    Args:
        what: What is compared; begins each line.
        expected: The value that was expected.
        actual: The value that came.
        subset: Objects may have members that were not expected, at any depth.
    """
    return list(_differences(what, (), expected, actual, subset=subset))


def _differences(
    what: str, where: tuple[str | int, ...], expected: Json, actual: Json, *, subset: bool
) -> Iterator[str]:
    place = f"{what} at {pointer(*where)}" if where else what
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            if key not in actual:
                yield f"{place}: {key} is missing, expected {_text(value)}"
            else:
                yield from _differences(what, (*where, key), value, actual[key], subset=subset)
        if not subset:
            for key, value in actual.items():
                if key not in expected:
                    yield f"{place}: {key} was not expected, and is {_text(value)}"
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from _differences(what, (*where, index), one, other, subset=subset)
    elif not _same(expected, actual):
        wanted, came = _contrasted(expected, actual)
        yield f"{place}: expected {wanted}, got {came}"


def _same(one: Json, other: Json) -> bool:
    # In Python True == 1; in JSON they are as different as they look. 1 and 1.0 are one number.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _contrasted(one: Json, other: Json) -> tuple[str, str]:
    """Two values as text; of long ones that begin alike the part in which they differ."""
    texts = [json.dumps(value, ensure_ascii=False) for value in (one, other)]
    pairs = enumerate(zip(*texts, strict=False))
    alike = next((place for place, (a, b) in pairs if a != b), min(map(len, texts)))
    begin = alike - _BEFORE if alike > _LONGEST - _BEFORE else 0
    first, second = (_cut(f"…{text[begin:]}" if begin else text) for text in texts)
    return first, second


def _text(value: Json) -> str:
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

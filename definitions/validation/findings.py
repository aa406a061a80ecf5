"""Collects problems, gives them their order, and finds the name that was meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

from definitions.problem_codes import severity_of
from definitions.problems import Problem, pointer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from definitions.jsontypes import Json
    from definitions.problem_codes import Code

#: A place in the document: keys and indexes from its root.
Parts: TypeAlias = tuple[str | int, ...]

#: Looking for a near name is slow; after so many comparisons a document gets no more suggestions.
_MAX_COMPARISONS = 10_000
_LONGEST_NAME = 64


class Findings:
    """The problems of one document, as the rules find them."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._found: dict[tuple[Parts, str, str], Problem] = {}
        self._comparisons = 0
        self._indexes: dict[int, dict[str, int]] = {}

    def add(self, where: Parts, code: Code, message: str) -> None:
        """A problem at a place. Whether it is an error is the code's affair."""
        self._found.setdefault(
            (where, code, message),
            Problem(
                pointer=pointer(*where), code=code, message=message, severity=severity_of(code)
            ),
        )

    def meant(self, name: str, candidates: Iterable[str]) -> str:
        """A half sentence with the nearest candidate, or nothing: ``; did you mean 'x'?``."""
        if len(name) > _LONGEST_NAME or self._comparisons >= _MAX_COMPARISONS:
            return ""
        lower = {candidate.lower(): candidate for candidate in candidates}
        self._comparisons += len(lower)
        near = get_close_matches(name.lower(), lower, n=1)
        return f"; did you mean {lower[near[0]]!r}?" if near else ""

    def sorted(self) -> list[Problem]:
        """All of them in the order of the document; at one place, in the order of the rules."""
        ordered = sorted(self._found.items(), key=lambda found: self._position(found[0][0]))
        return [problem for _, problem in ordered]

    def _position(self, where: Parts) -> tuple[int, ...]:
        position: list[int] = []
        value: Any = self._document
        for part in where:
            if isinstance(value, dict):
                index = self._indexes.get(id(value))
                if index is None:
                    index = {key: number for number, key in enumerate(value)}
                    self._indexes[id(value)] = index
                position.append(index.get(str(part), len(index)))
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int):
                position.append(part)
                value = value[part] if part < len(value) else None
            else:
                break
        return tuple(position)

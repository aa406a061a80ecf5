"""Types that cannot match: what a schema says of a field, and what is done with the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.expressions import Reference
from definitions.terms import Term
from definitions.validation.parsed import expressions_at
from definitions.validation.places import places_of
from definitions.validation.shapes import type_of, types_of, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.validation.findings import Findings, Parts
    from definitions.validation.graph import Flow
    from definitions.validation.places import Place
    from definitions.validation.shapes import Scope, Shape

_EQUALITY = frozenset({"_==_", "_!=_"})
_ORDER = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_ORDERED = frozenset({"number", "string", "boolean"})
#: Functions that are called on text alone.
_OF_TEXT = frozenset({"startsWith", "endsWith", "contains", "matches"})
_WORDS = {
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def check_types(flow: Flow, scope: Scope, findings: Findings) -> None:
    """What is compared can be equal or in order; conditions and items have their types."""
    for place in places_of(flow.outline):
        for where, expression in expressions_at(place):
            for term in _calls(expression.term, frozenset()):
                _Operation(term, place, where, scope, findings).check()
            _check_result(expression.term, place, where, scope, findings)


def _calls(term: Term, bound: frozenset[str]) -> Iterator[Term]:
    """Every call whose operands are not the variables of macros."""
    if term.kind == "fold":
        yield from _calls(term.args[0], bound)
        inner = bound | {term.name, str(term.value)}
        for part in term.args[1:]:
            yield from _calls(part, inner)
        return
    if term.kind == "call" and not any(_head(part) in bound for part in term.args):
        yield term
    for part in term.args:
        yield from _calls(part, bound)


def _head(term: Term) -> str | None:
    return term.path[0] if term.path is not None else None


def _check_result(term: Term, place: Place, where: Parts, scope: Scope, findings: Findings) -> None:
    """A condition or the items of a ``forEach`` that is a field of another type."""
    if place.kind == "mapping" or term.path is None or len(term.path) < 2:  # noqa: PLR2004 (a field)
        return
    if place.kind == "items" and not isinstance(place.value, str):
        return
    found = scope.find(term.path, place)
    types = types_of(found.shape.schema)
    if found.state != "there" or not found.shape.sure or types is None:
        return
    name = f"{Reference(term.path)!s:.200}"
    if place.kind == "condition" and "boolean" not in types:
        message = f"the condition is {name}, which is {_listed(types)}, not true or false"
        findings.add(where, "condition_not_boolean", message)
    elif place.kind == "items" and "array" not in types:
        message = f"items must be a list, and {name} is {_listed(types)}"
        findings.add(where, "items_not_a_list", message)


class _Operation:
    """A call with what is known of its operands."""

    def __init__(
        self, term: Term, place: Place, where: Parts, scope: Scope, findings: Findings
    ) -> None:
        self._term = term
        self._place = place
        self._where = where
        self._scope = scope
        self._findings = findings

    def check(self) -> None:
        """Reports what cannot be."""
        name = self._term.name
        if name in _EQUALITY:
            self._check_equality()
        elif name in _ORDER:
            self._check_order()
        elif name == "@in":
            self._check_in()
        elif name in _OF_TEXT and self._term.args:
            known = self._types(self._term.args[0])
            if known is not None and "string" not in known[0] and known[1]:
                self._wrong(f"{name} needs text, and {self._name(0)} is {_listed(known[0])}")

    def _check_equality(self) -> None:
        left, right = (self._types(part) for part in self._term.args)
        if left is None or right is None:
            return
        never = "can never be equal" if self._term.name == "_==_" else "are never equal"
        if left[0].isdisjoint(right[0]):
            self._doubtful(
                f"{self._name(0)} is {_listed(left[0])} and {self._name(1)} is "
                f"{_listed(right[0])}: they {never}"
            )
            return
        for number, part in enumerate(self._term.args):
            other = self._term.args[1 - number]
            values = self._values(part)
            if values is not None and other.kind == "const" and not _among(other, values):
                self._doubtful(f"{self._name(number)} is never {_literal(other)}")

    def _check_order(self) -> None:
        left, right = (self._types(part) for part in self._term.args)
        if left is None or right is None or left[0] & right[0] & _ORDERED:
            return
        message = (
            f"{self._name(0)} is {_listed(left[0])} and {self._name(1)} is {_listed(right[0])}: "
            "they cannot be put in order"
        )
        if left[1] and right[1]:
            self._wrong(message)
        else:
            self._doubtful(message)

    def _check_in(self) -> None:
        subject, among = self._term.args
        known = self._types(subject)
        if known is None or subject.kind == "const" or among.kind != "list" or not among.args:
            return
        values = self._values(subject)
        for item in among.args:
            if item.kind != "const":
                return
            if values is not None and _among(item, values):
                return
            if values is None and type_of(_json(item)) in known[0]:
                return
        self._doubtful(f"{self._name(0)} can never be one of these values")

    def _types(self, term: Term) -> tuple[frozenset[str], bool] | None:
        """The types that a term can have, and whether that is sure."""
        if term.kind == "const":
            return None if term.name == "bytes" else (frozenset({type_of(term.value)}), True)
        if term.kind in {"list", "map"}:
            return frozenset({"array" if term.kind == "list" else "object"}), True
        shape = self._shape(term)
        types = types_of(shape.schema) if shape is not None else None
        return None if shape is None or types is None else (types, shape.sure)

    def _values(self, term: Term) -> list[object] | None:
        shape = self._shape(term)
        return values_of(shape.schema) if shape is not None else None

    def _shape(self, term: Term) -> Shape | None:
        if term.path is None:
            return None
        found = self._scope.find(term.path, self._place)
        return found.shape if found.state == "there" else None

    def _name(self, number: int) -> str:
        term = self._term.args[number]
        if term.path is not None:
            return f"{Reference(term.path)!s:.200}"
        return _literal(term) if term.kind == "const" else "the other side"

    def _wrong(self, message: str) -> None:
        self._findings.add(self._where, "type_mismatch", message)

    def _doubtful(self, message: str) -> None:
        self._findings.add(self._where, "doubtful_comparison", message)


def _listed(types: frozenset[str]) -> str:
    return " or ".join(_WORDS.get(name, name) for name in sorted(types))


def _literal(term: Term) -> str:
    return "null" if term.value is None else f"{term.value!r:.80}"


def _json(term: Term) -> object:
    return term.value


def _among(term: Term, values: list[object]) -> bool:
    return any(type_of(value) == type_of(term.value) and value == term.value for value in values)

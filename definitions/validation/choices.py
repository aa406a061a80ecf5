"""The conditions of a ``next`` together: do they cover everything, is one of them never taken?

The conditions are tried on every combination of values that they can tell apart: of
``data.amount > 1000`` and ``data.amount <= 1000`` those are an amount below, at and above 1000.
What they compare is taken to be independent of each other, so there are more combinations than can
really be, never fewer: conditions that cover all of them cover everything, and one that is never
taken here is never taken.
"""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, TypeAlias

from definitions.terms import Term, walk
from definitions.validation.outline import objects_in, text_of
from definitions.validation.parsed import expressions_at
from definitions.validation.places import places_of_step
from definitions.validation.shapes import type_of, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from definitions.jsontypes import Json
    from definitions.validation.findings import Findings
    from definitions.validation.graph import Flow
    from definitions.validation.outline import RawStep
    from definitions.validation.places import Place
    from definitions.validation.shapes import Scope

#: Combinations that are tried for one step, and evaluations for a whole document.
_MAX_COMBINATIONS = 2_000
_MAX_EVALUATIONS = 200_000

_ORDER = {
    "_<_": lambda a, b: a < b,
    "_<=_": lambda a, b: a <= b,
    "_>_": lambda a, b: a > b,
    "_>=_": lambda a, b: a >= b,
}
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
_NESTED = frozenset({"array", "object"})
_NUMBERS = frozenset({"int", "uint", "double"})

#: A value that a combination gives: its type and itself.
_Value: TypeAlias = tuple[str, Any]
_OTHER: _Value = ("other", None)


class _Unclear(Exception):  # noqa: N818 (no error: the condition fails here, or cannot be told)
    """The evaluation ends in an error, which is no choice."""


def check_choices(flow: Flow, scope: Scope, findings: Findings) -> None:
    """Something in ``next`` always matches, and each entry can be the one that does."""
    budget = _MAX_EVALUATIONS
    for step in flow.outline.steps:
        budget = _check_step(step, scope, budget, findings)


def _check_step(step: RawStep, scope: Scope, budget: int, findings: Findings) -> int:
    entries = list(objects_in(step.value.get("next")))
    conditions = [text_of(entry, "condition") for _, entry in entries]
    if not entries or any(
        text is None and entry.get("condition") is not None
        for (_, entry), text in zip(entries, conditions, strict=True)
    ):
        return budget
    where = (*step.where, "next")
    unconditional = next((at for at, text in enumerate(conditions) if text is None), None)
    if unconditional is not None:
        for index, _ in entries[unconditional + 1 :]:
            message = "an entry before this one has no condition, and is taken always"
            findings.add((*where, index), "transition_never_taken", message)
    terms, place = _terms_of(step)
    asked = entries[:unconditional]
    if not asked or any(index not in terms for index, _ in asked):
        return budget
    tried = _Trial([terms[index] for index, _ in asked], scope, place)
    if tried.size > budget:
        return budget
    if tried.size == 0:
        covered, taken = False, set(range(len(asked)))
    else:
        covered, taken = tried.run()
    for number, (index, _) in enumerate(asked):
        if number not in taken:
            message = "whenever this condition is true, one before it is true as well"
            findings.add((*where, index), "transition_never_taken", message)
    if unconditional is None and not covered:
        findings.add(
            where,
            "transitions_not_exhaustive",
            "it is not certain that one of these conditions is true, and the step fails if none "
            "is: let the last entry have no condition",
        )
    return budget - tried.size


def _terms_of(step: RawStep) -> tuple[dict[str | int, Term], Place | None]:
    found: dict[str | int, Term] = {}
    at: Place | None = None
    for place in places_of_step(step):
        if place.role == "next":
            at = place
            for where, expression in expressions_at(place):
                if expression.result_type in {"bool", "dyn"}:
                    found[where[-2]] = expression.term
    return found, at


def always_matches(steps: Iterable[RawStep], scope: Scope) -> bool:
    """Whether in each of these steps some entry of ``next`` is sure to match."""
    budget = _MAX_EVALUATIONS
    for step in steps:
        entries = list(objects_in(step.value.get("next")))
        if not entries or any(entry.get("condition") is None for _, entry in entries):
            continue
        terms, place = _terms_of(step)
        tried = _Trial([terms[index] for index, _ in entries if index in terms], scope, place)
        budget -= tried.size
        if tried.size == 0 or budget < 0 or not tried.run()[0]:
            return False
    return True


class _Trial:
    """The conditions on all combinations. ``size`` is 0 where there are too many to try."""

    def __init__(self, conditions: list[Term], scope: Scope, place: Place | None) -> None:
        self._conditions = conditions
        self._values: dict[Term, dict[_Value, None]] = {}
        for condition in self._conditions:
            _collect(condition, self._values)
        self._domains = {
            term: _of_schema(term, scope, place) or list(_domain(term, seen))
            for term, seen in self._values.items()
        }
        combinations = 1
        for domain in self._domains.values():
            combinations *= len(domain)
            if combinations > _MAX_COMBINATIONS:
                break
        work = combinations * sum(1 for c in self._conditions for _ in walk(c))
        self.size = 0 if combinations > _MAX_COMBINATIONS else work

    def run(self) -> tuple[bool, set[int]]:
        """Whether every combination is matched, and which conditions are ever the first."""
        covered, taken = True, set()
        for values in product(*self._domains.values()):
            chosen = dict(zip(self._domains, values, strict=True))
            try:
                first = next((n for n, c in enumerate(self._conditions) if _holds(c, chosen)), None)
            except _Unclear:
                continue
            if first is None:
                covered = False
            else:
                taken.add(first)
        return covered, taken


def _collect(term: Term, into: dict[Term, dict[_Value, None]]) -> None:
    """What a condition asks about, each with the values that it is compared with."""
    if term.kind == "const":
        return
    if term.kind == "call" and term.name in {"_&&_", "_||_", "!_", "_?_:_"}:
        for part in term.args:
            _collect(part, into)
        return
    question = _question(term)
    if question is None:
        into.setdefault(term, {}).update({("bool", True): None, ("bool", False): None})
        return
    subject, values = question
    into.setdefault(subject, {}).update(dict.fromkeys(values))


def _question(term: Term) -> tuple[Term, list[_Value]] | None:
    """The subject of a comparison and the constants; None where the term is its own subject."""
    if term.kind != "call":
        return None
    if term.name in {"_==_", "_!=_", *_ORDER}:
        left, right = term.args
        if left.kind == "const":
            left, right = right, left
        if right.kind == "const":
            return left, [_constant(right)]
        return _pair(*term.args)[0], [("number", Fraction(0))]
    if term.name == "@in":
        subject, among = term.args
        if among.kind == "list" and all(item.kind == "const" for item in among.args):
            return subject, [_constant(item) for item in among.args]
    return None


def _pair(left: Term, right: Term) -> tuple[Term, bool]:
    """Two things compared with each other: a subject that is below, at or above 0.

    The flag says that they were changed round.
    """
    turned = repr(right) < repr(left)
    args = (right, left) if turned else (left, right)
    return Term("call", "compared", args=args), turned


def _constant(term: Term) -> _Value:
    if term.name in _NUMBERS and term.value == term.value and abs(term.value) != float("inf"):
        return ("number", Fraction(term.value))
    return (term.name, term.value)


def _of_schema(term: Term, scope: Scope, place: Place | None) -> list[_Value]:
    """All values that a path can have, where its schema lists them."""
    if place is None or term.path is None:
        return []
    found = scope.find(term.path, place)
    values = values_of(found.shape.schema) if found.state == "there" else None
    return [_value(value) for value in values or ()]


def _value(value: Json) -> _Value:
    kind = type_of(value)
    if kind == "number":
        return ("number", Fraction(value))
    return ({"boolean": "bool"}.get(kind, kind), json.dumps(value) if kind in _NESTED else value)


def _domain(term: Term, seen: Iterable[_Value]) -> Iterator[_Value]:
    """One value of each kind that the constants tell apart."""
    if term.name == "size":
        # A whole number, and never below 0.
        numbers = [value for kind, value in seen if kind == "number"]
        near = {n // 1 + more for n in numbers for more in (-1, 0, 1)}
        yield from (("number", Fraction(n)) for n in sorted(near | {0}) if n >= 0)
        return
    kinds: dict[str, list[Any]] = {}
    for kind, value in seen:
        kinds.setdefault(kind, []).append(value)
    for kind, values in kinds.items():
        if kind == "bool":
            yield from (("bool", True), ("bool", False))
            continue
        try:
            ordered = sorted(set(values))
        except TypeError:
            yield from ((kind, value) for value in values)
            continue
        yield from ((kind, value) for value in ordered)
        if kind == "number":
            yield ("number", ordered[0] - 1)
            yield ("number", ordered[-1] + 1)
            yield from (("number", (low + high) / 2) for low, high in pairwise(ordered))
        elif kind == "string":
            yield from (("string", f"{value}\0") for value in ("", *ordered))
    if "bool" not in kinds:
        yield _OTHER


def _holds(term: Term, chosen: Mapping[Term, _Value]) -> bool:
    if term.kind == "const":
        if term.name != "bool":
            raise _Unclear
        return bool(term.value)
    if term.kind == "call" and term.name in {"_&&_", "_||_", "!_", "_?_:_"}:
        return _combined(term, chosen)
    if _question(term) is None:
        return chosen[term] == ("bool", True)
    if term.name == "@in":
        return chosen[term.args[0]] in [_constant(item) for item in term.args[1].args]
    return _compared(term, chosen)


def _combined(term: Term, chosen: Mapping[Term, _Value]) -> bool:
    if term.name == "!_":
        return not _holds(term.args[0], chosen)
    if term.name == "_?_:_":
        asked, yes, no = term.args
        return _holds(yes if _holds(asked, chosen) else no, chosen)
    ends_it = term.name == "_||_"
    unclear = False
    for part in term.args:
        try:
            if _holds(part, chosen) is ends_it:
                return ends_it
        except _Unclear:
            unclear = True
    if unclear:
        raise _Unclear
    return not ends_it


def _compared(term: Term, chosen: Mapping[Term, _Value]) -> bool:
    left, right = term.args
    name = term.name
    if "const" not in {left.kind, right.kind}:
        subject, turned = _pair(left, right)
        value, constant = chosen[subject], ("number", Fraction(0))
        name = _MIRRORED.get(name, name) if turned else name
    elif left.kind == "const" and right.kind != "const":
        value, constant = chosen[right], _constant(left)
        name = _MIRRORED.get(name, name)
    else:
        value = _constant(left) if left.kind == "const" else chosen[left]
        constant = _constant(right)
    if name == "_==_":
        return value == constant
    if name == "_!=_":
        return value != constant
    if value[0] != constant[0] or value[0] not in {"number", "string", "bool"}:
        raise _Unclear
    return bool(_ORDER[name](value[1], constant[1]))

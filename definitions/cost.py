"""What an expression can cost at most, reckoned from its tree and from the values that it reads.

The evaluator's own budget counts steps, and a step has no bound: a search for half a megabyte in
a megabyte takes minutes, ``filter`` copies what it has gathered with each item that it adds, and
one ``map`` over two hundred items can make two hundred megabytes of one. So every expression that
can do such a thing is reckoned first, and refused when it could take too long.

One unit is about a nanosecond, and never less than a byte of memory. The figures were measured with
cel-expr-python 0.1.3; what they give is an upper bound, not a forecast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from definitions.terms import walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.jsontypes import Json
    from definitions.terms import Term

#: What one evaluation may cost: about 50 ms, reached by ``map`` or ``filter`` over 1,500 items.
MAX_COST = 50_000_000
#: What all expressions of one mapping may cost together.
MAX_MAPPING_COST = 4 * MAX_COST
#: The evaluator itself stops after so many rounds of all macros.
_MAX_ROUNDS = 10_000

_VALUE, _ENTRY, _OPERATION = 30, 100, 50
#: Comparing two values, beside their sizes, and bringing a value back to Python.
_COMPARE, _BACK = 50, 250
#: Copying a list with one item more, for each item that is in it.
_COPY = 40
#: What the library allows a regular expression to take for its compilation.
_MAX_PATTERN = 40_000_000
_REPEAT = re.compile(r"\{(\d*)(?:,(\d*))?\}")
#: Calls that take no longer for big operands.
_FLAT = frozenset({"_&&_", "_||_", "!_", "-_", "_-_", "_*_", "_/_", "_%_", "_?_:_", "_[_]"})
_COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})


class Weight(NamedTuple):
    """The size of a value in units, and how many values it is made of."""

    size: float
    nodes: float


def weigh(value: Json, limit: float = MAX_MAPPING_COST) -> Weight:
    """What a value weighs; counting ends beyond ``limit``."""
    if isinstance(value, str):
        return Weight(_VALUE + len(value), 1)
    if not isinstance(value, list | dict):
        # A mapping of another kind is a view of the run's own state, which only its parts leave.
        return Weight(_VALUE, 1)
    total = nodes = 0
    stack: list[Any] = [value]
    while stack and total <= limit:
        item = stack.pop()
        nodes += 1
        total += _VALUE
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            total += _ENTRY * len(item) + sum(map(len, item))
            stack.extend(item.values())
    return Weight(total, nodes)


def can_grow(term: Term) -> bool:
    """Whether the cost can be more than a few times the size of what is read."""
    return any(
        part.kind in {"fold", "list", "map"}
        or part.name in {"contains", "matches"}
        or (part.name == "_+_" and not any(isinstance(a.value, int | float) for a in part.args))
        for part in walk(term)
    )


@dataclass(frozen=True, slots=True)
class _Bound:
    """At most so big, made at such a cost. ``value``: what it is, where that is known.

    ``count``: the items of a list; ``nodes``: all values in it; ``varies``: it differs from round
    to round of a macro.
    """

    size: float
    cost: float = _OPERATION
    count: float = 0
    nodes: float = 1
    varies: bool = False
    value: Json = None


def cost_of(term: Term, scope: Mapping[str, Json]) -> float:
    """What an evaluation in this scope can cost, its result's way back included."""
    bound = _Reckoner(scope).bound(term, {})
    return bound.cost + bound.size + _BACK * bound.nodes


class _Reckoner:
    def __init__(self, scope: Mapping[str, Json]) -> None:
        self._scope = scope
        self._known: dict[int, Weight] = {}
        self._largest: dict[int, _Bound] = {}

    def bound(self, term: Term, names: Mapping[str, _Bound]) -> _Bound:
        """The bound of a term, where ``names`` has those of the macros' variables."""
        match term.kind:
            case "const":
                return self._of(term.value)
            case "name" | "field":
                return self._path(term, names)
            case "has":
                return _Bound(_VALUE, self.bound(term.args[0], names).cost + _OPERATION)
            case "fold":
                return self._fold(term, names)
            case "list" | "map":
                parts = [self.bound(part, names) for part in term.args]
                size = sum(part.size + _ENTRY for part in parts) + _VALUE
                cost = sum(part.cost + _ENTRY for part in parts) + _OPERATION
                nodes = sum(part.nodes for part in parts) + 1
                varies = any(part.varies for part in parts)
                return _Bound(size, cost, len(parts), nodes, varies)
            case "call":
                return self._call(term, [self.bound(part, names) for part in term.args])

    def _of(self, value: Json) -> _Bound:
        weight = self._known.get(id(value))
        if weight is None:
            weight = self._known[id(value)] = weigh(value)
        count = len(value) if isinstance(value, list | dict) else 0
        return _Bound(weight.size, count=count, nodes=weight.nodes, value=value)

    def _path(self, term: Term, names: Mapping[str, _Bound]) -> _Bound:
        if term.kind == "name":
            found = names.get(term.name)
            return found if found is not None else self._of(self._scope.get(term.name))
        above = self.bound(term.args[0], names)
        if above.varies or above.value is None:
            return replace(above, cost=above.cost + _OPERATION, value=None)
        try:
            return self._of(above.value[term.name])
        except (KeyError, TypeError, IndexError):
            # It ends in an error.
            return _Bound(_VALUE)

    def _call(self, term: Term, args: list[_Bound]) -> _Bound:
        cost = sum(arg.cost for arg in args) + _OPERATION
        varies = any(arg.varies for arg in args)
        size: float = _VALUE
        name = term.name
        if name == "_+_":
            size, count = sum(arg.size for arg in args), sum(arg.count for arg in args)
            return _Bound(size, cost + size, count, sum(arg.nodes for arg in args), varies)
        if name == "_?_:_":
            return replace(_largest(args[1:]), cost=cost, varies=varies)
        if name == "_[_]":
            return replace(self._largest_member(args[0]), cost=cost, varies=varies)
        if name in _COMPARISONS:
            cost += _compared(*args)
        elif name == "@in":
            cost += args[1].count * 10 if isinstance(args[1].value, dict) else args[1].size
        elif name == "contains" and len(args) > 1:
            cost += 5 * args[0].size + args[0].size * args[1].size / 50
        elif name == "matches" and len(args) > 1:
            cost += _matched(args[0], args[1])
        elif name == "size" and args and isinstance(args[0].value, list | dict):
            pass
        elif name not in _FLAT:
            size += sum(arg.size for arg in args)
            cost += size
        return _Bound(size, cost, varies=varies)

    def _largest_member(self, container: _Bound) -> _Bound:
        value = container.value
        if container.varies or not isinstance(value, list | dict) or not value:
            return replace(container, value=None)
        found = self._largest.get(id(value))
        if found is None:
            members = value if isinstance(value, list) else value.values()
            found = self._largest[id(value)] = _largest([self._of(member) for member in members])
        return found

    def _fold(self, term: Term, names: Mapping[str, _Bound]) -> _Bound:
        """The cost of all rounds together.

        The items' sizes add up to the list's, and what a round costs grows no slower with its item
        than in proportion: the worst list has one item that is as big as the list, and the others
        are empty.
        """
        over = self.bound(term.args[0], names)
        rounds = min(over.count, _MAX_ROUNDS)
        _, _, go_on, step, result = term.args
        at_ends: list[tuple[float, _Bound]] = []
        for item in (
            _Bound(_VALUE, varies=True),
            replace(over, count=over.nodes, varies=True, value=None),
        ):
            gathered = _Bound(_VALUE, varies=True)
            inner = {**names, term.name: item, str(term.value): gathered}
            parts = [self.bound(part, inner) for part in (go_on, step, result)]
            at_ends.append((sum(part.cost for part in parts), _largest(parts)))
        (least, small), (most, large) = at_ends
        cost = over.cost + least * max(rounds - 1, 0) + most
        if not term.gathers:
            return _Bound(_VALUE, cost, varies=over.varies)
        cost += _COPY * rounds * rounds / 2
        size = small.size * max(rounds - 1, 0) + large.size
        nodes = small.nodes * max(rounds - 1, 0) + large.nodes
        return _Bound(size, cost, rounds, nodes, over.varies)


def _largest(bounds: list[_Bound]) -> _Bound:
    """A bound for any of these."""
    return _Bound(
        max(bound.size for bound in bounds),
        count=max(bound.count for bound in bounds),
        nodes=max(bound.nodes for bound in bounds),
    )


def _compared(left: _Bound, right: _Bound) -> float:
    if left.varies or right.varies:
        smaller = left if left.varies else right
    else:
        smaller = min(left, right, key=lambda bound: bound.size)
    return smaller.size + _COMPARE * smaller.nodes


def _matched(text: _Bound, pattern: _Bound) -> float:
    if not isinstance(pattern.value, str) or pattern.varies:
        return _MAX_PATTERN + text.size * 1_000
    states = float(len(pattern.value))
    for repeat in _REPEAT.finditer(pattern.value):
        states *= max(int((repeat[2] or repeat[1] or "1")[:4]), 1)
    if "\\" in pattern.value or "(?" in pattern.value:
        # A class such as \pL stands for some hundred ranges.
        states *= 10
    return min(100 * states, _MAX_PATTERN) + text.size * (30 + min(states / 5, 1_000))

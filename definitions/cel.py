"""Conditions and ``${ }`` in CEL (https://cel.dev), by Google's own evaluator.

What the library leaves to us, and why it is done here:

* An error at run time comes back as a *value* of type ERROR whose Python value is a truthy string;
  every result is therefore checked by its type.
* Evaluation converts the whole context. The expression's syntax tree tells which paths it can read,
  so it is given those alone; that also is what a recorded decision shows as "values read".
* The evaluator's budget bounds steps, and a step can be as long as one likes: length and nesting of
  macros are bounded here, and the cost with the values at hand by ``definitions.cost``.
* The library's maps have no order, not even the same one in two processes, and a run is replayed in
  any process. Objects in a result therefore have their keys sorted, and a macro over an object's
  keys is given them sorted: its range is wrapped, in the syntax tree, in a function of ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cel_expr_python import cel
from google.protobuf import any_pb2
from typing_extensions import override

from definitions.cel_syntax import (
    CheckedExpr,
    children,
    is_plain_path,
    kind_of,
    macro_nesting,
    references,
    term_of,
)
from definitions.cost import MAX_COST, can_grow, cost_of, weigh
from definitions.durations import format_duration
from definitions.expressions import (
    MAX_EXPRESSION_LENGTH,
    MAX_NESTED_MACROS,
    EvaluationError,
    ExpressionSyntaxError,
    Reference,
)
from definitions.references import first_reference, is_reference, told
from definitions.terms import Term

if TYPE_CHECKING:
    from definitions.jsontypes import Json

_POSITION = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): ", re.MULTILINE)


#: No name that an expression could call.
_IN_ORDER = "@in_order"


class CelExpression:
    """A compiled CEL expression (see ``definitions.expressions.Expression``)."""

    __slots__ = ("_compiled", "_grows", "_paths", "references", "result_type", "term", "text")

    def __init__(
        self, text: str, compiled: Any, references: tuple[Reference, ...], term: Term
    ) -> None:
        self.text = text
        self._compiled = compiled
        self.references = references
        self.term = term
        self._grows = can_grow(term)
        self.result_type = compiled.return_type().name().partition("<")[0].lower()
        self._paths = _shortest(references)

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        """The value, as JSON."""
        value = self._value(scope)
        return _to_json(self.text, value.plain_value(), value.type().name())

    def test(self, scope: Mapping[str, Json]) -> bool:
        """The value of a condition."""
        value = self._value(scope)
        if value.type().name() != "BOOL":
            kind = value.type().name().partition("<")[0].lower()
            raise EvaluationError(self.text, f"a condition gave a value of type {kind}, not bool")
        return bool(value.value())

    def cost(self, scope: Mapping[str, Json]) -> float:
        """What an evaluation can cost in this scope, in units of about a nanosecond."""
        if self._grows:
            return cost_of(self.term, scope)
        read = 0.0
        for path in self._paths:
            value: Any = scope
            for part in path:
                if not isinstance(value, Mapping) or part not in value:
                    break
                value = value[part]
            else:
                read += weigh(value).size
        return 2 * read

    def values_read(self, scope: Mapping[str, Json]) -> dict[str, Json]:
        """Each reference as text with its value in this scope; missing ones are left out."""
        found: dict[str, Json] = {}
        for reference in self.references:
            value: Any = scope
            for part in reference.path:
                if not isinstance(value, Mapping) or part not in value:
                    break
                value = value[part]
            else:
                found[str(reference)] = value
        return found

    def _value(self, scope: Mapping[str, Json]) -> Any:
        if self._grows and cost_of(self.term, scope) > MAX_COST:
            raise EvaluationError(self.text, "the values are too big for what is done with them")
        data = _prune(scope, self._paths)
        # Most functions would take a reference for what it stands for, and answer falsely.
        if (found := first_reference(data)) is not None:
            raise EvaluationError(self.text, _is_elsewhere(*found))
        try:
            value = self._compiled.eval(data=data)
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            raise EvaluationError(self.text, _plain(str(error))) from None
        if value.type().name() == "ERROR":
            raise EvaluationError(self.text, _plain(str(value.value())))
        return value


class PathExpression(CelExpression):
    """An expression that only names a place: the value there, as it is.

    Handed out without a conversion, so its members keep their order and its integers all digits.
    """

    __slots__ = ()

    @override
    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        value: Any = scope
        read = ""
        for part in self.references[0].path:
            if not isinstance(value, Mapping):
                raise EvaluationError(self.text, f"there is no {part!r}, for that is no object")
            if part not in value:
                if is_reference(value):
                    raise EvaluationError(self.text, _is_elsewhere(f"/{read}", value))
                raise EvaluationError(self.text, f"there is no {part!r}")
            value = value[part]
            read = f"{read}/{part}" if read else part
        return value if isinstance(value, dict) or not isinstance(value, Mapping) else dict(value)

    @override
    def test(self, scope: Mapping[str, Json]) -> bool:
        value = self.evaluate(scope)
        if not isinstance(value, bool):
            kind = type(value).__name__
            raise EvaluationError(self.text, f"a condition gave a value of type {kind}, not bool")
        return value


def _is_elsewhere(where: str, reference: Json) -> str:
    place = where.removeprefix("/").replace("/", ".")
    return f"{place} cannot be looked into, only handed on as a whole: it is {told(reference)}"


def _sorted_keys(keys: Mapping[Any, Any]) -> list[Any]:
    return sorted(keys, key=lambda key: (type(key).__name__, key))


@lru_cache(maxsize=64)
def _environment(names: frozenset[str]) -> Any:
    kind = cel.Type
    items, keys = kind.List(kind.DYN), kind.Map(kind.DYN, kind.DYN)
    in_order = cel.FunctionDecl(
        _IN_ORDER,
        [
            cel.Overload("in_order_map", return_type=items, parameters=[keys], impl=_sorted_keys),
            cel.Overload(
                "in_order_list", return_type=items, parameters=[items], impl=lambda given: given
            ),
        ],
    )
    variables = dict.fromkeys(sorted(names), kind.DYN)
    return cel.NewEnv(variables=variables, functions=[in_order])


def _with_ordered_ranges(environment: Any, wrapped: Any) -> Any:
    """The expression again, with the range of each macro in a fixed order."""
    checked = CheckedExpr.FromString(wrapped.value)
    _order_ranges(checked.expr)
    again = any_pb2.Any(type_url=wrapped.type_url, value=checked.SerializeToString())
    return environment.deserialize(again.SerializeToString())


def _order_ranges(node: Any) -> None:
    for child in children(node):
        _order_ranges(child)
    if kind_of(node) == "comprehension_expr":
        given = node.comprehension_expr.iter_range
        inner = type(given)()
        inner.CopyFrom(given)
        given.Clear()
        given.call_expr.function = _IN_ORDER
        given.call_expr.args.append(inner)


@lru_cache(maxsize=16_384)
def compile_expression(text: str, names: frozenset[str]) -> CelExpression:
    """Parses and checks an expression.

    Args:
        text: CEL, without ``${ }``.
        names: What is in scope where it stands.

    Raises:
        ExpressionSyntaxError: It does not parse, names something out of scope, applies an operator
            to types that never match, or is over a bound.
    """
    if len(text) > MAX_EXPRESSION_LENGTH:
        raise ExpressionSyntaxError(
            f"the expression has {len(text)} characters, {MAX_EXPRESSION_LENGTH} are allowed"
        )
    if not text.strip():
        raise ExpressionSyntaxError("the expression is empty")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ExpressionSyntaxError("the expression has a character that is not text")
    environment = _environment(names)
    try:
        compiled = environment.compile(text)
        wrapped = any_pb2.Any.FromString(compiled.serialize())
        tree = CheckedExpr.FromString(wrapped.value).expr
        nesting = macro_nesting(tree)
        if nesting:
            compiled = _with_ordered_ranges(environment, wrapped)
    except RuntimeError as error:
        raise ExpressionSyntaxError(_syntax_sentence(str(error))) from None
    if nesting > MAX_NESTED_MACROS:
        raise ExpressionSyntaxError(
            f"{nesting} macros stand inside one another, at most {MAX_NESTED_MACROS} are allowed"
        )
    found = dict.fromkeys(Reference(path) for path in references(tree, frozenset()))
    kind = PathExpression if is_plain_path(tree) else CelExpression
    return kind(text, compiled, tuple(found), term_of(tree))


def _syntax_sentence(message: str) -> str:
    position = _POSITION.search(message)
    if position is None:
        return _plain(message)
    sentence = message[position.end() :].splitlines()[0].removesuffix(" (in container '')")
    return f"{sentence} (at character {position.group(2)})"


def _plain(message: str) -> str:
    """The library's message without its status code and source listing."""
    first = message.splitlines()[0] if message else "the evaluation failed"
    return re.sub(r"^[A-Z_]+: ", "", first).removesuffix(" [INVALID_ARGUMENT]")


def _shortest(references: tuple[Reference, ...]) -> tuple[tuple[str, ...], ...]:
    """The paths, without those that lie below another one."""
    paths = sorted({reference.path for reference in references}, key=lambda path: (len(path), path))
    kept: list[tuple[str, ...]] = []
    for path in paths:
        if not any(path[: len(short)] == short for short in kept):
            kept.append(path)
    return tuple(kept)


def _prune(scope: Mapping[str, Json], paths: tuple[tuple[str, ...], ...]) -> dict[str, Json]:
    """The scope with nothing in it but what the paths lead to; missing parts stay missing.

    What is missing because a reference stands in its place leaves that reference there.
    """
    pruned: dict[str, Json] = {}
    for path in paths:
        source: Any = scope
        target = pruned
        for depth, part in enumerate(path):
            if part not in source:
                if is_reference(source):
                    target.update(source)
                break
            source = source[part]
            if depth == len(path) - 1 or not isinstance(source, Mapping):
                target[part] = dict(source) if isinstance(source, Mapping) else source
                break
            target = target.setdefault(part, {})
    return pruned


def _to_json(text: str, value: Any, kind: str) -> Json:
    """A CEL value as JSON. Times and durations become ISO 8601 text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise EvaluationError(text, "the result is not a finite number")
        return value
    if isinstance(value, list):
        return [_to_json(text, item, "") for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise EvaluationError(text, f"a map key is {key!r}, and JSON keys are strings")
        return {key: _to_json(text, value[key], "") for key in sorted(value)}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        sign = "-" if value < timedelta(0) else ""
        return sign + format_duration(abs(value))
    raise EvaluationError(text, f"the result is of type {kind.lower()}, which is not JSON")

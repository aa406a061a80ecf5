"""Conditions and ``${ }`` in CEL (https://cel.dev), by Google's own evaluator.

What the library leaves to us, and why it is done here:

* An error at run time comes back as a *value* of type ERROR whose Python value is a truthy string;
  every result is therefore checked by its type.
* Evaluation converts the whole context. The expression's syntax tree tells which paths it can read,
  so it is given those alone; that also is what a recorded decision shows as "values read".
* The evaluator's budget bounds steps, and a step can be as long as one likes: length and nesting of
  macros are bounded here, and the cost with the values at hand by ``definitions.cost``.

The syntax tree comes from the library's serialized form, CEL's published protobuf
(https://github.com/google/cel-spec/blob/master/proto/cel/expr/syntax.proto).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cel_expr_python import cel
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

from definitions.cost import MAX_COST, can_grow, cost_of, weigh
from definitions.durations import format_duration
from definitions.expressions import (
    MAX_EXPRESSION_LENGTH,
    MAX_NESTED_MACROS,
    EvaluationError,
    ExpressionSyntaxError,
    Reference,
)
from definitions.terms import Term

if TYPE_CHECKING:
    from definitions.jsontypes import Json

_BYTES, _LIST, _MAP = "BYTES", "LIST", "MAP"
_POSITION = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): ", re.MULTILINE)


def _syntax_tree_class() -> Any:
    """A protobuf class for CEL's syntax tree, of the fields that are read here."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="steploom/cel_syntax.proto", package="steploom.cel", syntax="proto3"
    )
    shapes: dict[str, list[tuple[str, int, int, str]]] = {
        # name: (field, number, type, message), after cel/expr/syntax.proto
        "Ident": [("name", 1, field.TYPE_STRING, "")],
        "Select": [
            ("operand", 1, field.TYPE_MESSAGE, "Expr"),
            ("field", 2, field.TYPE_STRING, ""),
            ("test_only", 3, field.TYPE_BOOL, ""),
        ],
        "Call": [
            ("target", 1, field.TYPE_MESSAGE, "Expr"),
            ("function", 2, field.TYPE_STRING, ""),
            ("args", 3, field.TYPE_MESSAGE, "Expr*"),
        ],
        "List": [("elements", 1, field.TYPE_MESSAGE, "Expr*")],
        "Entry": [
            ("map_key", 3, field.TYPE_MESSAGE, "Expr"),
            ("value", 4, field.TYPE_MESSAGE, "Expr"),
        ],
        "Struct": [("entries", 2, field.TYPE_MESSAGE, "Entry*")],
        "Comprehension": [
            ("iter_var", 1, field.TYPE_STRING, ""),
            ("iter_range", 2, field.TYPE_MESSAGE, "Expr"),
            ("accu_var", 3, field.TYPE_STRING, ""),
            ("accu_init", 4, field.TYPE_MESSAGE, "Expr"),
            ("loop_condition", 5, field.TYPE_MESSAGE, "Expr"),
            ("loop_step", 6, field.TYPE_MESSAGE, "Expr"),
            ("result", 7, field.TYPE_MESSAGE, "Expr"),
            ("iter_var2", 8, field.TYPE_STRING, ""),
        ],
        "Constant": [
            ("null_value", 1, field.TYPE_INT32, ""),
            ("bool_value", 2, field.TYPE_BOOL, ""),
            ("int64_value", 3, field.TYPE_INT64, ""),
            ("uint64_value", 4, field.TYPE_UINT64, ""),
            ("double_value", 5, field.TYPE_DOUBLE, ""),
            ("string_value", 6, field.TYPE_STRING, ""),
            ("bytes_value", 7, field.TYPE_BYTES, ""),
        ],
        "Expr": [
            ("const_expr", 3, field.TYPE_MESSAGE, "Constant"),
            ("ident_expr", 4, field.TYPE_MESSAGE, "Ident"),
            ("select_expr", 5, field.TYPE_MESSAGE, "Select"),
            ("call_expr", 6, field.TYPE_MESSAGE, "Call"),
            ("list_expr", 7, field.TYPE_MESSAGE, "List"),
            ("struct_expr", 8, field.TYPE_MESSAGE, "Struct"),
            ("comprehension_expr", 9, field.TYPE_MESSAGE, "Comprehension"),
        ],
        "CheckedExpr": [("expr", 4, field.TYPE_MESSAGE, "Expr")],
    }
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        if name == "Constant":
            # Of a constant one field is there, even where it is empty, 0 or false.
            message.oneof_decl.add(name="constant_kind")
        for field_name, number, kind, of in fields:
            added = message.field.add(name=field_name, number=number, type=kind)
            added.label = field.LABEL_REPEATED if of.endswith("*") else field.LABEL_OPTIONAL
            if of:
                added.type_name = f".steploom.cel.{of.rstrip('*')}"
            if name == "Constant":
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("steploom.cel.CheckedExpr"))


_CheckedExpr = _syntax_tree_class()


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
        try:
            value = self._compiled.eval(data=_prune(scope, self._paths))
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            raise EvaluationError(self.text, _plain(str(error))) from None
        if value.type().name() == "ERROR":
            raise EvaluationError(self.text, _plain(str(value.value())))
        return value


@lru_cache(maxsize=64)
def _environment(names: frozenset[str]) -> Any:
    return cel.NewEnv(variables=dict.fromkeys(sorted(names), cel.Type.DYN))


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
    try:
        compiled = _environment(names).compile(text)
        wrapped = any_pb2.Any.FromString(compiled.serialize())
        tree = _CheckedExpr.FromString(wrapped.value).expr
    except RuntimeError as error:
        raise ExpressionSyntaxError(_syntax_sentence(str(error))) from None
    if (nesting := _macro_nesting(tree)) > MAX_NESTED_MACROS:
        raise ExpressionSyntaxError(
            f"{nesting} macros stand inside one another, at most {MAX_NESTED_MACROS} are allowed"
        )
    references = dict.fromkeys(Reference(path) for path in _references(tree, frozenset()))
    return CelExpression(text, compiled, tuple(references), _term(tree))


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


def _children(node: Any) -> Iterator[Any]:
    """The direct sub-expressions of a node, in the order of the text."""
    kind = _kind(node)
    if kind == "select_expr":
        yield node.select_expr.operand
    elif kind == "call_expr":
        if node.call_expr.HasField("target"):
            yield node.call_expr.target
        yield from node.call_expr.args
    elif kind == "list_expr":
        yield from node.list_expr.elements
    elif kind == "struct_expr":
        for entry in node.struct_expr.entries:
            if entry.HasField("map_key"):
                yield entry.map_key
            yield entry.value
    elif kind == "comprehension_expr":
        part = node.comprehension_expr
        yield from (
            part.iter_range,
            part.accu_init,
            part.loop_condition,
            part.loop_step,
            part.result,
        )


def _kind(node: Any) -> str | None:
    fields = node.ListFields()
    return fields[0][0].name if fields else None


def _macro_nesting(node: Any) -> int:
    below = max((_macro_nesting(child) for child in _children(node)), default=0)
    return below + (1 if _kind(node) == "comprehension_expr" else 0)


def _references(node: Any, bound: frozenset[str]) -> Iterator[tuple[str, ...]]:
    path = _path(node, bound)
    if path is not None:
        yield path
        return
    if _kind(node) == "comprehension_expr":
        part = node.comprehension_expr
        inner = bound | {part.iter_var, part.accu_var, part.iter_var2}
        yield from _references(part.iter_range, bound)
        yield from _references(part.accu_init, bound)
        for child in (part.loop_condition, part.loop_step, part.result):
            yield from _references(child, inner)
        return
    for child in _children(node):
        yield from _references(child, bound)


def _path(node: Any, bound: frozenset[str]) -> tuple[str, ...] | None:
    """The path that a chain of selections reads, or None for anything else."""
    kind = _kind(node)
    if kind == "ident_expr":
        name = node.ident_expr.name
        return None if name in bound else (name,)
    if kind == "select_expr":
        above = _path(node.select_expr.operand, bound)
        return None if above is None else (*above, node.select_expr.field)
    if kind == "call_expr" and node.call_expr.function == "_[_]":
        operand, index = node.call_expr.args
        if _kind(index) == "const_expr" and index.const_expr.HasField("string_value"):
            above = _path(operand, bound)
            return None if above is None else (*above, index.const_expr.string_value)
    return None


def _term(node: Any) -> Term:
    """The tree without the library."""
    kind = _kind(node)
    if kind == "const_expr":
        return _constant(node.const_expr)
    args = tuple(_term(child) for child in _children(node))
    match kind:
        case "ident_expr":
            term = Term("name", node.ident_expr.name)
        case "select_expr" if node.select_expr.test_only:
            term = Term("has", node.select_expr.field, args=args)
        case "select_expr":
            term = Term("field", node.select_expr.field, args=args)
        case "call_expr":
            term = _call(node.call_expr.function, args)
        case "comprehension_expr":
            part = node.comprehension_expr
            term = Term("fold", part.iter_var, value=part.accu_var, args=args)
        case _:
            term = Term("list" if kind == "list_expr" else "map", args=args)
    return term


def _call(name: str, args: tuple[Term, ...]) -> Term:
    if name == "_[_]" and args[1].kind == "const" and args[1].name == "string":
        return Term("field", str(args[1].value), args=args[:1])
    return Term("call", name, args=args)


def _constant(constant: Any) -> Term:
    kind = constant.WhichOneof("constant_kind")
    name = (kind or "null_value").removesuffix("_value").removesuffix("64")
    value = None if name == "null" else getattr(constant, kind)
    return Term("const", name, value=value)


def _shortest(references: tuple[Reference, ...]) -> tuple[tuple[str, ...], ...]:
    """The paths, without those that lie below another one."""
    paths = sorted({reference.path for reference in references}, key=lambda path: (len(path), path))
    kept: list[tuple[str, ...]] = []
    for path in paths:
        if not any(path[: len(short)] == short for short in kept):
            kept.append(path)
    return tuple(kept)


def _prune(scope: Mapping[str, Json], paths: tuple[tuple[str, ...], ...]) -> dict[str, Json]:
    """The scope with nothing in it but what the paths lead to; missing parts stay missing."""
    pruned: dict[str, Json] = {}
    for path in paths:
        source: Any = scope
        target = pruned
        for depth, part in enumerate(path):
            if part not in source:
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
        return {key: _to_json(text, item, "") for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        sign = "-" if value < timedelta(0) else ""
        return sign + format_duration(abs(value))
    raise EvaluationError(text, f"the result is of type {kind.lower()}, which is not JSON")

"""Mappings: JSON in which strings may hold ``${ expression }``.

A string that is wholly ``${ … }`` becomes the value with its type; one that holds ``${ … }`` among
other text is interpolated (strings bare, all else as JSON); ``$${`` is a literal ``${``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from definitions.cel import compile_expression
from definitions.cost import MAX_COST, MAX_MAPPING_COST
from definitions.expressions import EvaluationError
from definitions.references import first_reference, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from definitions.expressions import Expression
    from definitions.jsontypes import Json

#: So many expressions cannot exceed a mapping's bound without exceeding their own.
_FEW = MAX_MAPPING_COST // MAX_COST
PointerParts = tuple[str | int, ...]


class TemplateError(ValueError):
    """A string of a mapping that cannot be parsed. ``where`` leads to it inside the mapping."""

    def __init__(self, where: PointerParts, message: str) -> None:
        super().__init__(message)
        self.where = where
        self.message = message


@dataclass(frozen=True, slots=True)
class _Literal:
    value: Json

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        return self.value


@dataclass(frozen=True, slots=True)
class _Whole:
    expression: Expression

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        return self.expression.evaluate(scope)


@dataclass(frozen=True, slots=True)
class _Text:
    parts: tuple[str | Expression, ...]

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        return "".join(
            part if isinstance(part, str) else _as_text(part, part.evaluate(scope))
            for part in self.parts
        )


@dataclass(frozen=True, slots=True)
class _List:
    items: tuple[_Node, ...]

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        return [item.evaluate(scope) for item in self.items]


@dataclass(frozen=True, slots=True)
class _Object:
    members: tuple[tuple[str, _Node], ...]

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        return {key: node.evaluate(scope) for key, node in self.members}


_Node = _Literal | _Whole | _Text | _List | _Object


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """A mapping ready to be evaluated. ``expressions`` lists each with its place in the mapping."""

    root: _Node
    expressions: tuple[tuple[PointerParts, Expression], ...]

    @property
    def constant(self) -> bool:
        """Whether it holds no expression at all."""
        return not self.expressions

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        """The mapping's value.

        Raises:
            EvaluationError: One of its expressions failed, or all of them together are too much
                work.
        """
        if len(self.expressions) > _FEW:
            self._check_cost(scope)
        return self.root.evaluate(scope)

    def _check_cost(self, scope: Mapping[str, Json]) -> None:
        """Each expression has a bound of its own; here are ten thousand small ones stopped."""
        cost = 0.0
        for _, expression in self.expressions:
            cost += expression.cost(scope)
            if cost > MAX_MAPPING_COST:
                raise EvaluationError(
                    expression.text, "the mapping's expressions together take too much work"
                )


def parse_mapping(value: Json, names: frozenset[str]) -> CompiledMapping:
    """Compiles a mapping.

    Raises:
        TemplateError: The first string in it that does not parse.
    """
    found: list[tuple[PointerParts, Expression]] = []
    return CompiledMapping(_compile(value, names, (), found), tuple(found))


def find_expressions(value: Json, where: PointerParts = ()) -> Iterator[tuple[PointerParts, str]]:
    """Each expression's text with its place. Strings that do not parse are passed over."""
    if isinstance(value, str):
        try:
            parts = split_template(value)
        except ValueError:
            return
        for is_expression, text in parts:
            if is_expression:
                yield where, text
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_expressions(item, (*where, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find_expressions(item, (*where, key))


def split_template(text: str) -> list[tuple[bool, str]]:
    """A string in its parts: ``(False, literal text)`` and ``(True, expression)``.

    Raises:
        ValueError: A ``${`` without its ``}``.
    """
    parts: list[tuple[bool, str]] = []
    literal = ""
    at = 0
    while (start := text.find("${", at)) >= 0:
        if start > at and text[start - 1] == "$":
            literal += text[at : start - 1] + "${"
            at = start + 2
            continue
        end = _end_of_expression(text, start + 2)
        literal += text[at:start]
        if literal:
            parts.append((False, literal))
            literal = ""
        parts.append((True, text[start + 2 : end].strip()))
        at = end + 1
    literal += text[at:]
    if literal or not parts:
        parts.append((False, literal))
    return parts


def _end_of_expression(text: str, at: int) -> int:
    """Where the ``}`` stands that closes an expression; those in quotes and braces do not."""
    start = at
    depth = 0
    while at < len(text):
        character = text[at]
        if character in "'\"":
            at = _end_of_string(text, at)
            continue
        if character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return at
            depth -= 1
        at += 1
    raise ValueError(
        f"the expression that begins with {text[start : start + 20]!r} has no closing }}"
    )


def _end_of_string(text: str, at: int) -> int:
    """The position after a CEL string literal that begins at ``at``, or the end of the text."""
    quote = text[at] * 3 if text.startswith(text[at] * 3, at) else text[at]
    raw = at > 0 and text[at - 1] in "rR" and not (at > 1 and text[at - 2].isalnum())
    at += len(quote)
    while at < len(text):
        if text[at] == "\\" and not raw:
            at += 2
        elif text.startswith(quote, at):
            return at + len(quote)
        else:
            at += 1
    return at


def _compile(
    value: Json,
    names: frozenset[str],
    where: PointerParts,
    found: list[tuple[PointerParts, Expression]],
) -> _Node:
    before = len(found)
    node: _Node
    if isinstance(value, str):
        return _compile_text(value, names, where, found)
    if isinstance(value, list):
        node = _List(
            tuple(_compile(item, names, (*where, i), found) for i, item in enumerate(value))
        )
    elif isinstance(value, dict):
        node = _Object(
            tuple((k, _compile(item, names, (*where, k), found)) for k, item in value.items())
        )
    else:
        return _Literal(value)
    # A part without strings to unescape or evaluate is handed out as it is.
    return node if len(found) > before or _has_escape(value) else _Literal(value)


def _has_escape(value: Json) -> bool:
    if isinstance(value, str):
        return "$${" in value
    if isinstance(value, list):
        return any(_has_escape(item) for item in value)
    if isinstance(value, dict):
        return any(_has_escape(item) for item in value.values())
    return False


def _compile_text(
    text: str,
    names: frozenset[str],
    where: PointerParts,
    found: list[tuple[PointerParts, Expression]],
) -> _Node:
    if "${" not in text:
        return _Literal(text)
    try:
        parts = split_template(text)
        compiled: list[str | Expression] = []
        for is_expression, part in parts:
            if is_expression:
                expression = compile_expression(part, names)
                found.append((where, expression))
                compiled.append(expression)
            else:
                compiled.append(part)
    except ValueError as error:
        raise TemplateError(where, str(error)) from None
    if len(compiled) == 1:
        only = compiled[0]
        return _Literal(only) if isinstance(only, str) else _Whole(only)
    return _Text(tuple(compiled))


def _as_text(expression: Expression, value: Json) -> str:
    if isinstance(value, str):
        return value
    if (found := first_reference(value)) is not None:
        reason = f"it cannot become part of a text: it is {told(found[1])}"
        raise EvaluationError(expression.text, reason)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""Triggers: the pattern of the event's type, and the transform that makes an input of it.

A pattern is a type in segments, ``order.paid``. ``*`` stands for one segment, ``**`` at the end for
one or more.

Transforms are only parsed here, never run: their languages can be made to take any time and any
memory when they run, which is the business of whoever runs them. Parsing was measured: of a text
within the bound both parsers take milliseconds, and both stop at a depth of their own.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import jsonatapy
from jmespath.functions import Functions
from jmespath.parser import Parser

from definitions.expressions import MAX_EXPRESSION_LENGTH
from definitions.validation.outline import object_of, objects_in, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.validation.findings import Findings
    from definitions.validation.outline import Outline

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_CALL = re.compile(r"^(?:Parse error: )?(?:Invalid syntax: )?(?:[A-Z]\d{4}: )?")


def check_triggers(outline: Outline, findings: Findings) -> None:
    """Patterns can match an event, transforms can be parsed."""
    for index, trigger in objects_in(outline.document.get("triggers")):
        where = ("triggers", index)
        pattern = text_of(trigger, "eventPattern")
        if pattern and (wrong := _wrong_pattern(pattern)) is not None:
            findings.add((*where, "eventPattern"), "invalid_event_pattern", wrong)
        transform = object_of(trigger, "transform")
        text, kind = text_of(transform, "expression"), text_of(transform, "type")
        if text and kind in {"jmespath", "jsonata"}:
            wrong = _wrong_transform(text, kind)
            if wrong is not None:
                findings.add((*where, "transform", "expression"), "invalid_transform", wrong)


def _wrong_pattern(pattern: str) -> str | None:
    segments = pattern.split(".")
    for number, segment in enumerate(segments):
        if not segment:
            return "the pattern has an empty segment: write it like order.paid"
        if segment == "**" and number < len(segments) - 1:
            return "** can only be the last segment of a pattern"
        if segment not in {"*", "**"} and not _SEGMENT.fullmatch(segment):
            return (
                f"{segment!r:.80} is no segment of a pattern: it is letters, digits, _ and -, "
                "or * as a whole"
            )
    return None


def _wrong_transform(text: str, kind: str) -> str | None:
    if len(text) > MAX_EXPRESSION_LENGTH:
        return f"the transform has {len(text)} characters, {MAX_EXPRESSION_LENGTH} are allowed"
    return _wrong_jmespath(text) if kind == "jmespath" else _wrong_jsonata(text)


def _wrong_jmespath(text: str) -> str | None:
    try:
        # Not ``jmespath.compile``, which keeps what it has parsed. The library warns of an old way
        # to write literals.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = Parser().parse(text).parsed
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
        return f"the JMESPath does not parse: {reason:.200}"
    known = Functions.FUNCTION_TABLE
    unknown = next((name for name in _functions(tree) if name not in known), None)
    return None if unknown is None else f"JMESPath has no function {unknown!r:.80}"


def _functions(tree: Any) -> Iterator[str]:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if node.get("type") == "function_expression":
                yield node["value"]
            stack.extend(node.get("children", ()))


def _wrong_jsonata(text: str) -> str | None:
    try:
        jsonatapy.compile(text)
    except ValueError as error:
        return f"the JSONata does not parse: {_CALL.sub('', str(error)):.200}"
    return None

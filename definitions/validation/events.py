"""Triggers: the pattern of the event's type, and the transform that makes an input of it.

What a pattern is stands in ``definitions.triggers``. A definition that its own runs would start
again is refused where that can be seen: where they publish a type that it is triggered by, and no
condition says more. What cannot be seen has a bound when it runs.

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
from definitions.triggers import LIFECYCLE_TYPES, MAX_SEGMENTS, SEGMENT, matches
from definitions.validation.outline import object_of, objects_in, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.validation.findings import Findings
    from definitions.validation.outline import Outline

_CALL = re.compile(r"^(?:Parse error: )?(?:Invalid syntax: )?(?:[A-Z]\d{4}: )?")


def check_triggers(outline: Outline, findings: Findings) -> None:
    """Patterns can match an event and none of the definition's own, transforms can be parsed."""
    own = _published(outline)
    for index, trigger in objects_in(outline.document.get("triggers")):
        where = ("triggers", index)
        pattern = text_of(trigger, "eventPattern")
        if pattern and (wrong := _wrong_pattern(pattern)) is not None:
            findings.add((*where, "eventPattern"), "invalid_event_pattern", wrong)
        elif pattern and trigger.get("condition") is None:
            published = next((kind for kind in own if matches(pattern, kind)), None)
            if published is not None:
                findings.add((*where, "eventPattern"), "self_trigger", own[published])
        transform = object_of(trigger, "transform")
        text, kind = text_of(transform, "expression"), text_of(transform, "type")
        if text and kind in {"jmespath", "jsonata"}:
            wrong = _wrong_transform(text, kind)
            if wrong is not None:
                findings.add((*where, "transform", "expression"), "invalid_transform", wrong)


def _published(outline: Outline) -> dict[str, str]:
    """The types that the definition's own runs publish, each with what to say of it."""
    own = text_of(outline.document, "workflowId") or "…"
    found = {
        kind: f"every run publishes {kind} itself, and would start the next one: give a condition, "
        f"such as event.workflow_id != '{own}'"
        for kind in LIFECYCLE_TYPES
    }
    for step in outline.steps:
        kind = text_of(object_of(step.value, "input"), "type")
        if step.task_id == "core.publish" and kind and "${" not in kind:
            found.setdefault(
                kind,
                f"the step {step.step_id!r:.80} publishes {kind:.80} and would start the next run: "
                "give a condition, or another type",
            )
    return found


def _wrong_pattern(pattern: str) -> str | None:
    segments = pattern.split(".")
    if len(segments) > MAX_SEGMENTS:
        return f"the pattern has {len(segments)} segments, at most {MAX_SEGMENTS} are allowed"
    for number, segment in enumerate(segments):
        if not segment:
            return "the pattern has an empty segment: write it like order.paid"
        if segment == "**" and number < len(segments) - 1:
            return "** can only be the last segment of a pattern"
        if segment not in {"*", "**"} and not SEGMENT.fullmatch(segment):
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

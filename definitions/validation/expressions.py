"""Every expression parses, and names only what is there where it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from definitions.cel import compile_expression
from definitions.expressions import (
    AFTER_STEP_NAMES,
    ITEM_NAMES,
    MAX_EXPRESSION_LENGTH,
    TRIGGER_NAMES,
    UI_NAMES,
    ExpressionSyntaxError,
)
from definitions.templates import split_template
from definitions.validation.places import places_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from definitions.expressions import Expression
    from definitions.jsontypes import Json
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.outline import Outline
    from definitions.validation.places import Place

#: Everything that is in scope anywhere, to tell "not here" from "nowhere".
_ALL_NAMES = AFTER_STEP_NAMES | ITEM_NAMES | UI_NAMES | TRIGGER_NAMES
_UNDECLARED = re.compile(r"undeclared reference to '([A-Za-z_][A-Za-z0-9_]*)")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_STEP_BY_DOT = re.compile(r"(?<![\w.])steps\s*\.\s*([A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*)")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_POSITION = re.compile(r" \(at character (-?\d+)\)$")
_SYNTAX = re.compile(r"^Syntax error: [a-z :]+ '(.*?)'(?: expecting| \(|$)", re.DOTALL)
_OVERLOAD = re.compile(r"^found no matching overload for '(.+?)' applied to '\((.*)\)'")
#: Types that an expression may have where it is not known before it runs.
_OPEN_TYPES = frozenset({"dyn", "any", "error"})


def check_expressions(outline: Outline, findings: Findings) -> None:
    """Every condition and every mapping of the document."""
    for place in places_of(outline):
        if place.kind == "condition":
            _check_condition(place, outline, findings)
        else:
            compiled = list(_check_mapping(place, outline, findings))
            if place.kind == "items":
                _check_items(place, compiled, findings)


def _check_condition(place: Place, outline: Outline, findings: Findings) -> None:
    expression = _check(place.value, place.names, place.where, outline, findings)
    if expression is not None and expression.result_type not in _OPEN_TYPES | {"bool"}:
        hint = ""
        if "${" in place.value:
            hint = "; a condition is an expression without ${ }"
        findings.add(
            place.where,
            "condition_not_boolean",
            f"the condition gives a value of type {expression.result_type}, not a boolean{hint}",
        )


def _check_mapping(
    place: Place, outline: Outline, findings: Findings
) -> Iterator[Expression | None]:
    for where, text in _strings(place.value, place.where):
        try:
            parts = split_template(text)
        except ValueError as error:
            findings.add(where, "invalid_template", str(error))
            yield None
            continue
        for is_expression, part in parts:
            if is_expression:
                yield _check(part, place.names, where, outline, findings)


def _check_items(place: Place, compiled: list[Expression | None], findings: Findings) -> None:
    """Only a list, or a string that is wholly one expression, can give a list."""
    value = place.value
    if isinstance(value, list) or None in compiled:
        return
    if isinstance(value, str) and len(compiled) == 1 and len(split_template(value)) == 1:
        only = compiled[0]
        if only is None or only.result_type in _OPEN_TYPES | {"list"}:
            return
        found = f"an expression of type {only.result_type}"
    elif compiled:
        found = "text around expressions" if isinstance(value, str) else "an object"
    else:
        found = "a literal that is no list"
    findings.add(place.where, "items_not_a_list", f"items must be a list, and this is {found}")


def _strings(value: Json, where: Parts) -> Iterator[tuple[Parts, str]]:
    if isinstance(value, str):
        if "${" in value:
            yield where, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*where, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, (*where, key))


def _check(
    text: str, names: frozenset[str], where: Parts, outline: Outline, findings: Findings
) -> Expression | None:
    """The compiled expression, or None where it does not even parse."""
    if _report_hyphens(text, where, outline, findings):
        return None
    expression: Expression
    try:
        expression = compile_expression(text, names)
    except ExpressionSyntaxError as error:
        undeclared = _UNDECLARED.search(str(error))
        if undeclared is None:
            findings.add(where, "invalid_expression", _sentence(str(error), text))
            return None
        if undeclared[1] not in _ALL_NAMES:
            message = _no_such_name(undeclared[1], text, names, findings)
            findings.add(where, "name_not_in_scope", message)
            return None
        # It exists elsewhere: compiled with everything, the text tells all that is amiss.
        try:
            expression = compile_expression(text, _ALL_NAMES)
        except ExpressionSyntaxError:
            findings.add(where, "name_not_in_scope", _not_here(undeclared[1], names))
            return None
    for head in dict.fromkeys(reference.path[0] for reference in expression.references):
        if head not in names:
            findings.add(where, "name_not_in_scope", _not_here(head, names))
    _report_unknown_steps(expression, where, outline, findings)
    return expression


def _sentence(message: str, text: str) -> str:
    """The library's message without the names of its grammar."""
    position = _POSITION.search(message)
    at = f" (at character {position[1]})" if position and position[1] != "-1" else ""
    if syntax := _SYNTAX.search(message):
        what = "the end" if syntax[1] == "<EOF>" else repr(syntax[1])
        message = f"the expression does not parse: {what} is not expected{at}"
    elif overload := _OVERLOAD.search(message):
        operator = overload[1].strip("_").replace("_", " ") or overload[1]
        message = f"{operator} cannot be applied to {overload[2]}{at}"
    elif "recursion" in message:
        message = "the expression is nested too deeply"
    if text.lstrip().startswith("${"):
        return f"{message}; a condition is an expression without ${{ }}"
    return message


def _no_such_name(name: str, text: str, names: frozenset[str], findings: Findings) -> str:
    if re.search(rf"(?<![\w.]){name}\s*\(", text):
        return f"there is no function {name}"
    return f"{name!r} does not exist here, only {_listed(names)} do{findings.meant(name, names)}"


def _not_here(name: str, names: frozenset[str]) -> str:
    return f"{name!r} is not in scope here, only {_listed(names)} are"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _report_unknown_steps(
    expression: Expression, where: Parts, outline: Outline, findings: Findings
) -> None:
    for reference in expression.references:
        if len(reference.path) < 2 or reference.path[0] != "steps":  # noqa: PLR2004 (steps.<id>)
            continue
        step_id = reference.path[1]
        if step_id not in outline.ids:
            hint = findings.meant(step_id, outline.ids)
            findings.add(
                where, "unknown_step_reference", f"there is no step {step_id!r:.140}{hint}"
            )


def _report_hyphens(text: str, where: Parts, outline: Outline, findings: Findings) -> bool:
    """``steps.charge-card`` reads as a subtraction, and ``steps.1st`` not at all."""
    if len(text) > MAX_EXPRESSION_LENGTH:
        # Refused by its length, and the search for strings takes the square of it.
        return False
    bare = _STRING.sub(lambda match: " " * len(match[0]), text)
    found = False
    for match in _STEP_BY_DOT.finditer(bare):
        step_id = _meant_step(match[1], outline)
        if step_id is not None:
            found = True
            findings.add(
                where,
                "hyphenated_step_reference",
                f"steps.{step_id} does not name the step {step_id!r:.140}: "
                f"write steps['{step_id}']",
            )
    return found


def _meant_step(written: str, outline: Outline) -> str | None:
    """The step whose id cannot follow a dot, if one was meant."""
    parts = written.split("-")
    for length in range(len(parts), 0, -1):
        step_id = "-".join(parts[:length])
        if step_id in outline.ids:
            return None if _IDENTIFIER.fullmatch(step_id) else step_id
    # No step of that name, and a subtraction from a step's record means nothing either.
    return written if len(parts) > 1 else None

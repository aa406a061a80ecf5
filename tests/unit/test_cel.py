"""Expressions: what they give, what they read, and that they give it in every process alike."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from definitions.cel import compile_expression
from definitions.expressions import (
    AFTER_STEP_NAMES,
    MAX_EXPRESSION_LENGTH,
    EvaluationError,
    Expression,
    ExpressionSyntaxError,
)

SCOPE: dict[str, Any] = {
    "data": {
        "amount": 1500,
        "flag": True,
        "huge": 2**70,
        "exact": 2**53 + 1,
        "text": "ab",
        "list": [3, 1, 2],
        "object": {"zeta": 1, "alpha": 2, "mu": 3},
    },
    "steps": {"charge-card": {"output": {"id": "c-1"}}},
    "variables": {"key": "mu"},
    "error": {"type": "GatewayError", "code": None},
}


def compiled(text: str) -> Expression:
    return compile_expression(text, AFTER_STEP_NAMES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.amount > 1000", True),
        ("steps['charge-card'].output.id + data.text", "c-1ab"),
        ("data.exact", 2**53 + 1),
        ("data.huge", 2**70),
        ("has(data.missing)", False),
        ("has(data.amount)", True),
        ("data.list.map(x, x * 2)", [6, 2, 4]),
        ("data.object[variables.key]", 3),
        ("error.code == '502'", False),
        ("timestamp('2026-01-01T00:00:00Z')", "2026-01-01T00:00:00Z"),
        ("duration('90s')", "PT1M30S"),
        ("{'b': 1, 'a': [null, 2.5]}", {"a": [None, 2.5], "b": 1}),
    ],
)
def test_an_expression_gives_json(text: str, value: Any) -> None:
    """Whatever CEL calls it inside."""
    assert compiled(text).evaluate(SCOPE) == value


def test_a_place_is_handed_out_as_it_is() -> None:
    """The members of an object that is only named keep their order."""
    assert list(compiled("data.object").evaluate(SCOPE)) == ["zeta", "alpha", "mu"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data.missing", "there is no 'missing'"),
        ("data.missing.deeper", "there is no 'missing'"),
        ("data.amount.deeper", "is no object"),
        ("data.missing > 1", "missing"),
        ("data.text > 1", "No matching overloads"),
        ("1 / 0", "divide by zero"),
        ("1.0 / 0.0", "not a finite number"),
        ("{1: 2}", "JSON keys are strings"),
        ("data.huge + 1", "out of range"),
    ],
)
def test_what_goes_wrong_is_an_error(text: str, reason: str) -> None:
    """Nothing is silently false or null."""
    with pytest.raises(EvaluationError, match=reason):
        compiled(text).evaluate(SCOPE)


@pytest.mark.parametrize("text", ["data.amount", "data.text + 'c'", "data.list", "1"])
def test_a_condition_is_a_boolean(text: str) -> None:
    """A value that is truthy elsewhere is a mistake here."""
    with pytest.raises(EvaluationError, match="not bool"):
        compiled(text).test(SCOPE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data.amount >", "Syntax error"),
        ("nobody.knows", "undeclared reference"),
        ("steps.charge-card", "undeclared reference to 'card'"),
        ("'a' * 3", "no matching overload"),
        ("  ", "empty"),
        ("data.x + " * 400 + "1", str(MAX_EXPRESSION_LENGTH)),
        ("data.l" + ".map(a, a + a)" * 5, "macros"),
        ("@in_order(data.object)", "Syntax error"),
    ],
)
def test_what_cannot_be_compiled_says_why(text: str, reason: str) -> None:
    """One sentence, with the place where there is one."""
    with pytest.raises(ExpressionSyntaxError, match=reason):
        compiled(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("data.amount > 1000", ["data.amount"]),
        ("steps['charge-card'].output.id == ''", ["steps['charge-card'].output.id"]),
        ("data.list.all(x, x > data.amount)", ["data.list", "data.amount"]),
        ("data.object[variables.key] > 1", ["data.object", "variables.key"]),
    ],
)
def test_an_expression_tells_what_it_reads(text: str, read: list[str]) -> None:
    """The paths, ending before a computed index; the names of a macro are not among them."""
    assert [str(reference) for reference in compiled(text).references] == read


def test_values_that_were_read_can_be_shown() -> None:
    """With the value of each path; what is missing is left out."""
    expression = compiled("has(data.missing) || data.amount > 1000")
    assert expression.values_read(SCOPE) == {"data.amount": 1500}


_ORDERS = """
from definitions.cel import compile_expression
names = frozenset({"data"})
scope = {"data": {"o": {key: 1 for key in "qwertzuiopasdfghjkl"}}}
for text in ("data.o.map(k, k)", "data.o.filter(k, k != 'q')", "{'z': 1, 'a': 2, 'm': 3}",
             "data.o.map(k, {k: k, 'x': 1})"):
    print(compile_expression(text, names).evaluate(scope))
"""


def test_every_process_gives_the_same_order() -> None:
    """A run is replayed anywhere, so an object's keys come sorted."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _ORDERS],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    (only,) = outputs
    assert only.splitlines()[0] == str(sorted("qwertzuiopasdfghjkl"))

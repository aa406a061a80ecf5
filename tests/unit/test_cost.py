"""Expression bombs: refused at registration, or stopped before they cost time or memory."""

from __future__ import annotations

import resource
import time
from typing import Any

import pytest

from definitions.cel import compile_expression
from definitions.cost import MAX_COST, cost_of, weigh
from definitions.expressions import EvaluationError, ExpressionSyntaxError
from definitions.templates import parse_mapping

NAMES = frozenset({"data", "variables"})
MEGABYTE = "x" * 1024 * 1024
MANY = list(range(9_000))


@pytest.mark.parametrize(
    "text",
    [
        "'a' * 1000000",
        "data.a + " * 200 + "1",
        "+".join(["variables.x"] * 100),
        "[" * 40 + "]" * 40,
        "(" * 40 + "1" + ")" * 40,
        "[1].map(a,a+a).map(a,a+a).map(a,a+a).map(a,a+a).map(a,a+a)",
        "data.b.map(a, data.b.map(b, data.b.map(c, data.b.map(d, data.b.map(e, e)))))",
        "'" + "a" * 2_000 + "'",
    ],
)
def test_bombs_that_are_refused_at_registration(text: str) -> None:
    """Too long, too deep, too many macros, or an operator that text does not have."""
    began = time.process_time()
    with pytest.raises(ExpressionSyntaxError):
        compile_expression(text, NAMES)
    assert time.process_time() - began < 1


BOMBS: list[tuple[str, dict[str, Any]]] = [
    ("+".join(["data.x"] * 28), {"x": MEGABYTE}),
    ("data.b.map(i, data.x)", {"x": MEGABYTE, "b": list(range(200))}),
    ("data.b.map(i, data.x + data.x)", {"x": MEGABYTE, "b": list(range(200))}),
    ("data.b.map(a,a+a).map(a,a+a).map(a,a+a).map(a,a+a)", {"b": [MEGABYTE] * 10}),
    ("[data.b].map(a,a+a).map(a,a+a).map(a,a+a).map(a,a+a)", {"b": MANY}),
    ("[" + ",".join(["data.x"] * 200) + "]", {"x": MEGABYTE}),
    ("data.b.map(i, {'a': data.b, 'b': data.b})", {"b": list(range(1_000))}),
    ("data.b.filter(i, i >= 0)", {"b": MANY}),
    ("data.b.map(i, data.b + data.b)", {"b": list(range(2_000))}),
    ("data.b.all(i, data.x == data.y)", {"b": MANY, "x": MEGABYTE, "y": "x" * 1024 * 1024}),
    ("data.b.all(i, data.b == data.c)", {"b": MANY, "c": list(range(9_000))}),
    ("data.b.all(i, size(data.x) > 0)", {"b": MANY, "x": MEGABYTE}),
    ("data.b.all(i, i in data.b)", {"b": MANY}),
    ("data.x.contains(data.y)", {"x": MEGABYTE, "y": MEGABYTE[: 512 * 1024] + "y"}),
    ("data.b.all(i, !data.x.matches('(x|xx)*y'))", {"b": MANY, "x": MEGABYTE}),
    ("data.b.all(i, !data.p.matches(data.p))", {"b": MANY, "p": "(a{1,100}){1,9}"}),
    ("data.b.all(i, !'abc'.matches('(a|b){1,50}z'))", {"b": MANY}),
    ("data.x.matches('[xy]*x[xy]{200}z')", {"x": MEGABYTE}),
    ("data.b.map(a, data.b.map(b, data.b.map(c, data.b.map(d, 1))))", {"b": MANY}),
]


@pytest.mark.parametrize(("text", "data"), BOMBS, ids=[text[:40] for text, _ in BOMBS])
def test_bombs_that_are_stopped(text: str, data: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Reckoned from the values, and refused before any of it is done. The time is printed."""
    expression = compile_expression(text, NAMES)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(EvaluationError, match="too big"):
        expression.evaluate({"data": data})
    took = time.process_time() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    with capsys.disabled():
        print(f"\n{1000 * took:5.1f} ms, {grown} MB: {text[:60]}", end="")  # noqa: T201 (a measurement)
    assert took < 2
    assert grown < 100


@pytest.mark.parametrize(
    ("text", "data", "value"),
    [
        ("data.b.filter(i, i > 990).size()", {"b": list(range(1_000))}, 9),
        ("data.b.all(i, i in data.allowed)", {"b": [1] * 5_000, "allowed": list(range(100))}, True),
        ("data.b.exists(o, o.id == 'k99')", {"b": [{"id": f"k{n}"} for n in range(5_000)]}, True),
        ("data.b.map(o, data.p[o.k])", {"b": [{"k": "a"}] * 500, "p": {"a": 1, "b": 2}}, [1] * 500),
        ("data.x.contains('needle')", {"x": MEGABYTE + "needle"}, True),
        ("data.x.matches('^x+$')", {"x": MEGABYTE}, True),
        ("data.x == data.y", {"x": MEGABYTE, "y": "x" * 1024 * 1024}, True),
        ("size(data.x + data.x)", {"x": MEGABYTE}, 2 * 1024 * 1024),
        ("{'a': data.b, 'b': [data.b]}.b[0].size()", {"b": MANY}, 9_000),
        ("data.b.map(o, {'id': o.id, 'n': o.n * 2}).size()",
         {"b": [{"id": "x" * 50, "n": n} for n in range(1_000)]}, 1_000),
        ("data.emails.all(e, e.matches('^[^@ ]+@[^@ ]+$'))", {"emails": ["a@b.example"] * 2_000},
         True),
        ("data.b.map(r, r.map(c, c + 1)).size()", {"b": [list(range(10))] * 100}, 100),
    ],
)  # fmt: skip
def test_honest_work_is_done(text: str, data: Any, value: Any) -> None:
    """What teams write over some thousand items is not taken for a bomb."""
    assert compile_expression(text, NAMES).evaluate({"data": data}) == value


def test_a_mapping_has_a_bound_of_its_own() -> None:
    """Ten thousand small expressions, or a text that is put together from large ones."""
    for value in (
        ["${variables.x}"] * 5_000,
        "${variables.x}" * 5_000,
        {f"k{number}": "${size(variables.x)}" for number in range(10_000)},
    ):
        mapping = parse_mapping(value, NAMES)
        began = time.process_time()
        with pytest.raises(EvaluationError, match="together"):
            mapping.evaluate({"variables": {"x": MEGABYTE}})
        assert time.process_time() - began < 2
    small = parse_mapping(["${variables.x}"] * 5_000, NAMES)
    assert small.evaluate({"variables": {"x": "a"}}) == ["a"] * 5_000


def test_a_missing_field_costs_nothing() -> None:
    """Reckoning never fails where the evaluation does; the error is the evaluation's."""
    expression = compile_expression("data.b.map(i, i + data.c.d)[data.e].f", NAMES)
    assert expression.cost({"data": {}}) < MAX_COST
    with pytest.raises(EvaluationError, match=r"No such key|not found|no such"):
        expression.evaluate({"data": {}})


def test_weights() -> None:
    """A text weighs its length, and counting ends at a limit."""
    assert weigh("x" * 1_000).size >= 1_000
    assert weigh([1] * 1_000).nodes == 1_001
    assert weigh([1] * 1_000_000, limit=1_000).nodes < 100
    term = compile_expression("data.x", NAMES).term
    assert cost_of(term, {"data": {"x": "x" * 1_000}}) < 3_000

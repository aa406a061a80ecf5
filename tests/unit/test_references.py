"""References to big values: how they look, where they are found, what is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.cel import compile_expression
from definitions.expressions import STEP_NAMES, EvaluationError
from definitions.outputs import is_object, stored_output
from definitions.references import (
    KEY,
    PayloadReference,
    find_references,
    first_reference,
    is_reference,
    read_reference,
    replace_references,
    told,
    told_size,
    without_references,
)
from definitions.templates import parse_mapping

BIG = PayloadReference(sha256="ab" * 32, size=5 * 1024 * 1024).to_json()


@pytest.mark.parametrize(
    "broken",
    [
        {KEY: None},
        {KEY: {"sha256": "ab" * 32}},
        {KEY: {"sha256": "AB" * 32, "size": 1}},
        {KEY: {"sha256": "ab" * 32 + "\n", "size": 1}},
        {KEY: {"sha256": "../" * 21 + "a", "size": 1}},
        {KEY: {"sha256": "ab" * 32, "size": -1}},
        {KEY: {"sha256": "ab" * 32, "size": True}},
        {KEY: {"sha256": "ab" * 32, "size": "1"}},
        {KEY: {"sha256": "ab" * 32, "size": 1, "org": "acme"}},
        {**BIG, "more": 1},
    ],
)
def test_a_broken_reference_is_one_that_cannot_be_read(broken: dict[str, Any]) -> None:
    """Whoever finds the key does not take its object for data, and does not follow it."""
    assert is_reference(broken)
    assert not is_object(broken)
    assert read_reference(broken) is None
    assert "not well made" in told(broken)


def test_references_are_found_wherever_they_are() -> None:
    """In the order of the value, each with its place; what is in one is not looked at."""
    value = {"a": [1, {"b": BIG}], "c/d": BIG, "e": {"f": [[BIG]]}, "g": "text"}
    assert [where for where, _ in find_references(value)] == ["/a/1/b", "/c~1d", "/e/f/0/0"]
    assert first_reference({"a": {KEY: {KEY: 1}}}) == ("/a", {KEY: {KEY: 1}})
    assert first_reference(BIG) == ("", BIG)
    assert first_reference("text") is None
    assert first_reference({"text": KEY}) is None
    deep: Any = BIG
    for _ in range(5_000):
        deep = [deep]
    assert first_reference(deep) is not None


def test_references_are_replaced() -> None:
    """The given value stays as it is."""
    value = {"a": [BIG, 1]}
    assert replace_references(value, lambda _: "big") == {"a": ["big", 1]}
    assert value == {"a": [BIG, 1]}
    assert without_references(value) == {"a": [f"<an object with the reserved member {KEY}>", 1]}
    same = {"a": 1}
    assert without_references(same) is same


def test_a_reference_is_stored_as_what_is_no_object() -> None:
    """Its members would else be merged into ``data``."""
    assert stored_output(BIG) == {"value": BIG}
    assert stored_output({"a": BIG}) == {"a": BIG}


def test_sizes_are_told_in_the_unit_that_fits() -> None:
    """Of 1,024."""
    assert [told_size(size) for size in (0, 1023, 1024, 1024 * 1024)] == [
        "0 bytes", "1023 bytes", "1.0 KiB", "1.0 MiB",
    ]  # fmt: skip
    assert told(BIG) == f"5.0 MiB in the payload store, sha256 {'ab' * 32}"


@pytest.mark.parametrize(
    "text",
    [
        "data.big.title",
        "data.big.a.b.c",
        "data['big']['title']",
        "has(data.big.title)",
        "has(data.big)",
        "size(data.big)",
        "data.big == {}",
        "data.big != null",
        "data.big.map(key, key)",
        "'sha256' in data.big",
        "data[variables.name].title",
        "has(data.list[0].title)",
        "data.list.exists(one, has(one.title))",
        "data.size() > 0",
        "true ? data.big : null",
        "data.big.title == 'x' || true",
    ],
)
def test_no_expression_looks_into_a_reference(text: str) -> None:
    """An error, never an answer that is about the reference and not about the value."""
    scope = {"data": {"big": BIG, "list": [BIG], "small": 1}, "variables": {"name": "big"}}
    expression = compile_expression(text, STEP_NAMES)
    with pytest.raises(EvaluationError, match=r"5\.0 MiB in the payload store"):
        expression.evaluate(scope)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.big", BIG),
        ("data", {"big": BIG, "small": 1}),
        ("data.small + 1", 2),
        ("has(data.small)", True),
        ("has(data.none)", False),
    ],
)
def test_what_is_beside_a_reference_is_read(text: str, value: Any) -> None:
    """A path hands on what is there as a whole."""
    scope = {"data": {"big": BIG, "small": 1}}
    assert compile_expression(text, STEP_NAMES).evaluate(scope) == value


def test_a_reference_is_part_of_a_mapping_but_of_no_text() -> None:
    """Else the text would have the reference in it."""
    scope: dict[str, Any] = {"data": {"big": BIG}}
    whole = parse_mapping({"a": ["${data.big}"], "b": "${data}"}, STEP_NAMES)
    assert whole.evaluate(scope) == {"a": [BIG], "b": {"big": BIG}}
    for text in ("see ${data.big}", "${data} is all"):
        with pytest.raises(EvaluationError, match="part of a text"):
            parse_mapping(text, STEP_NAMES).evaluate(scope)

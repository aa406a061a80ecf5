"""Does a value fit a schema: every violation, with its place and a sentence, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.inputs import MAX_PROBLEMS, check_input
from definitions.schema_work import too_much_work

ORDER = {
    "type": "object",
    "properties": {
        "amount": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
        "currency": {"enum": ["eur", "usd"]},
        "email": {"format": "email"},
        "code": {"type": "string", "pattern": "^[A-Z]+$", "minLength": 2, "maxLength": 4},
        "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/item"}},
        "note": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
    },
    "required": ["amount", "currency"],
    "additionalProperties": False,
    "$defs": {"item": {"type": "object", "required": ["sku"]}},
}


def found(schema: Any, value: Any) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in check_input(schema, value)]


def test_what_fits() -> None:
    """A value that fits has no problems; without a schema everything fits."""
    assert check_input(ORDER, {"amount": 1, "currency": "eur", "note": None}) == []
    assert check_input(None, [1, "anything"]) == []
    assert check_input({}, 5) == []


def test_everything_at_once() -> None:
    """All violations, a missing member at its parent, an unknown one at itself."""
    value = {
        "amount": -1,
        "email": "nobody",
        "code": "a",
        "items": [{"sku": 1}, {}, 3],
        "note": "long",
        "a/b": 1,
    }
    assert sorted(found(ORDER, value)) == [
        ("", "value_missing"),
        ("/amount", "value_out_of_range"),
        ("/a~1b", "value_unknown"),
        ("/code", "value_bad_format"),
        ("/code", "value_out_of_range"),
        ("/email", "value_bad_format"),
        ("/items/1", "value_missing"),
        ("/items/2", "value_wrong_type"),
        ("/note", "value_out_of_range"),
    ]


@pytest.mark.parametrize(
    ("schema", "value", "expected", "sentence"),
    [
        ({"required": ["a"]}, {}, ("", "value_missing"), "a is missing in the value"),
        ({"type": ["string", "null"]}, 1, ("", "value_wrong_type"),
         "the value must be null or text"),
        ({"items": {"type": "integer"}}, [1.5], ("/0", "value_wrong_type"),
         "[0] must be a whole number"),
        ({"properties": {"a": {"properties": {"b": False}}}}, {"a": {"b": 1}},
         ("/a/b", "value_unknown"), "a.b must not be there"),
        ({"additionalProperties": False}, {"a": 1}, ("/a", "value_unknown"),
         "a is not a known member"),
        ({"unevaluatedProperties": False}, {"a": 1}, ("/a", "value_unknown"),
         "a is not a known member"),
        ({"const": 1}, 2, ("", "value_not_allowed"), "the value is not the one allowed value"),
        ({"multipleOf": 2}, 3, ("", "value_out_of_range"), "the value must be a multiple of 2"),
        ({"uniqueItems": True}, [1, 1], ("", "value_mismatch"),
         "the value must not have the same item twice"),
        ({"propertyNames": {"maxLength": 1}}, {"aa": 1}, ("", "value_mismatch"),
         "the value has a member whose name is not allowed"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, ("", "value_wrong_type"),
         "the value must be text or null"),
        ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, ("", "value_mismatch"),
         "the value must fit exactly one of the allowed shapes"),
        ({"anyOf": [{"minimum": 1}, {"maximum": -1}]}, 0, ("", "value_mismatch"),
         "the value fits none of the allowed shapes"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, ("", "value_missing"),
         "b is missing in the value"),
        ({"contains": {"type": "string"}}, [1], ("", "value_mismatch"),
         "the value lacks an item that must be there"),
    ],
)  # fmt: skip
def test_sentences(schema: Any, value: Any, expected: tuple[str, str], sentence: str) -> None:
    """Each keyword has a sentence of ours."""
    (problem,) = check_input(schema, value)
    assert ((problem.pointer, problem.code), problem.message) == (expected, sentence)


def test_every_unknown_member_is_named() -> None:
    """Also where the schema names no member at all, and also further in."""
    closed = {"properties": {"x": {"additionalProperties": False}}, "additionalProperties": False}
    assert found(closed, {"x": {"a": 1, "b": 2}, "c": 3}) == [
        ("/x/a", "value_unknown"),
        ("/x/b", "value_unknown"),
        ("/c", "value_unknown"),
    ]


def test_the_value_is_never_quoted() -> None:
    """A value may be secret: no sentence repeats it."""
    secret = "s3cret-value"
    schema = {"enum": [1], "pattern": "^x", "maxLength": 1, "not": {"type": "string"}}
    for problem in check_input({"properties": {"a": schema}}, {"a": secret}):
        assert secret not in problem.message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": float("nan")}, ("/a", "not_a_number")),
        ({"a": "\0"}, ("/a", "null_character")),
        ({"a": (1,)}, ("/a", "not_json")),
    ],
)
def test_the_gate_comes_first(value: Any, expected: tuple[str, str]) -> None:
    """What is no storable JSON is refused before the schema is asked, and alone."""
    assert found({"type": "string"}, value) == [expected]


def test_a_deep_value_is_refused_before_the_library_sees_it() -> None:
    """Tens of thousands of levels end in a problem, not in the end of the process."""
    value: Any = 0
    for _ in range(50_000):
        value = [value]
    assert [code for _, code in found({"items": {"$ref": "#"}}, value)] == ["too_deep"]


@pytest.mark.parametrize(
    "schema", [{"type": "objekt"}, {"$ref": "http://example.com/x"}, {"a": float("inf")}]
)
def test_a_schema_that_cannot_be_used(schema: Any) -> None:
    """Its own problem is reported, and nothing is fetched or raised."""
    (problem,) = check_input(schema, {})
    assert problem.pointer == ""


def test_a_pattern_that_would_backtrack() -> None:
    """The classic trap for backtracking engines is matched in linear time."""
    began = time.process_time()
    assert found({"pattern": "(a+)+$"}, "a" * 10_000 + "!") == [("", "value_bad_format")]
    assert time.process_time() - began < 5


def test_a_schema_that_repeats_itself_is_counted_first() -> None:
    """Forty lines that double the work each are refused at once."""
    defs: dict[str, Any] = {"a40": {"type": "object"}}
    for level in range(40):
        again = {"$ref": f"#/$defs/a{level + 1}"}
        defs[f"a{level}"] = {"allOf": [again, again]}
    assert found({"$ref": "#/$defs/a0", "$defs": defs}, {}) == [("", "value_mismatch")]
    twice = {"properties": {"a": {"$ref": "#"}}}
    value: Any = {}
    for _ in range(60):
        value = {"a": value}
    assert found({"allOf": [twice, twice]}, value) == [("", "value_mismatch")]


def test_ordinary_recursive_schemas_are_no_work() -> None:
    """Trees and grammars of expressions, which refer to themselves, are checked as they are."""
    tree = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "n": {"type": "integer"}}}
    grammar = {
        "$defs": {
            "e": {
                "oneOf": [
                    {"type": "integer"},
                    {"properties": {"and": {"items": {"$ref": "#/$defs/e"}}}, "required": ["and"]},
                    {"properties": {"or": {"items": {"$ref": "#/$defs/e"}}}, "required": ["or"]},
                ]
            }
        },
        "$ref": "#/$defs/e",
    }
    value: Any = {"n": 1}
    rule: Any = 1
    for level in range(28):
        value = {"left": value, "n": 2}
        rule = {"and" if level % 2 else "or": [rule, 1]}
    assert not too_much_work(tree, value)
    assert found(tree, value) == []
    assert not too_much_work(grammar, rule)
    assert not too_much_work({"$ref": "#"}, {"a": [1, 2]})


def test_the_list_of_problems_ends() -> None:
    """A long list of wrong items does not make a report that nobody can read."""
    assert len(check_input({"items": {"type": "string"}}, list(range(5_000)))) == MAX_PROBLEMS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
KEYWORDS = [
    "type", "properties", "items", "$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "enum",
    "required", "pattern", "minimum", "$defs", "$id", "$anchor", "$dynamicRef", "prefixItems",
    "additionalProperties", "patternProperties", "unevaluatedProperties", "contains", "format",
]  # fmt: skip
schemas = st.recursive(
    json_values | st.sampled_from(["string", "#", "#/$defs/a", "#a", "x.json", "email", "(", True]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS) | st.sampled_from("ab"), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), schemas, max_size=4), json_values)
def test_never_raises(schema: Any, value: Any) -> None:
    """Whatever the schema and the value, there is a list of problems."""
    for problem in check_input(schema, value):
        assert problem.message

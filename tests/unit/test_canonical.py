"""The canonical form: one hash for one meaning, another for another."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.canonical import canonical_json, content_hash

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda children: st.lists(children) | st.dictionaries(TEXT, children),
    max_leaves=20,
)  # fmt: skip


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_key_order_changes_nothing(value: Any) -> None:
    """Two documents that differ in key order alone have the same bytes."""
    assert canonical_json(value) == canonical_json(reversed_keys(value))


@given(VALUES)
def test_the_form_reads_back_as_the_same_value(value: Any) -> None:
    """Nothing is lost, and the form of the form is itself."""
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    assert content_hash(json.loads(text)) == content_hash(value)


@given(VALUES, VALUES)
def test_different_values_differ(one: Any, other: Any) -> None:
    """Equal bytes mean equal values (``True`` is not 1, though Python says so)."""
    if canonical_json(one) == canonical_json(other):
        assert (
            one == pytest.approx(other)
            if isinstance(one, float)
            else json.loads(canonical_json(one)) == json.loads(canonical_json(other))
        )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, None], "a": "ü\n"}, '{"a":"ü\\n","b":[1,null]}'),
        (2**53 + 1, "9007199254740993"),
        (1.0, "1"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (1e16, "10000000000000000"),
        (1e23, "1" + "0" * 23),
        (1.5e300, "15" + "0" * 299),
        (-2.5e20, "-25" + "0" * 19),
        (1e-7, "1e-07"),
        ([True, 1], "[true,1]"),
    ],
)
def test_forms(value: Any, text: str) -> None:
    """The rules for numbers, keys and characters, by example."""
    assert canonical_json(value) == text.encode()


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": "\ud800"}])
def test_what_json_does_not_have_is_refused(value: Any) -> None:
    """NaN, infinities and lone surrogates have no canonical form."""
    with pytest.raises(ValueError, match=r"not a JSON number|surrogates"):
        canonical_json(value)


def test_keys_are_strings() -> None:
    """A key that is no string would be turned into one that may be there already."""
    with pytest.raises(TypeError, match="key"):
        canonical_json({1: "a", "1": "b"})


def test_the_hash_is_pinned() -> None:
    """The hash of a document never changes: runs of years ago refer to it."""
    assert content_hash({"a": 1}) == (
        "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    )

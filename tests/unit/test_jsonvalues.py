"""Values of tasks, made storable."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.jsonvalues import (
    MAX_DEPTH,
    MAX_INTEGER_BITS,
    storable,
    with_storable_keys,
)

TEXT = st.text()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary() | st.dates(),
    lambda children: (
        st.lists(children)
        | st.dictionaries(TEXT | st.integers(), children)
        | st.tuples(children, children)
    ),
    max_leaves=20,
)


@given(ANYTHING)
def test_whatever_comes_in_can_be_stored(value: Any) -> None:
    """The result is JSON without U+0000 and surrogates, and storing it again changes nothing."""
    result, _ = storable(value)
    text = json.dumps(result, allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")
    assert "\\u0000" not in text
    again, changed = storable(result)
    assert not changed
    assert again is result


@given(ANYTHING)
def test_what_is_not_flagged_is_the_value_itself(value: Any) -> None:
    """No copy is made and nothing replaced unless the flag says so."""
    result, changed = storable(value)
    assert changed or result is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\x00b\ud800", "a\ufffdb\ufffd"),
        ({"\x00": [math.nan, math.inf, -math.inf]}, {"\ufffd": ["NaN", "Infinity", "-Infinity"]}),
        ({1: 2}, {"1": 2}),
        (b"x", "b'x'"),
        (1 << MAX_INTEGER_BITS, f"<integer of {MAX_INTEGER_BITS + 1} bits>"),
    ],
)
def test_replacements(value: Any, expected: Any) -> None:
    """What takes the place of what cannot be stored."""
    assert storable(value) == (expected, True)


@pytest.mark.parametrize("value", [2**60 + 1, "\u0001 \U0001f600", {"a": [None, True, 0.1]}])
def test_what_can_be_stored_is_left_alone(value: Any) -> None:
    """Exact integers, control characters but U+0000, and emoji are JSON."""
    assert storable(value) == (value, False)


def test_a_list_that_holds_itself_ends() -> None:
    """What lies too deep is replaced, so that nothing overflows."""
    value: list[Any] = []
    value.append(value)
    result, changed = storable(value)
    assert changed
    assert json.dumps(result).count("[") == MAX_DEPTH


def test_keys_are_made_storable_before_pydantic_sees_them() -> None:
    """In objects and lists at any depth; what needs nothing is returned itself."""

    class Other:
        pass

    other = Other()
    odd = [{"a\ud800": {"b\x00": other}}, {1: "\ud800"}]
    assert with_storable_keys(odd) == ([{"a\ufffd": {"b\ufffd": other}}, {1: "\ud800"}], True)
    fine = [{"a": [other, ("x",)]}]
    kept, changed = with_storable_keys(fine)
    assert (kept is fine, changed) == (True, False)
    endless: list[Any] = []
    endless.append(endless)
    kept, changed = with_storable_keys(endless)
    assert (kept is endless, changed) == (True, False)

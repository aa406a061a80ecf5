"""Patterns of event types: what matches, and that the candidates are all that does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions.triggers import MAX_SEGMENTS, candidates, matches, wrong_type

#: Few of them, so that patterns and types meet.
SEGMENTS = st.sampled_from(["a", "b", "order-1", "x_y", "§", "a b", "*"])
TYPES = st.lists(SEGMENTS, min_size=1, max_size=MAX_SEGMENTS).map(".".join)
PARTS = st.sampled_from(["a", "b", "order-1", "x_y", "*"])
PATTERNS = st.builds(
    lambda parts, rest: ".".join([*parts, *(["**"] if rest or not parts else [])]),
    st.lists(PARTS, max_size=MAX_SEGMENTS - 1),
    st.booleans(),
)


def naive(pattern: str, event_type: str) -> bool:
    """By a regular expression, as the documentation says it."""
    text = "".join(
        {"*": r"[^.]+", "**": r".+", ".": r"\."}.get(part, re.escape(part))
        for part in re.split(r"(\*\*|\*|\.)", pattern)
        if part
    )
    return re.fullmatch(text, event_type, re.DOTALL) is not None


@settings(deadline=None)
@given(PATTERNS, TYPES)
def test_matching_is_what_the_documentation_says(pattern: str, event_type: str) -> None:
    """``*`` is one segment, ``**`` at the end one or more, anything else itself."""
    assert matches(pattern, event_type) == naive(pattern, event_type)


@settings(deadline=None)
@given(PATTERNS, TYPES)
def test_candidates_are_the_patterns_that_match(pattern: str, event_type: str) -> None:
    """Looking a pattern up among them is as good as matching it."""
    assert (pattern in candidates(event_type)) == matches(pattern, event_type)


@settings(deadline=None)
@given(TYPES)
def test_candidates_are_few_and_each_matches(event_type: str) -> None:
    """Below 2 to the power of the segments and one, none of them twice."""
    found = candidates(event_type)
    assert len(found) == len(set(found)) < 2 ** (event_type.count(".") + 2)
    assert all(matches(pattern, event_type) for pattern in found)


@pytest.mark.parametrize("event_type", ["", "a.", ".a", "a..b", "a" * 256, ".".join("a" * 9)])
def test_what_is_no_type(event_type: str) -> None:
    """Empty, with an empty segment, too long, or with too many segments."""
    assert wrong_type(event_type) is not None
    with pytest.raises(ValueError, match="the type of an event"):
        candidates(event_type)

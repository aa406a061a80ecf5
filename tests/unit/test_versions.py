"""The order of versions."""

from __future__ import annotations

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from definitions.versions import highest, sort_key

#: Ascending; releases by semantic versioning (https://semver.org, item 11), pre-releases before.
ASCENDING = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "9.0.0-rc.1",
    "0.9.0",
    "1.0.0",
    "1.0.0+build.1",
    "1.2.0",
    "1.10.0",
    "2.0.0",
]

NUMBERS = st.integers(0, 30)
PRE = st.lists(st.sampled_from(["alpha", "1", "11", "2", "rc", "x-y"]), min_size=1, max_size=3)
PRE_RELEASES = st.builds(
    lambda a, b, c, pre: f"{a}.{b}.{c}-{'.'.join(pre)}", NUMBERS, NUMBERS, NUMBERS, PRE
)
RELEASES = st.builds(lambda a, b, c: f"{a}.{b}.{c}", NUMBERS, NUMBERS, NUMBERS)


def test_the_order() -> None:
    """Numbers count as numbers, and every pre-release comes before every release."""
    descending = ASCENDING[::-1]
    assert sorted(descending, key=sort_key) == ASCENDING


@given(st.lists(PRE_RELEASES, min_size=2, max_size=2) | st.lists(RELEASES, min_size=2, max_size=2))
def test_among_its_kind_it_is_semantic_versioning(pair: list[str]) -> None:
    """Releases among themselves, and pre-releases too, compare as the standard says."""
    one, other = pair
    expected = semver.Version.parse(one).compare(other)
    keys = sort_key(one), sort_key(other)
    assert (keys[0] > keys[1]) - (keys[0] < keys[1]) == expected


def test_the_highest() -> None:
    """A pre-release is the highest only where there is no release."""
    assert highest(["1.0.0", "2.0.0-rc.1", "1.1.0"]) == "1.1.0"
    assert highest(["2.0.0-rc.1", "2.0.0-rc.2"]) == "2.0.0-rc.2"
    assert highest([]) is None


def test_no_version_is_refused() -> None:
    """What is no semantic version has no place in the order."""
    with pytest.raises(ValueError, match=r"v1\.0"):
        sort_key("v1.0")

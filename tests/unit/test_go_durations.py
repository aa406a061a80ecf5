"""Durations as Go reads and writes them. The expected values are those of Go's own ``time``."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.providers.durations import GoDuration, GoDurationError, format_go_duration

LARGEST = (1 << 63) - 1


@pytest.mark.parametrize(
    ("text", "nanoseconds", "written"),
    [
        ("30m", 1_800_000_000_000, "30m0s"),
        ("1s", 1_000_000_000, "1s"),
        ("60s", 60_000_000_000, "1m0s"),
        ("1h15m30.5s", 4_530_500_000_000, "1h15m30.5s"),
        ("0", 0, "0s"),
        ("-0", 0, "0s"),
        ("0s", 0, "0s"),
        ("+5s", 5_000_000_000, "5s"),
        ("-1.5h", -5_400_000_000_000, "-1h30m0s"),
        (".5s", 500_000_000, "500ms"),
        ("1.s", 1_000_000_000, "1s"),
        ("1us", 1_000, "1µs"),
        ("1\u00b5s", 1_000, "1µs"),
        ("1\u03bcs", 1_000, "1µs"),
        ("1.5ms", 1_500_000, "1.5ms"),
        ("3ns", 3, "3ns"),
        ("1m1h", 3_660_000_000_000, "1h1m0s"),
        ("0.3333333333333333333h", 1_200_000_000_000, "20m0s"),
        ("0.100000000000000000000h", 360_000_000_000, "6m0s"),
        ("9223372036854775807ns", LARGEST, "2562047h47m16.854775807s"),
        ("-9223372036854775808ns", -LARGEST - 1, "-2562047h47m16.854775808s"),
    ],
)
def test_what_go_reads(text: str, nanoseconds: int, written: str) -> None:
    """To the nanosecond; the text is kept, and Go's own is at hand."""
    found = GoDuration.parse(text)
    assert (found.nanoseconds, found.text, str(found)) == (nanoseconds, text, text)
    assert format_go_duration(nanoseconds) == written


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "+", "3", "s", ".", ".s", "1", "1d", "1S", "1 s", " 1s", "1s ", "1s\n", "--1s",
        "1s-1s", "1e3s", "٣s", "PT5M", "1h 5m", "9223372036854775808ns", "2562047h47m16.854775808s",
        "-9223372036854775809ns", "9" * 5000 + "h", "153722868h",
    ],
)  # fmt: skip
def test_what_go_refuses(text: str) -> None:
    """Among it whatever an int64 of nanoseconds cannot hold."""
    with pytest.raises(GoDurationError):
        GoDuration.parse(text)


@given(st.integers(-LARGEST - 1, LARGEST))
def test_every_duration_comes_back(nanoseconds: int) -> None:
    """What is written for a length is read as that length."""
    assert GoDuration.parse(format_go_duration(nanoseconds)).nanoseconds == nanoseconds


@given(st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)))
def test_durations_made_in_code_come_back(value: timedelta) -> None:
    """Python's own are whole microseconds."""
    made = GoDuration.of(value)
    assert made.to_timedelta() == value
    assert GoDuration.parse(made.text) == made


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**6),
            st.none() | st.text("0123456789", max_size=12),
            st.sampled_from(["ns", "us", "µs", "ms", "s", "m", "h"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_sum_is_read_part_by_part(parts: list[tuple[int, str | None, str]]) -> None:
    """Each number with its unit adds its own length."""
    texts = [f"{n}{'' if f is None else f'.{f}'}{unit}" for n, f, unit in parts]
    each = [GoDuration.parse(text).nanoseconds for text in texts]
    if sum(each) <= LARGEST:
        assert GoDuration.parse("".join(texts)).nanoseconds == sum(each)


def test_equal_lengths_are_equal() -> None:
    """Whatever their texts; and they are ordered by length."""
    assert GoDuration.parse("60s") == GoDuration.parse("1m")
    assert hash(GoDuration.parse("60s")) == hash(GoDuration.parse("1m"))
    assert GoDuration.parse("59s") < GoDuration.parse("1m")
    assert GoDuration.parse("1500ns").to_timedelta() == timedelta(microseconds=1)
    assert GoDuration.parse("-1500ns").to_timedelta() == timedelta(microseconds=-1)
    assert GoDuration.parse("1m30s").seconds == 90.0


def test_more_than_292_years_are_refused() -> None:
    """In code as in a text."""
    with pytest.raises(GoDurationError, match="292 years"):
        GoDuration.of(timedelta(days=107_000))

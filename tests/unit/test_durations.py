"""ISO 8601 durations: what is one, how long it is, and back to text."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.durations import (
    MAX_DURATION,
    DurationError,
    check_calendar_duration,
    format_duration,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT0S", timedelta(0)),
        ("PT5M", timedelta(minutes=5)),
        ("PT1.5S", timedelta(seconds=1.5)),
        ("PT1,5S", timedelta(seconds=1.5)),
        ("PT0.000001S", timedelta(microseconds=1)),
        ("P30D", timedelta(days=30)),
        ("P1W2D", timedelta(days=9)),
        ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("PT36H", timedelta(hours=36)),
        ("P36500D", MAX_DURATION),
    ],
)
def test_exact_durations(text: str, length: timedelta) -> None:
    """Weeks, days and the clock's units have an exact length."""
    assert parse_duration(text) == length
    assert check_calendar_duration(text) == text


@pytest.mark.parametrize("text", ["P1Y", "P6M", "P1Y2M3W4DT5H6M7S"])
def test_calendar_units_are_for_retention_alone(text: str) -> None:
    """Years and months have no exact length, and are refused where one is needed."""
    assert check_calendar_duration(text) == text
    with pytest.raises(DurationError, match="years or months"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "P1DT", "5 minutes", "30s", "pt5m", "PT5m", "+PT5M", "PT1M1H", "P1D2W",
        "PT1.5H", "P0.5D", "PT.5S", "PT1.S", "PT0.1234567891S", "P-1D", " PT1S", "PT1S\n",
        "PT\u0663S", "PT1e3S", "P" + "9" * 400 + "D",
    ],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    """Other notations are refused with a sentence, never with another exception."""
    for read in (parse_duration, check_calendar_duration):
        with pytest.raises(DurationError):
            read(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("-PT1S", "'-PT1S' is negative"),
        ("P36501D", "'P36501D' is longer than 100 years"),
        ("PT1.5H", "only seconds can have a fraction"),
        ("P99999999999D", "longer than can be counted"),
    ],
)
def test_the_sentence_says_why(text: str, sentence: str) -> None:
    """A duration that is nearly right gets the reason."""
    with pytest.raises(DurationError, match=sentence):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=MAX_DURATION))
def test_formatting_is_the_inverse_of_parsing(length: timedelta) -> None:
    """Every exact length has a text that reads back as it."""
    assert parse_duration(format_duration(length)) == length


@given(st.text(alphabet="PTYMWDHS0123456789.,-+", max_size=16))
def test_any_text(text: str) -> None:
    """Any text is a duration or raises ``DurationError``; an exact one is a calendar one too."""
    try:
        assert timedelta(0) <= parse_duration(text) <= MAX_DURATION
    except DurationError:
        return
    assert check_calendar_duration(text) == text

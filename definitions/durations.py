"""ISO 8601 durations, as the document writes them (``PT5M``, ``P30D``).

``whenever`` reads the notation and keeps calendar units apart from exact ones; a step's timing may
only use exact ones, because nobody can say how many seconds a month has.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from whenever import ItemizedDelta

#: The longest exact duration that is accepted. Temporal's own timers end at about 292 years; a
#: century is long enough for a workflow and leaves room for arithmetic.
MAX_DURATION = timedelta(days=36_500)


class DurationError(ValueError):
    """A text that is not a duration of the wanted kind. The message is one plain sentence."""


def _parse(text: str) -> ItemizedDelta:
    try:
        return ItemizedDelta.parse_iso(text)
    except ValueError:
        raise DurationError(
            f"{text!r} is not an ISO 8601 duration such as PT30S, PT5M or P30D"
        ) from None


@lru_cache(maxsize=4096)
def parse_duration(text: str) -> timedelta:
    """The exact length of a duration without calendar units.

    Raises:
        DurationError: Not a duration, a negative one, one with years or months, or one that is
            longer than ``MAX_DURATION``.
    """
    delta = _parse(text)
    if delta.get("years") or delta.get("months"):
        raise DurationError(
            f"{text!r} has years or months, whose length varies: use weeks, days or hours"
        )
    if text.startswith("-") or delta.sign() < 0:
        raise DurationError(f"{text!r} is negative")
    try:
        result = timedelta(
            weeks=delta.get("weeks") or 0,
            days=delta.get("days") or 0,
            hours=delta.get("hours") or 0,
            minutes=delta.get("minutes") or 0,
            seconds=delta.get("seconds") or 0,
            microseconds=(delta.get("nanoseconds") or 0) / 1000,
        )
    except OverflowError:
        result = timedelta.max
    if result > MAX_DURATION:
        raise DurationError(f"{text!r} is longer than 100 years")
    return result


def check_calendar_duration(text: str) -> str:
    """Returns the text if it is a duration, calendar units allowed (``retention``)."""
    delta = _parse(text)
    if text.startswith("-") or delta.sign() < 0:
        raise DurationError(f"{text!r} is negative")
    return text


def format_duration(value: timedelta) -> str:
    """The ISO 8601 text of an exact duration, days kept apart: ``P1DT2H``, ``PT3S``, ``PT0.5S``."""
    total = value // timedelta(microseconds=1)
    days, rest = divmod(total, 86_400_000_000)
    hours, rest = divmod(rest, 3_600_000_000)
    minutes, micros = divmod(rest, 60_000_000)
    seconds = f"{micros / 1_000_000:.6f}".rstrip("0").rstrip(".")
    clock = (
        (f"{hours}H" if hours else "")
        + (f"{minutes}M" if minutes else "")
        + (f"{seconds}S" if micros else "")
    )
    date = f"{days}D" if days else ""
    if not date and not clock:
        return "PT0S"
    return f"P{date}" + (f"T{clock}" if clock else "")

"""ISO 8601 durations, as the document writes them (``PT5M``, ``P30D``).

``whenever`` reads the notation and keeps calendar units apart from exact ones; a step's timing may
only use exact ones, because nobody can say how many seconds a month has.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache

from whenever import ItemizedDelta

#: The longest exact duration that is accepted. Temporal's own timers end at about 292 years; a
#: century is long enough for a workflow and leaves room for arithmetic.
MAX_DURATION = timedelta(days=36_500)


class DurationError(ValueError):
    """A text that is not a duration of the wanted kind. The message is one plain sentence."""


#: The notation, as the published JSON Schema has it too: capitals, no sign, a fraction of seconds
#: alone. ``whenever`` by itself takes ``pt5m`` and ``+PT5M``.
_DAYS = r"[0-9]+W(?:[0-9]+D)?|[0-9]+D"
_WEEKS = r"(?:[0-9]+W)?(?:[0-9]+D)?"
_DATE = rf"(?:[0-9]+Y(?:[0-9]+M)?{_WEEKS}|[0-9]+M{_WEEKS}|{_DAYS})"
_SECONDS = r"[0-9]+(?:[.,][0-9]{1,9})?S"
_TIME = rf"T(?:[0-9]+H(?:[0-9]+M)?(?:{_SECONDS})?|[0-9]+M(?:{_SECONDS})?|{_SECONDS})"
CALENDAR_PATTERN = rf"^P(?:{_DATE}(?:{_TIME})?|{_TIME})$"
EXACT_PATTERN = rf"^P(?:(?:{_DAYS})(?:{_TIME})?|{_TIME})$"
_NOTATION = re.compile(CALENDAR_PATTERN)
_FRACTION = re.compile(r"[0-9][.,][0-9]+[DHMWY]")


def _parse(text: str) -> ItemizedDelta:
    if text.startswith("-") and _NOTATION.fullmatch(text[1:]):
        raise DurationError(f"{text!r} is negative")
    if not _NOTATION.fullmatch(text):
        raise DurationError(
            f"{text!r:.80} is not an ISO 8601 duration such as PT30S, PT5M or P30D"
            + (" (only seconds can have a fraction)" if _FRACTION.search(text) else "")
        )
    try:
        return ItemizedDelta.parse_iso(text)
    except ValueError:
        raise DurationError(f"{text!r:.80} is longer than can be counted") from None


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
    _parse(text)
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

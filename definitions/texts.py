"""Small texts for people: values, times and spans on one line, safe for a terminal.

What stands in a document or in a record was written by others. Characters that a terminal would
obey or that turn the direction of the text are replaced, so that no name can forge a line.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from definitions.jsonvalues import REPLACEMENT

if TYPE_CHECKING:
    from definitions.jsontypes import Json

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def one_line(text: str, limit: int | None = None) -> str:
    """The text without line breaks and control characters, cut to ``limit`` characters."""
    plain = "".join(c if c.isprintable() else REPLACEMENT for c in " ".join(text.split()))
    return plain if limit is None or len(plain) <= limit else plain[: max(limit - 1, 0)] + "…"


def short(value: Json, limit: int = 80) -> str:
    """A JSON value on one line, cut to ``limit`` characters."""
    return one_line(json.dumps(value, ensure_ascii=False, default=str), limit)


def moment(value: datetime) -> str:
    """A time in UTC, to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(value: timedelta) -> str:
    """``340 ms``, ``2.1 s``, ``4 min 12 s``, ``3 h 5 min``, ``2 d 4 h``."""
    seconds = max(value.total_seconds(), 0.0)
    # Rounded first: what rounds up to a minute is a minute.
    if round(seconds * 1000) < 1000:  # noqa: PLR2004 (milliseconds)
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for size, unit, smaller, rest in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            many, left = divmod(whole, size)
            return f"{many} {unit}" + (f" {left // smaller} {rest}" if left // smaller else "")
    return f"{whole} s"

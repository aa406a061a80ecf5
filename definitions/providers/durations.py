"""Durations as Go writes them (``30m``, ``1s``, ``1h15m30.5s``): those of the provider types.

Read and written as Go's ``time.ParseDuration`` and ``Duration.String`` do it, to the nanosecond. A
duration that was read keeps its text. ISO 8601, which documents use, is
``definitions.durations``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from typing_extensions import override

#: Nanoseconds of each unit. The micro sign and the Greek letter look alike; Go takes both.
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DIGITS = "0123456789"
#: Go counts in an int64; its smallest value has one more than its largest.
_LIMIT = 1 << 63


class GoDurationError(ValueError):
    """A text that is no such duration, or one beyond 292 years. The message is one sentence."""


class GoDurationTooLongError(GoDurationError):
    """A duration beyond 292 years."""


@dataclass(frozen=True, slots=True, order=True)
class GoDuration:
    """A length of time. Two are equal that are equally long, whatever their texts.

    Attributes:
        nanoseconds: Its length, which fits a signed 64-bit integer.
        text: As it was given, or as Go would write it.
    """

    nanoseconds: int
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> GoDuration:
        """Reads what Go's ``time.ParseDuration`` reads.

        Raises:
            GoDurationError: It is none, or (``GoDurationTooLongError``) too long.
        """
        return cls(_parse(text), text)

    @classmethod
    def of(cls, value: timedelta) -> GoDuration:
        """A duration made in code, written as Go would.

        Raises:
            GoDurationError: It is too long.
        """
        nanoseconds = value // timedelta(microseconds=1) * 1000
        if not -_LIMIT <= nanoseconds < _LIMIT:
            raise GoDurationError(f"{value} is longer than 292 years, the most that is counted")
        return cls(nanoseconds, format_go_duration(nanoseconds))

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.nanoseconds / 1_000_000_000

    def to_timedelta(self) -> timedelta:
        """Its length in Python's own type, which ends at microseconds; what is finer is cut off."""
        sign = -1 if self.nanoseconds < 0 else 1
        return sign * timedelta(microseconds=abs(self.nanoseconds) // 1000)

    @override
    def __str__(self) -> str:
        return self.text


def _parse(text: str) -> int:
    rest = text[1:] if text[:1] in {"+", "-"} else text
    negative = text.startswith("-")
    if rest == "0":
        return 0
    if not rest:
        raise _wrong(text)
    total = 0
    while rest:
        length, rest = _one(text, rest)
        total += length
        if total > _LIMIT:
            raise _too_long(text)
    if not negative and total == _LIMIT:
        raise _too_long(text)
    return -total if negative else total


def _one(text: str, rest: str) -> tuple[int, str]:
    """The nanoseconds of the first number with its unit, and what comes after them."""
    whole, rest = _take(rest, _DIGITS)
    digits = ""
    has_point = rest.startswith(".")
    if has_point:
        digits, rest = _take(rest[1:], _DIGITS)
    if not whole and not digits:
        raise _wrong(text)
    name, rest = _take_unit(rest)
    if not name:
        raise GoDurationError(f"{text!r:.80} has a number without a unit, such as s, m or h")
    unit = _UNITS.get(name)
    if unit is None:
        raise GoDurationError(
            f"{text!r:.80} has the unknown unit {name!r:.20}; there are ns, us, ms, s, m and h"
        )
    # No number of more digits fits, and Python is slow with very long ones.
    kept = whole.lstrip("0")
    if len(kept) > len(str(_LIMIT)) or int(kept or "0") * unit > _LIMIT:
        raise _too_long(text)
    length = int(kept or "0") * unit
    fraction, scale = _fraction(digits)
    if fraction:
        # In floating point and cut off, as Go does it.
        length += int(float(fraction) * (float(unit) / scale))
    return length, rest


def _fraction(digits: str) -> tuple[int, float]:
    """The digits behind a point as a whole number and what to divide it by.

    Those that an int64 cannot hold are left out.
    """
    value, scale = 0, 1.0
    for digit in digits:
        if value > (_LIMIT - 1) // 10:
            break
        longer = value * 10 + int(digit)
        if longer > _LIMIT:
            break
        value, scale = longer, scale * 10
    return value, scale


def _take(text: str, characters: str) -> tuple[str, str]:
    rest = text.lstrip(characters)
    return text[: len(text) - len(rest)], rest


def _take_unit(text: str) -> tuple[str, str]:
    end = next((at for at, one in enumerate(text) if one == "." or one in _DIGITS), len(text))
    return text[:end], text[end:]


def _wrong(text: str) -> GoDurationError:
    return GoDurationError(f"{text!r:.80} is not a duration such as 30s, 5m or 1h15m30.5s")


def _too_long(text: str) -> GoDurationError:
    return GoDurationTooLongError(
        f"{text!r:.80} is longer than 292 years, the most that is counted"
    )


def format_go_duration(nanoseconds: int) -> str:
    """What Go's ``Duration.String`` writes: ``1h15m30.5s``, ``1.5ms``, ``0s``."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    for name, unit in (("ns", 1), ("\u00b5s", 1_000), ("ms", 1_000_000)):
        if rest < unit * 1000:
            return f"{sign}{_decimal(rest, unit)}{name}"
    minutes, rest = divmod(rest, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _UNITS['s'])}s"
    if hours:
        text = f"{hours}h{minutes}m{text}"
    elif minutes:
        text = f"{minutes}m{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).zfill(len(str(unit)) - 1).rstrip('0')}"

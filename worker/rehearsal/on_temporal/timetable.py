"""When what happens to a rehearsed run, on the clock of the server.

The server's clock stands still only while everything waits; while anything moves it goes on as any
clock does. So that this takes no time in the case, the run is stretched: one instant of the case
(``unit``, the finest time in which it counts) is a whole ``window`` on the server. Whatever happens
within the window happens at that instant, however slow the machine is.

A window also has room for an order. It begins with the time for what comes from outside; after
that each operation of the run has a place of its own, in the order in which they were begun. That
is the order in which the offline host handles what is due at the same instant.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from definitions.durations import DurationError, parse_duration
from worker.rehearsal.host import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from definitions.tasks import TaskSpec
    from worker.rehearsal.case import Case

#: A window is never longer: enough for any machine.
_LONGEST_WINDOW = timedelta(seconds=20_000)
#: The longest wait of a case takes no longer than this on the server, which ends every run after
#: ten years.
_LONGEST_WAIT = timedelta(days=2 * 365)
#: What never ends in a case ends then on the server.
NEVER = timedelta(days=3460)
#: When a run is known to wait for what never comes: before any of that ends.
STUCK = timedelta(days=3285)
#: How many times as long a run may take that is tried once more.
_SHORTER = 200
_FINEST = timedelta(milliseconds=1)
_COARSEST = timedelta(minutes=1)
#: What lies between two attempts where the definition says nothing of it.
_RETRY_DELAY = timedelta(seconds=1)
#: What can make an attempt fail, or a case's steps take a time that no text of it says.
_RETRIED = re.compile(
    r'"(throw|hang|attemptTimeout|heartbeatTimeout|retryPolicy)"'
    r"|core\.(fail|http|approval|event|workflow)"
)
_PLACES = 1000
#: Of those, how many come before those of the run's operations.
_OUTSIDE = 100
_DURATION = re.compile(r"P[0-9DWTHMS.,]*[0-9][DWHMS]")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]+)?")
#: Text that makes a duration, of what one cannot know beforehand.
_COMPUTED = re.compile(r"""['"]P|duration\(""")


@dataclass(frozen=True, slots=True)
class Timetable:
    """The times of one run. ``origin`` is the run's start on the server."""

    unit: timedelta
    scale: int
    origin: datetime

    @property
    def window(self) -> timedelta:
        """How long an instant of the case takes on the server, at most."""
        return self.unit * self.scale

    @property
    def step(self) -> timedelta:
        """The time between one place in a window and the next."""
        return self.window / _PLACES

    def in_case(self, moment: datetime) -> datetime:
        """The instant of the case at a time of the server."""
        return START + (moment - self.origin) // self.window * self.unit

    def on_server(self, instant: datetime, place: float) -> datetime:
        """The time of the server at which something happens that the case has at an instant.

        ``place``: of the operation, from 1; below 0 for what comes from outside.
        """
        begin = self.origin + _at_most(instant - START, NEVER / self.scale) * self.scale
        return begin + self.step * (_OUTSIDE + min(place, _PLACES - _OUTSIDE - 50))

    def stretched(self, duration: timedelta) -> timedelta:
        """How long something takes on the server."""
        return _at_most(duration, NEVER / self.scale) * self.scale

    def shorter(self, origin: datetime) -> Timetable | None:
        """One for a run that takes longer than what this has room for, if there can be one."""
        scale = self.scale // _SHORTER
        return replace(self, scale=scale, origin=origin) if scale else None

    def action_place(self, number: int, count: int) -> float:
        """The place of an action, by its number from 0, in the window in which it is due."""
        return (number + 1) * (_OUTSIDE - 1) / (count + 1) - _OUTSIDE + 0.5


def make_timetable(
    case: Case, catalogue: Mapping[str, TaskSpec], server_time: datetime
) -> Timetable:
    """The timetable of a case whose run is started at this time of the server, or just after."""
    texts = list(_texts([case.model_dump(mode="json"), *_specs(catalogue)]))
    durations = [*_durations(texts), _RETRY_DELAY if _may_retry(case) else _COARSEST]
    lengths = [one // timedelta(microseconds=1) for one in durations if one]
    unit = timedelta(microseconds=math.gcd(*lengths))
    if any(map(_COMPUTED.search, texts)) or not _even(case.definition):
        unit = _FINEST
    unit = max(unit, _FINEST)
    scale = min(_LONGEST_WINDOW // unit, _LONGEST_WAIT // max(durations))
    return Timetable(unit=unit, scale=max(scale, 1), origin=server_time)


def _may_retry(case: Case) -> bool:
    """Whether a retry can be waited for.

    Without that an instant can be longer: a long case has little room, a slow machine needs some.
    """
    text = json.dumps(case.model_dump(mode="json", by_alias=True, exclude_none=True))
    return _RETRIED.search(text) is not None


def _at_most(one: timedelta, other: timedelta) -> timedelta:
    return min(one, other)


def _specs(catalogue: Mapping[str, TaskSpec]) -> Iterator[Any]:
    for spec in catalogue.values():
        yield spec.model_dump(mode="json")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _durations(texts: Iterable[str]) -> Iterator[timedelta]:
    """Every duration in some texts, and how far from the start every moment in them is."""
    for text in texts:
        for found in _DURATION.findall(text):
            try:
                yield parse_duration(found)
            except DurationError:
                continue
        for found in _MOMENT.findall(text):
            try:
                moment = datetime.fromisoformat(found)
            except ValueError:
                continue
            yield abs((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - START)


def _even(value: Any) -> bool:
    """Whether the waits between attempts stay whole multiples of the first one."""
    if isinstance(value, list):
        return all(map(_even, value))
    if not isinstance(value, dict):
        return True
    rate = value.get("backoffRate")
    if isinstance(rate, float) and not rate.is_integer():
        return False
    return all(map(_even, value.values()))

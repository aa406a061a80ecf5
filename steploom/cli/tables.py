"""Tables and small texts as every command shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from definitions.references import replace_references, told
from definitions.texts import one_line

if TYPE_CHECKING:
    from definitions.statuses import InstanceStatus, StepStatus

_COLOURS = {
    "running": "cyan",
    "active": "cyan",
    "waiting": "yellow",
    "suspended": "yellow",
    "pending": "dim",
    "completed": "green",
    "failed": "red",
    "timeout": "red",
    "cancelled": "magenta",
    "skipped": "dim",
}
_SHORT = 80
_MINUTE = 60


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table without lines, which reads and greps well."""
    made = Table(
        box=None, title=title, title_justify="left", title_style="bold", header_style="bold",
        pad_edge=False, padding=(0, 2, 0, 0),
    )  # fmt: skip
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def status(value: InstanceStatus | StepStatus | str) -> Text:
    """A status in its colour."""
    text = str(value)
    return Text(text, style=_COLOURS.get(text, ""))


def moment(value: datetime | None) -> str:
    """A time, to the second, in UTC."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if value else ""


def took(start: datetime | None, end: datetime | None) -> str:
    """How long something took."""
    return duration(end - start) if start and end else ""


def duration(value: timedelta) -> str:
    """``340 ms``, ``2.1 s``, ``4 min 12 s``, ``3 h 5 min``."""
    seconds = value.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE} min"


def short(value: Any, limit: int = _SHORT) -> str:
    """A JSON value on one line, cut, without what a terminal would obey; text stands bare."""
    value = replace_references(value, told)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return one_line(text, limit)

"""Small pieces of Markdown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDTH = 96


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. A bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def pretty(value: Any, width: int = _WIDTH) -> str:
    """JSON that stands on one line where it fits, and is broken from the outside where not."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) <= width or not isinstance(value, dict | list) or not value:
        return flat
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key)}: {pretty(item, width - len(key) - 6)}"
            for key, item in value.items()
        ]
    else:
        parts = [pretty(item, width - 2) for item in value]
    inside = ",\n".join(parts).replace("\n", "\n  ")
    brackets = "{}" if isinstance(value, dict) else "[]"
    return f"{brackets[0]}\n  {inside}\n{brackets[1]}"

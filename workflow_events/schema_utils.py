"""The envelope's JSON Schema, for whoever validates events in another language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from workflow_events.events import WorkflowEvent

SchemaMode = Literal["validation", "serialization"]
_MODES = ("validation", "serialization")


def generate_json_schema(mode: SchemaMode = "validation") -> dict[str, Any]:
    """The schema of what is read (``validation``) or of what is written (``serialization``).

    Raises:
        ValueError: There is no such mode.
    """
    if mode not in _MODES:
        raise ValueError(f"mode is {mode!r}; it is one of {', '.join(_MODES)}")
    return WorkflowEvent.model_json_schema(mode=mode)


def save_json_schema(path: str | Path, mode: SchemaMode = "validation") -> None:
    """Writes the schema to a file, in whose place another one may stand.

    Raises:
        ValueError: There is no such mode.
        OSError: The file cannot be written.
    """
    text = json.dumps(generate_json_schema(mode), indent=2, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")

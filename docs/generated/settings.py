"""The settings: one row for each field of the class that reads them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import SecretStr

from definitions.durations import format_duration
from generated.markdown import table
from worker.settings import Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_TYPES: dict[Any, str] = {
    str: "text",
    SecretStr: "secret",
    bool: "boolean",
    int: "whole number",
    Path: "path",
    timedelta: "duration",
}


def settings() -> str:
    """The table of all settings."""
    rows = [
        (f"`STEPLOOM_{name.upper()}`", _type(field), _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return table(("variable", "type", "default", "meaning"), rows)


def _type(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if isinstance(kind, UnionType):
        [kind] = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is list:
        return "list, by commas"
    bounds = {
        name: getattr(one, name)
        for one in field.metadata
        for name in ("ge", "le")
        if hasattr(one, name)
    }
    limits = ""
    if len(bounds) > 1:
        limits = f", {bounds['ge']:,} to {bounds['le']:,}"
    elif bounds:
        limits = f", from {bounds['ge']:,}"
    return _TYPES[kind] + limits


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == []:
        return ""
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"

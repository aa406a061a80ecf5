"""Sizes of values, and how a raw output is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from definitions.references import is_reference

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject
    from definitions.records import ErrorInfo

#: The largest value that passes between a run and its tasks as it is (UTF-8 bytes of its JSON);
#: bigger ones go by reference (``definitions.references``). Temporal's own limit is 2 MiB for a
#: payload, and an input over it makes the server terminate the run.
MAX_VALUE_BYTES = 1024 * 1024
#: All that a run keeps between its steps (UTF-8 bytes of its JSON, each value once). It is handed
#: on as one payload, together with the document, the start object and what is not written yet.
MAX_STATE_BYTES = 1280 * 1024
#: An error's message, in characters, and its type and code. It stands in several places of a
#: history, and Temporal takes no answer of more than 4 MiB: its activity would never be heard of.
MAX_ERROR_MESSAGE = 16 * 1024
MAX_ERROR_NAME = 255


def stored_output(raw: Json) -> JsonObject:
    """A step's output as it is stored: an object as it is, anything else under ``value``."""
    return raw if is_object(raw) else {"value": raw}


def is_object(raw: Json) -> bool:
    """Whether an output is an object whose members are known: no reference to one."""
    return isinstance(raw, dict) and not is_reference(raw)


def json_text(value: Json) -> str:
    """The value as compact JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_size(value: Json) -> int:
    """How many bytes the value's JSON has in UTF-8."""
    return len(json_text(value).encode("utf-8", "surrogatepass"))


def bounded_error(error: ErrorInfo) -> ErrorInfo:
    """The error as it can be told: texts are cut, details that are too big say how big they are."""
    size = json_size(error.details)
    big = size > MAX_VALUE_BYTES
    told = {
        "type": _cut(error.type, MAX_ERROR_NAME),
        "code": None if error.code is None else _cut(error.code, MAX_ERROR_NAME),
        "message": _cut(error.message, MAX_ERROR_MESSAGE),
        "details": f"<details of {size} bytes>" if big else error.details,
    }
    return error.model_copy(update=told)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

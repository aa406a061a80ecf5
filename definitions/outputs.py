"""Sizes of values, and how a raw output is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from definitions.references import is_reference

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject

#: The largest value that passes between a run and its tasks as it is (UTF-8 bytes of its JSON);
#: bigger ones go by reference (``definitions.references``). Temporal's own limit is 2 MiB for a
#: payload, and an input over it makes the server terminate the run.
MAX_VALUE_BYTES = 1024 * 1024
#: All that a run keeps between its steps (UTF-8 bytes of its JSON, each value once). It is handed
#: on as one payload, together with the document, the start object and what is not written yet.
MAX_STATE_BYTES = 1280 * 1024


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

"""What a task in another language answers, made into what the interpreter works with.

Its worker is not ours: it may answer anything that Temporal carries. Whatever cannot be used is an
error of its step, never one of the run's own machinery.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from definitions.jsongate import JsonGateError, check, loads
from definitions.jsonvalues import storable
from definitions.outputs import MAX_VALUE_BYTES, json_size
from definitions.records import ErrorInfo
from definitions.references import KEY, first_reference, without_references
from worker.interpreter.host import step_error

if TYPE_CHECKING:
    from definitions.jsontypes import Json

#: How Temporal's converters name what is JSON. Protocol buffers come as either.
_JSON = frozenset({"json/plain", "json/protobuf"})
_NOTHING = "binary/null"
#: What JSON can say and Postgres cannot keep is replaced, as in the output of any other task.
_REPLACED = frozenset({"null_character", "lone_surrogate"})
#: An error is kept in several places of a run, so its parts have limits of their own.
MAX_MESSAGE = 10_000
MAX_DETAILS_BYTES = 64 * 1024


def external_output(encoding: str, data: bytes) -> Json:
    """The output in a payload.

    Args:
        encoding: The payload's ``encoding``, as Temporal's converters set it.
        data: Its bytes.

    Raises:
        StepError: ``PayloadTooLarge``, or ``OutputError`` for what is not JSON.
    """
    if encoding == _NOTHING:
        return None
    if encoding not in _JSON:
        message = f"the task's output is not JSON but {encoding or 'of no known encoding'!r:.80}"
        raise step_error("OutputError", message)
    try:
        value = _read(data)
    except JsonGateError as error:
        where = f" at {error.pointer}" if error.pointer else ""
        message = f"the task's output cannot be used: {error.message}{where}"
        raise step_error("OutputError", message, code=error.code) from None
    if first_reference(value) is not None:
        message = f"the task's output has a member {KEY}, which is reserved"
        raise step_error("OutputError", message)
    size = json_size(value)
    if size > MAX_VALUE_BYTES:
        message = f"the output has {size} bytes, at most {MAX_VALUE_BYTES} are allowed"
        raise step_error("PayloadTooLarge", message)
    return value


def _read(data: bytes) -> Json:
    try:
        return loads(data)
    except JsonGateError as error:
        if error.code not in _REPLACED:
            raise
    value, _ = storable(json.loads(data))
    check(value)
    return value


def external_error(
    kind: str | None, message: str, details: object, attempts: int | None
) -> ErrorInfo:
    """A failure's type, message and first detail; ``code`` of a detail that is an object."""
    given: Any = f"<{len(details)} bytes>" if isinstance(details, bytes) else details
    kept, _ = storable(without_references(given))
    code: Any = kept.get("code") if isinstance(kept, dict) else None
    named = isinstance(code, str | int | float) and not isinstance(code, bool)
    size = json_size(kept)
    return ErrorInfo(
        type=_text(kind or "ApplicationError", 255),
        code=_text(str(code), 255) if named else None,
        message=_text(message, MAX_MESSAGE),
        details=kept if size <= MAX_DETAILS_BYTES else f"<details of {size} bytes>",
        attempts=attempts,
    )


def _text(text: str, length: int) -> str:
    kept, _ = storable(text[:length])
    return str(kept)

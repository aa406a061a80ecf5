"""What comes to a run from outside, read without trusting it: arguments, updates, signals.

Raw payloads, because whatever the SDK decodes by itself can fail a workflow task for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from definitions.errors import RefusedError
from definitions.jsongate import JsonGateError, loads
from definitions.validation.misfits import misfit_text

if TYPE_CHECKING:
    from temporalio.common import RawValue

    from definitions.jsontypes import Json

_M = TypeVar("_M", bound=BaseModel)
#: The encoding of a payload that is no value at all.
_NULL = b"binary/null"
#: The problem of an argument that was not given.
NOTHING = "there is none"
#: How ``cancel_reason`` says who acts.
_BY = "(by "
_MAX_ACTOR = 255
#: Characters of a reason that are kept: as many as an update may give.
_MAX_REASON = 4096


def decode(raw: RawValue | None) -> tuple[Json, str | None]:
    """A payload as strict JSON, or why it is none."""
    if raw is None or raw.payload.metadata.get("encoding") == _NULL:
        return None, NOTHING
    encoding = raw.payload.metadata.get("encoding", b"").decode("ascii", "replace")
    if encoding not in {"json/plain", "json/protobuf"}:
        return None, f"its encoding is {encoding or 'unknown'}, not JSON"
    try:
        return loads(raw.payload.data), None
    except JsonGateError as error:
        return None, str(error)


def read_message(raw: RawValue | None, model: type[_M], what: str) -> _M:
    """An update's or a signal's argument; none at all is an empty object.

    Raises:
        RefusedError: It is not what ``model`` describes.
    """
    value, problem = decode(raw)
    if problem == NOTHING:
        value, problem = {}, None
    if problem is not None:
        raise RefusedError(f"the {what} is unusable: {problem}")
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        raise RefusedError(f"the {what} is unusable: {misfit_text(error)}") from None


def cancel_reason(actor: str | None, reason: str | None) -> str:
    """What a cancellation is sent with: Temporal takes one text, which its UI shows."""
    by = f"{_BY}{actor.replace('(', '').replace(')', '')})" if actor else ""
    return " ".join(part for part in (reason, by) if part)


def read_reason(text: str | None) -> tuple[str | None, str | None]:
    """Who cancelled, and why, as far as that was said."""
    if not text:
        return None, None
    reason, by, actor = text.rpartition(_BY)
    name = actor.removesuffix(")")
    if not by or name == actor or not 1 <= len(name) <= _MAX_ACTOR or {"(", ")"} & set(name):
        return None, text[:_MAX_REASON]
    return name, reason.strip()[:_MAX_REASON] or None

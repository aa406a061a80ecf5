"""Big values of tasks: stored when a task answers one, read when a task is given a reference.

What is stored is on record as the run's (``AttemptRecord.payloads``) before the attempt answers, so
that nobody removes what a run may still read. A value that was stored by an attempt which then came
to nothing belongs to no run, and is removed when it is old.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING

from definitions.errors import NotFoundError, TaskError, UnreachableError
from definitions.outputs import MAX_VALUE_BYTES, is_object, json_text, stored_output
from definitions.references import (
    KEY,
    MAX_STORED_BYTES,
    SMALLEST_MEMBER,
    PayloadReference,
    find_references,
    first_reference,
    read_reference,
    replace_references,
)

if TYPE_CHECKING:
    from uuid import UUID

    from definitions.jsontypes import Json, JsonObject
    from definitions.ports import PayloadStore

_SETTING = "set STEPLOOM_PAYLOADS for all workers"


class Payloads:
    """Moves big values to the payload store and back. Without a store, there are no big values."""

    def __init__(self, store: PayloadStore | None = None) -> None:
        self._store = store

    async def resolve(self, given: Json, org_id: UUID) -> tuple[Json, list[PayloadReference]]:
        """A task's input with its references replaced by what they stand for, and those.

        Raises:
            TaskError: ``PayloadNotFound``, ``PayloadTooLarge`` where all of it together is, or
                ``PayloadStoreError``.
        """
        if first_reference(given) is None:
            return given, []
        named = [_well_made(where, found) for where, found in find_references(given)]
        references = list(dict.fromkeys(named))
        more = sum(one.size - len(_encoded(one.to_json())) for one in named)
        _check_total(len(_encoded(given)) + more)
        texts = {one.sha256: await self._read(one, org_id) for one in references}

        def value(reference: Json) -> Json:
            # Each a value of its own: a task may change what it is given.
            return json.loads(texts[reference[KEY]["sha256"]])

        return replace_references(given, value), references

    async def keep(
        self, output: Json, org_id: UUID, limit: int | None = None
    ) -> tuple[Json, list[PayloadReference]]:
        """An output as it is handed to the run: what is too big in it is stored, and referred to.

        Of an object that is too big as a whole, the biggest members are stored, as many as it
        takes. What is no object is stored whole, and so is an object of small members alone.

        Args:
            output: JSON without anything that cannot be stored.
            org_id: The run's org.
            limit: How many bytes the run has room for, where that is less than what a value may
                have. Without a store it is the run's to find that there is no room.

        Raises:
            TaskError: ``PayloadTooLarge``, ``OutputError`` for an output that refers to something
                by itself, or ``PayloadStoreError``.
        """
        text = _encoded(output)
        if KEY.encode() in text and (found := first_reference(output)) is not None:
            message = f"the output has the member {KEY} at {found[0] or '/'}, which is reserved"
            raise TaskError(message, type="OutputError", retryable=False)
        most = MAX_VALUE_BYTES
        if self._store is not None and limit is not None:
            most = min(most, limit)
        if len(text) + (0 if is_object(output) else _WRAPPING_BYTES) <= most:
            return output, []
        if len(text) > MAX_STORED_BYTES:
            raise _too_large(
                f"the output has {len(text)} bytes, at most {MAX_STORED_BYTES} are allowed"
            )
        if self._store is None:
            raise _too_large(
                f"the output has {len(text)} bytes; more than {MAX_VALUE_BYTES} need a payload "
                f"store: {_SETTING}"
            )
        stored: list[PayloadReference] = []
        kept: Json = _biggest_apart(output, len(text), most) if is_object(output) else None
        if kept is None:
            reference = await self._write(text, org_id)
            return reference.to_json(), [reference]
        for name, member in kept.items():
            if isinstance(member, bytes):
                stored.append(await self._write(member, org_id))
                kept[name] = stored[-1].to_json()
        return kept, stored

    async def _read(self, reference: PayloadReference, org_id: UUID) -> bytes:
        if self._store is None:
            message = f"this worker has no payload store to read from: {_SETTING}"
            raise TaskError(message, type="PayloadStoreError")
        try:
            content = await self._store.get(org_id, reference.sha256)
        except NotFoundError as error:
            raise TaskError(error.message, type="PayloadNotFound") from error
        except UnreachableError as error:
            raise TaskError(error.message, type="PayloadStoreError") from error
        same = await asyncio.to_thread(_is, content, reference)
        if not same:
            message = f"what the payload store has as {reference.sha256} is something else"
            raise TaskError(message, type="PayloadStoreError")
        return content

    async def _write(self, content: bytes, org_id: UUID) -> PayloadReference:
        if self._store is None:
            raise AssertionError("there is a store wherever something is stored")
        sha256 = await asyncio.to_thread(_hash, content)
        try:
            await self._store.put(org_id, sha256, content)
        except UnreachableError as error:
            raise TaskError(error.message, type="PayloadStoreError") from error
        return PayloadReference(sha256=sha256, size=len(content))


def _well_made(where: str, found: Json) -> PayloadReference:
    reference = read_reference(found)
    if reference is None:
        message = f"the input has a member {KEY} at {where or '/'} that is no reference"
        raise TaskError(message, type="PayloadNotFound", retryable=False)
    return reference


def _check_total(size: int) -> None:
    if size > MAX_STORED_BYTES:
        raise _too_large(
            f"the input has {size} bytes with what it refers to, at most {MAX_STORED_BYTES} are "
            "allowed"
        )


def _biggest_apart(output: JsonObject, size: int, most: int) -> JsonObject | None:
    """The object with its biggest members as JSON texts, so many that the rest has ``most`` bytes.

    None where that cannot be.
    """
    texts = {name: _encoded(member) for name, member in output.items()}
    kept = dict(output)
    for name in sorted(texts, key=lambda name: len(texts[name]), reverse=True):
        if size <= most or len(texts[name]) < SMALLEST_MEMBER:
            break
        kept[name] = texts[name]
        size -= len(texts[name]) - _REFERENCE_BYTES
    return kept if size <= most else None


def _too_large(message: str) -> TaskError:
    return TaskError(message, type="PayloadTooLarge", retryable=False)


def _encoded(value: Json) -> bytes:
    return json_text(value).encode("utf-8", "surrogatepass")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is(content: bytes, reference: PayloadReference) -> bool:
    return len(content) == reference.size and _hash(content) == reference.sha256


#: What is no object stands under a name where the step's output is stored.
_WRAPPING_BYTES = len(_encoded(stored_output(None))) - len(_encoded(None))
_REFERENCE_BYTES = len(_encoded(PayloadReference(sha256="0" * 64, size=MAX_STORED_BYTES).to_json()))

"""References to big values: what stands in a run's state where the value itself is too big.

A value that is over ``MAX_VALUE_BYTES`` goes to the payload store, and this small object is handed
on in its place::

    {"$steploom.payload": {"sha256": "9f86d0…", "size": 5242880}}

It names no org. Whoever resolves it looks in the store of the run's own org, so that a forged one
leads at most to what that org has stored by itself. What comes from outside (inputs, events,
decisions, what tasks answer) may not have the key at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from definitions.problems import pointer

if TYPE_CHECKING:
    from collections.abc import Callable

    from definitions.jsontypes import Json

#: The one member of a reference.
KEY = "$steploom.payload"
#: The largest value that passes between a run and its tasks by reference (UTF-8 bytes of its JSON).
MAX_STORED_BYTES = 16 * 1024 * 1024
#: Members of an output that are smaller stay where they are.
SMALLEST_MEMBER = 64 * 1024

_KIB = 1024
_MIB = 1024 * 1024


class PayloadReference(BaseModel):
    """Which value: the SHA-256 of its JSON text, and how many bytes that has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]

    def to_json(self) -> dict[str, Any]:
        """The object that stands for the value."""
        return {KEY: {"sha256": self.sha256, "size": self.size}}


def is_reference(value: Json) -> bool:
    """Whether a value is a reference, well made or not."""
    return isinstance(value, dict) and KEY in value


def read_reference(value: Json) -> PayloadReference | None:
    """A reference, or None for one that is not well made."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    try:
        return PayloadReference.model_validate(value.get(KEY))
    except ValidationError:
        return None


def find_references(value: Json) -> Iterator[tuple[str, Json]]:
    """Every reference in a value, with its JSON Pointer, in the order of the value."""
    # A walk with its own stack: most values have none, and are walked in every expression.
    stack: list[tuple[tuple[str | int, ...], Json]] = [((), value)]
    while stack:
        where, item = stack.pop()
        if isinstance(item, dict):
            if KEY in item:
                yield pointer(*where), item
                continue
            stack += [
                ((*where, key), member)
                for key, member in reversed(item.items())
                if isinstance(member, (dict, list))
            ]
        elif isinstance(item, list):
            stack += [
                ((*where, index), member)
                for index, member in reversed(list(enumerate(item)))
                if isinstance(member, (dict, list))
            ]


def first_reference(value: Json) -> tuple[str, Json] | None:
    """The first reference in a value with its JSON Pointer, or None."""
    if not isinstance(value, (dict, list)):
        return None
    return next(find_references(value), None)


def replace_references(value: Json, by: Callable[[Json], Json]) -> Json:
    """The value with something else in the place of each reference; the given one is unchanged."""
    if isinstance(value, dict):
        if KEY in value:
            return by(value)
        return {key: replace_references(member, by) for key, member in value.items()}
    if isinstance(value, list):
        return [replace_references(item, by) for item in value]
    return value


def without_references(value: Json) -> Json:
    """A value from outside that is no one's output, such as an error's details, made harmless."""
    if first_reference(value) is None:
        return value
    return replace_references(value, lambda _: f"<an object with the reserved member {KEY}>")


def told(value: Json) -> str:
    """A reference for people: ``5.0 MiB in the payload store, sha256 9f86d0…``."""
    reference = read_reference(value)
    if reference is None:
        return "a reference to the payload store that is not well made"
    return f"{told_size(reference.size)} in the payload store, sha256 {reference.sha256}"


def told_size(size: int) -> str:
    """``512 bytes``, ``64.0 KiB``, ``5.0 MiB``."""
    if size >= _MIB:
        return f"{size / _MIB:.1f} MiB"
    return f"{size / _KIB:.1f} KiB" if size >= _KIB else f"{size} bytes"

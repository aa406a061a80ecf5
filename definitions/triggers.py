"""Which event starts which definition: patterns of types, and the limits around them.

A type is made of segments with dots between them, ``order.paid``. In a pattern ``*`` stands for one
segment, and ``**`` at the end for one or more. An event of n segments can be matched by
``2**n`` patterns without ``**`` and ``2**n - 1`` with it, and by no other: so the patterns are
looked up in an index, and no pattern is ever tried out.
"""

from __future__ import annotations

import re
from itertools import product

#: The most segments that an event's type and a pattern have; 511 patterns match such a type.
MAX_SEGMENTS = 8
#: The longest type of an event, in characters: that of a pattern.
MAX_TYPE_LENGTH = 255
#: How many runs may have started one another by their events: the event of a run at this depth
#: starts nothing.
MAX_CAUSATION_DEPTH = 10

SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
#: The types that every run publishes.
LIFECYCLE_TYPES = ("workflow.triggered", "workflow.completed", "workflow.failed")


def matches(pattern: str, event_type: str) -> bool:
    """Whether an event of this type is what the pattern is for."""
    expected, given = pattern.split("."), event_type.split(".")
    if expected[-1] == "**":
        expected = expected[:-1]
        if len(given) <= len(expected):
            return False
        given = given[: len(expected)]
    if len(expected) != len(given):
        return False
    return all(one in {"*", other} for one, other in zip(expected, given, strict=True))


def candidates(event_type: str) -> list[str]:
    """Every pattern that matches a type, the exact one first.

    Raises:
        ValueError: It is no type, or has more than ``MAX_SEGMENTS`` segments.
    """
    if (wrong := wrong_type(event_type)) is not None:
        raise ValueError(wrong)
    # A segment with other characters than a pattern can have is matched by * alone.
    choices = [
        (segment, "*") if SEGMENT.fullmatch(segment) else ("*",)
        for segment in event_type.split(".")
    ]
    found = [".".join(chosen) for chosen in product(*choices)]
    for length in range(len(choices) - 1, -1, -1):
        found += [".".join((*chosen, "**")) for chosen in product(*choices[:length])]
    return found


def wrong_type(event_type: str) -> str | None:
    """Why no event can have this type; None where one can."""
    if not event_type:
        return "the type of an event cannot be empty"
    if len(event_type) > MAX_TYPE_LENGTH:
        return (
            f"the type of an event has {len(event_type)} characters, at most {MAX_TYPE_LENGTH} "
            "are allowed"
        )
    segments = event_type.split(".")
    if len(segments) > MAX_SEGMENTS:
        return (
            f"the type of an event has {len(segments)} segments, at most {MAX_SEGMENTS} are allowed"
        )
    return None if all(segments) else "the type of an event has an empty segment"

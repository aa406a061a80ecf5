"""How long and how many the values of the provider types may be. All sizes are bytes of UTF-8.

Each function returns what it found wrong, with pointers relative to the value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from definitions.jsongate import JsonGateError, check
from definitions.outputs import json_size
from definitions.problems import pointer
from definitions.providers.errors import SpecError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Held against a whole text, as Go does it: a line break at the end does not pass.
WORKFLOW_ID_PATTERN = r"^[a-z0-9-]{1,128}$"
EXECUTION_NAME_PATTERN = r"^[a-zA-Z0-9-_]{1,128}$"

MAX_WORKFLOW_ID = 128
MAX_EXECUTION_NAME = 128
MAX_NAME = 256
MAX_DESCRIPTION = 1024
#: Of the JSON without any white space between its parts.
MAX_DEFINITION = 256 * 1024
MAX_INPUT = 256 * 1024
MAX_OUTPUT = 256 * 1024
MAX_TAGS = 50
#: Executions in a page of ``WorkflowProvider.list``.
MAX_PAGE = 100
MAX_TAG = 128

#: What docs/providers.md says of them: the field, the largest size, its unit.
TABLE: tuple[tuple[str, int, str], ...] = (
    ("WorkflowSpec.workflow_id", MAX_WORKFLOW_ID, "bytes"),
    ("WorkflowSpec.name", MAX_NAME, "bytes"),
    ("WorkflowSpec.description", MAX_DESCRIPTION, "bytes"),
    ("WorkflowSpec.definition", MAX_DEFINITION, "bytes"),
    ("ExecutionInput.execution_name", MAX_EXECUTION_NAME, "bytes"),
    ("ExecutionInput.input", MAX_INPUT, "bytes"),
    ("ExecutionStatus.output", MAX_OUTPUT, "bytes"),
    ("tags", MAX_TAGS, "entries"),
    ("a tag's key", MAX_TAG, "bytes"),
    ("a tag's value", MAX_TAG, "bytes"),
)


def size(text: str) -> int:
    """How many bytes of UTF-8 a text has."""
    return len(text.encode("utf-8", "surrogatepass"))


def check_text(text: str, most: int, *, required: bool = False) -> list[Violation]:
    """A text of at most so many bytes that can be stored; ``required``: and of at least one."""
    if required and not text:
        return [
            Violation(pointer="", code="required", message="must not be empty", limit=1, size=0)
        ]
    if (found := size(text)) > most:
        return [too_large(found, most)]
    try:
        check(text)
    except JsonGateError as error:
        return [Violation(pointer="", code=error.code, message=error.message)]
    return []


def check_pattern(text: str, pattern: str, most: int) -> list[Violation]:
    """A name of at most so many bytes that matches a pattern as a whole."""
    if not text:
        return [
            Violation(
                pointer="", code="required", message="must not be empty", limit=pattern, size=0
            )
        ]
    found: list[Violation] = []
    if (length := size(text)) > most:
        found.append(too_large(length, most))
    # What is too long does not match either; only other faults are another violation.
    if re.fullmatch(pattern.replace(f"{{1,{most}}}", "+"), text) is None:
        found.append(
            Violation(
                pointer="",
                code="pattern",
                message=f"{text!r:.140} does not match {pattern}",
                limit=pattern,
                size=length,
            )
        )
    return found


def check_json(value: Any, most: int, *, containers: bool = False) -> list[Violation]:
    """A JSON value of at most so many bytes; ``containers``: an object or an array."""
    if containers and not isinstance(value, dict | list):
        message = "must be a JSON object or array"
        return [Violation(pointer="", code="type", message=message, size=json_type(value))]
    try:
        check(value)
    except JsonGateError as error:
        return [Violation(pointer=error.pointer, code=error.code, message=error.message)]
    found = json_size(value)
    return [too_large(found, most)] if found > most else []


def check_tags(tags: Mapping[str, str]) -> list[Violation]:
    """Tags: their number, and the bytes of each key and each value."""
    found: list[Violation] = []
    if len(tags) > MAX_TAGS:
        found.append(
            Violation(
                pointer="",
                code="too_many",
                message=f"has {len(tags)} entries, at most {MAX_TAGS} are allowed",
                limit=MAX_TAGS,
                size=len(tags),
            )
        )
    for key, value in tags.items():
        where = pointer(key)
        for one in check_text(key, MAX_TAG, required=True):
            told = one.model_copy(update={"message": f"the key: {one.message}"})
            found.append(told.below(where))
        found += [one.below(where) for one in check_text(value, MAX_TAG)]
    return found


def check_listing(limit: int, tags: Mapping[str, str] | None) -> None:
    """Returns where a page of executions can be asked for so.

    Raises:
        SpecError: The page is too long, empty, or the tags are none.
    """
    found = [one.below("/tags") for one in check_tags(tags or {})]
    if not 1 <= limit <= MAX_PAGE:
        message = f"a page holds 1 to {MAX_PAGE} executions, not {limit}"
        found.append(
            Violation(pointer="/limit", code="range", message=message, limit=MAX_PAGE, size=limit)
        )
    if found:
        raise SpecError("an unusable value", found)


def too_large(found: int, most: int) -> Violation:
    """The violation of a limit in bytes."""
    message = f"has {found} bytes, at most {most} are allowed"
    return Violation(pointer="", code="too_large", message=message, limit=most, size=found)


def json_type(value: Any) -> str:
    """What JSON calls the type of a value."""
    for kind, name in _JSON_TYPES:
        if isinstance(value, kind):
            return name
    return type(value).__name__


#: A boolean is an int to Python, so it comes first.
_JSON_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    ((int, float), "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
    (type(None), "null"),
)

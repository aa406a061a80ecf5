r"""The one gate through which JSON comes in, whatever the entrance.

Python's own parser takes much that the rest of the road cannot carry: a duplicate key hides a
value from whoever read the other one, ``NaN`` is no JSON, ``\u0000`` and lone surrogates cannot be
stored in Postgres, ``1e131071`` becomes a hundred kilobytes there, and a deeply nested text ends in
``RecursionError``. All of that is refused here, once, so that nothing behind the gate has to ask.
Whole numbers keep their exact value (2^53+1 included).

``loads`` reads text; ``check`` holds the same rules for values that are parsed already. Neither
raises anything but ``JsonGateError``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from definitions.problems import pointer

if TYPE_CHECKING:
    from definitions.jsontypes import Json
    from definitions.problem_codes import Code

#: How deep objects and lists may stand inside one another.
MAX_DEPTH = 64
#: How many values a text may hold, objects and lists among them.
MAX_NODES = 100_000
#: The decimal exponent that a number may have, up or down: that of a double.
MAX_EXPONENT = 308
#: The longest text that is read unless a caller says otherwise: the largest value a step may have.
MAX_BYTES = 16 * 1024 * 1024

_LARGEST_WHOLE = 10 ** (MAX_EXPONENT + 1)
_SMALLEST_FRACTION = 10.0**-MAX_EXPONENT
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXPONENT = re.compile(r"[eE]([+-]?\d+)$")
# A string (one without an end takes the rest, which keeps the scan linear), or one character that
# tells something about size: those that open and close, and the commas.
_SHAPE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


class JsonGateError(ValueError):
    """A text or a value that is refused.

    ``code`` is one of ``definitions.problem_codes``, ``pointer`` the JSON Pointer of the place (the
    empty string where the text could not be read as far as that), ``message`` one sentence.
    """

    def __init__(self, code: Code, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.code: Code = code
        self.message = message
        self.pointer = where


class _Flaw:
    """Stands in a parsed text for a number that is refused, until the walk knows its place."""

    def __init__(self, code: Code, message: str) -> None:
        self.code: Code = code
        self.message = message


class _Object(dict[str, Any]):
    """An object with a key that is there twice."""

    repeated: str


def loads(text: str | bytes, *, max_bytes: int = MAX_BYTES) -> Json:
    """The value of a JSON text.

    Args:
        text: One JSON value; bytes are UTF-8.
        max_bytes: The longest text (in bytes of UTF-8) that is read.

    Raises:
        JsonGateError: It is no JSON, or JSON that is refused.
    """
    source = _decode(text, max_bytes)
    _scan(source)
    try:
        value = json.loads(
            source,
            object_pairs_hook=_object,
            parse_float=_fraction,
            parse_int=_whole,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if error.msg.startswith("Extra data"):
            raise JsonGateError(
                "trailing_data", f"there is more text after the JSON value, at {where}"
            ) from None
        raise JsonGateError(
            "invalid_json", f"the text is not JSON: {_lower(error.msg)} at {where}"
        ) from None
    except RecursionError:
        # Only where the caller itself stands near the end of the stack.
        _refuse_depth("")
    check(value)
    return value


def check(value: Json) -> None:
    """Holds the gate's rules for a value that is parsed already.

    Raises:
        JsonGateError: It breaks one, or is of a type that JSON does not have. The first in the
            order of the document.
    """
    count = 0
    # The walk keeps its own stack: an iterator over the members of each container that is open.
    path: list[str | int] = []
    stack = [iter([("", value)])]
    while stack:
        for key, item in stack[-1]:
            count += 1
            if count > MAX_NODES:
                _refuse_nodes()
            here = path if len(stack) == 1 else [*path, key]
            if not isinstance(item, dict | list):
                _check_scalar(item, here)
                continue
            if len(stack) > MAX_DEPTH:
                _refuse_depth(pointer(*here))
            path = here
            stack.append(_members(item, here))
            break
        else:
            stack.pop()
            path = path[:-1]


def _members(container: dict[Any, Any] | list[Any], where: list[str | int]) -> Any:
    if isinstance(container, list):
        return iter(enumerate(container))
    if isinstance(container, _Object):
        _check_text(container.repeated, where)
        raise JsonGateError(
            "duplicate_key",
            f"the key {container.repeated!r} stands in the same object more than once",
            pointer(*where, container.repeated),
        )
    for key in container:
        if not isinstance(key, str):
            raise JsonGateError(
                "not_json",
                f"an object has a key of type {type(key).__name__}, which is not text",
                pointer(*where),
            )
        _check_text(key, where)
    return iter(container.items())


def _check_scalar(value: Any, where: list[str | int]) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, int):
        if not -_LARGEST_WHOLE < value < _LARGEST_WHOLE:
            raise JsonGateError("number_out_of_range", _out_of_range(), pointer(*where))
    elif isinstance(value, float):
        if value - value != 0:
            raise JsonGateError(
                "not_a_number", "NaN and infinities are not JSON numbers", pointer(*where)
            )
        if 0 < abs(value) < _SMALLEST_FRACTION:
            raise JsonGateError("number_out_of_range", _out_of_range(), pointer(*where))
    elif isinstance(value, _Flaw):
        raise JsonGateError(value.code, value.message, pointer(*where))
    else:
        raise JsonGateError(
            "not_json", f"a value of type {type(value).__name__} is not JSON", pointer(*where)
        )


def _check_text(text: str, where: list[str | int]) -> None:
    if "\0" in text:
        raise JsonGateError(
            "null_character", "a text has the character \\u0000, which is refused", pointer(*where)
        )
    if not text.isascii() and _SURROGATE.search(text):
        # A key with one would make a pointer that cannot be written down.
        raise JsonGateError(
            "lone_surrogate", "a text has half of a surrogate pair", pointer(*where)
        )


def _decode(text: str | bytes, max_bytes: int) -> str:
    if isinstance(text, str):
        size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    else:
        size = len(text)
    if size > max_bytes:
        raise JsonGateError(
            "text_too_long", f"the text has {size} bytes, at most {max_bytes} are allowed"
        )
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonGateError(
            "invalid_utf8", f"the text is not UTF-8: byte {error.start + 1} is wrong"
        ) from None


def _scan(text: str) -> None:
    """Refuses what must not reach the parser: too deep, or too many values to hold."""
    depth = commas = 0
    for match in _SHAPE.finditer(text):
        character = match[0]
        if character == ",":
            commas += 1
            if commas >= MAX_NODES:
                _refuse_nodes()
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                _refuse_depth("")
        elif character in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    flawed = _Object(found)
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            flawed.repeated = key
            break
        seen.add(key)
    return flawed


def _whole(literal: str) -> int | _Flaw:
    # Python itself refuses more than 4,300 digits, with another exception.
    if len(literal.lstrip("-")) > MAX_EXPONENT + 1:
        return _Flaw("number_out_of_range", _out_of_range())
    return int(literal)


def _fraction(literal: str) -> float | _Flaw:
    exponent = _EXPONENT.search(literal)
    if exponent is not None:
        digits = exponent[1].lstrip("+-").lstrip("0")
        if len(digits) > len(str(MAX_EXPONENT)) or int(digits or "0") > MAX_EXPONENT:
            return _Flaw("number_out_of_range", _out_of_range())
    value = float(literal)
    mantissa = literal[: exponent.start()] if exponent else literal
    vanished = value == 0 and mantissa.strip("-0.") != ""
    if vanished or value - value != 0 or 0 < abs(value) < _SMALLEST_FRACTION:
        return _Flaw("number_out_of_range", _out_of_range())
    return value


def _constant(literal: str) -> _Flaw:
    return _Flaw("not_a_number", f"{literal} is not a JSON number")


def _out_of_range() -> str:
    return f"the number's exponent is beyond ±{MAX_EXPONENT}"


def _refuse_depth(where: str) -> NoReturn:
    raise JsonGateError(
        "too_deep", f"objects and lists stand more than {MAX_DEPTH} deep inside one another", where
    )


def _refuse_nodes() -> NoReturn:
    raise JsonGateError("too_many_values", f"there are more than {MAX_NODES} values")


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]

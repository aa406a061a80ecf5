"""How the provider types' fields are read, checked and written: the ground under ``types``.

A type reads JSON as Go's ``encoding/json`` would read it into the struct of the same name, and
writes it as that would be written: the members in the order of the struct, and a member that is
marked ``omitempty`` left out where Go leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
)

from definitions.jsongate import JsonGateError, loads
from definitions.problems import pointer
from definitions.providers import limits
from definitions.providers.durations import GoDuration, GoDurationError
from definitions.providers.errors import SpecError, Violation

T = TypeVar("T")

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


class ProviderModel(BaseModel):
    """Base of the types: frozen, snake_case JSON, every violation in one ``SpecError``.

    Args:
        data: The fields.

    Raises:
        SpecError: A value breaks a rule; all such are named.
    """

    model_config = ConfigDict(
        extra="ignore", strict=True, frozen=True, arbitrary_types_allowed=True
    )

    #: The members that are left out where they are empty, as Go's ``omitempty`` says.
    omitempty: ClassVar[frozenset[str]] = frozenset()
    #: Those of them that are free JSON: left out where they were not given, whatever they hold.
    free: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise spec_error(type(self).__name__, error) from None

    @classmethod
    def parse(cls, given: str | bytes | dict[str, Any]) -> Self:
        """Reads JSON, as text or as the values in it.

        Raises:
            SpecError: It is no such object; every rule that it breaks is named.
        """
        value: Any = given
        if not isinstance(given, dict):
            try:
                value = loads(given)
            except JsonGateError as error:
                found = Violation(pointer=error.pointer, code=error.code, message=error.message)
                raise SpecError(f"an unusable {cls.__name__}", [found]) from None
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise spec_error(cls.__name__, error) from None

    def to_json(self) -> dict[str, Any]:
        """The value as JSON values, its members in their fixed order."""
        written: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name not in self.omitempty or not self._is_empty(name, value):
                written[name] = _to_json(value)
        return written

    def _is_empty(self, name: str, value: Any) -> bool:
        if name in self.free:
            # JSON's null is a value, too.
            return value is None and name not in self.model_fields_set
        if isinstance(value, GoDuration):
            return value.nanoseconds == 0
        return value is None or (isinstance(value, str | list | dict) and not value)


def _to_json(value: Any) -> Any:
    if isinstance(value, ProviderModel):
        return value.to_json()
    if isinstance(value, GoDuration):
        return value.text
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    # An enum's member is a str; what is written is the plain one.
    return str(value) if isinstance(value, str) else value


def spec_error(name: str, error: ValidationError) -> SpecError:
    """The one error for everything that a validation found."""
    found: list[Violation] = []
    for one in error.errors(include_url=False):
        where = pointer(*(part for part in one["loc"] if part != "[key]"))
        inner = one.get("ctx", {}).get("error")
        if isinstance(inner, SpecError):
            found += [violation.below(where) for violation in inner.violations]
        elif one["type"] == "missing":
            found.append(Violation(pointer=where, code="required", message="is missing"))
        elif one["type"] == "extra_forbidden":
            found.append(Violation(pointer=where, code="unknown", message="there is no such field"))
        else:
            size = limits.json_type(one["input"])
            found.append(Violation(pointer=where, code="type", message=one["msg"], size=size))
    return SpecError(f"an unusable {name}", found)


def holding(rule: Callable[[Any], list[Violation]]) -> AfterValidator:
    """A validator that refuses a value in which a rule finds anything."""

    def validate(value: T) -> T:
        if found := rule(value):
            raise SpecError("an unusable value", found)
        return value

    return AfterValidator(validate)


def _refuse(code: str, message: str, **more: Any) -> SpecError:
    return SpecError(
        "an unusable value", [Violation(pointer="", code=code, message=message, **more)]
    )


def _read_duration(value: object) -> GoDuration:
    try:
        if isinstance(value, str):
            return GoDuration.parse(value)
        if isinstance(value, GoDuration):
            return value
        if isinstance(value, timedelta):
            return GoDuration.of(value)
    except GoDurationError as error:
        raise _refuse("duration", str(error)) from None
    message = "a duration is a text such as 30s, 5m or 1h15m30.5s"
    raise _refuse("type", message, size=limits.json_type(value))


def _read_time(value: object) -> datetime:
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            raise _refuse("time", f"{value!r:.80} is no moment of the calendar") from None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    raise _refuse("time", f"{value!r:.80} is not a time such as 2026-01-30T10:00:00Z")


def format_time(value: datetime) -> str:
    """A time as Go's RFC 3339 in nanoseconds: UTC, ``Z``, no zeros at the end of a fraction."""
    utc = value.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds").rstrip("0").rstrip(".") + "Z"


Duration = Annotated[GoDuration, BeforeValidator(_read_duration), PlainSerializer(str)]
Time = Annotated[datetime, BeforeValidator(_read_time), PlainSerializer(format_time)]
Tags = Annotated[dict[str, str], holding(limits.check_tags)]
WorkflowId = Annotated[
    str,
    holding(
        lambda text: limits.check_pattern(text, limits.WORKFLOW_ID_PATTERN, limits.MAX_WORKFLOW_ID)
    ),
]

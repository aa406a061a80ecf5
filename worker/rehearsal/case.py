"""The case file: what a rehearsal is given, and what it must come to.

A file holds one case or a list of them. Every problem of a file is reported at once, and a
definition may stand in the case or in a file of its own, named relative to the case file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from definitions.document import Duration
from definitions.errors import InvalidDocumentError
from definitions.jsongate import JsonGateError, loads
from definitions.problems import Problem, pointer
from definitions.statuses import InstanceStatus
from definitions.validation.api import validate
from worker.rehearsal.triggered import UntriggeredError, input_of_event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_Name = Annotated[str, Field(min_length=1, max_length=255)]


class _Part(BaseModel):
    """Base of every object of a case: camelCase names, strict types, no unknown fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    def gave(self, field: str) -> bool:
        """Whether the case has this field (``null`` counts; Python's name of it)."""
        return field in self.model_fields_set


class Throw(_Part):
    """An error that a task fails with. ``retryable`` false: the task says it cannot get better."""

    error_type: _Name = "TaskError"
    error_code: str | None = None
    message: str = ""
    details: JsonValue = None
    retryable: bool = True


class Answer(_Part):
    """What a mocked task does in one attempt: exactly one of the four, ``after`` some time.

    ``expect_input`` is compared with the input of that attempt.
    """

    returns: JsonValue = Field(default=None, alias="return")
    throw: Throw | None = None
    hang: Literal[True] | None = None
    echo: Literal[True] | None = None
    after: Duration | None = None
    expect_input: JsonValue = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Answer:
        given = [name for name in ("returns", "throw", "hang", "echo") if self.gave(name)]
        if len(given) != 1:
            raise PydanticCustomError(
                "one_answer", "an answer is one of return, throw, hang and echo", {}
            )
        if self.hang and self.after is not None:
            raise PydanticCustomError("hang_after", "what hangs has no after", {})
        return self


class Decide(_Part):
    """A person's decision on an approval."""

    step_id: _Name
    decision: Literal["approved", "rejected"] = "approved"
    approver: _Name
    comment: str | None = None
    payload: JsonValue = None


class Operate(_Part):
    """An operator's action on the whole run: who, and why; ``{}`` where neither matters."""

    actor: _Name | None = None
    reason: str | None = None


class Skip(Operate):
    """An operator's action on one step, by its id or its path."""

    step_id: _Name


class Event(_Part):
    """An event that the run is sent."""

    name: _Name
    data: JsonValue = Field(default_factory=dict)
    id: _Name | None = None


#: The field of an action that says what is done: each thing that the outside can do to a run.
ACTIONS = ("approve", "reject", "pause", "resume", "skip", "cancel", "event")


class Action(_Part):
    """Something from outside, at a time counted from the start of the run.

    ``refused``: the run must say no to it.
    """

    at: Duration
    approve: Decide | None = None
    reject: Decide | None = None
    pause: Operate | None = None
    resume: Operate | None = None
    skip: Skip | None = None
    cancel: Operate | None = None
    event: Event | None = None
    refused: bool = False

    @model_validator(mode="after")
    def _is_one_action(self) -> Action:
        if len([name for name in ACTIONS if self.gave(name)]) != 1:
            raise PydanticCustomError(
                "one_action", "an action is one of {names}", {"names": ", ".join(ACTIONS)}
            )
        return self

    @property
    def kind(self) -> str:
        """Which of ``ACTIONS`` it is."""
        return next(name for name in ACTIONS if self.gave(name))

    def decision(self) -> dict[str, Any] | None:
        """The decision on an approval as a run takes it, if this is one."""
        decide = self.approve or self.reject
        if decide is None:
            return None
        given = decide.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if self.reject is not None:
            given["decision"] = "rejected"
        return {"decision": "approved", **given}

    def argument(self) -> dict[str, Any]:
        """What the run is told: the argument of the update, or of the signal."""
        decision = self.decision()
        if decision is not None:
            return decision
        given: BaseModel = getattr(self, self.kind)
        return given.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Expect(_Part):
    """What must have come of the run. Whatever is left out is not looked at.

    An entry of ``path`` is a step's id, or ``{"fork": {branchId: path}}`` after the id of the step
    that forked.
    """

    status: InstanceStatus | None = Field(default=None, strict=False)
    output: JsonValue = None
    path: list[JsonValue] | None = None
    elapsed: Duration | None = None
    attempts: dict[str, int] | None = None
    error: dict[str, JsonValue] | None = None
    compensated: list[str] | None = None
    data: dict[str, JsonValue] | None = None

    @field_validator("path")
    @classmethod
    def _path_has_its_shape(cls, value: list[JsonValue] | None) -> list[JsonValue] | None:
        if value is not None and not _is_path(value):
            raise PydanticCustomError(
                "path", 'a path lists step ids, and {{"fork": {{branchId: path}}}} after one', {}
            )
        return value


def _is_path(entries: Iterable[Any]) -> bool:
    before: Any = None
    for entry in entries:
        if isinstance(entry, dict):
            fork = entry.get("fork")
            if len(entry) != 1 or not isinstance(fork, dict) or not isinstance(before, str):
                return False
            if not all(isinstance(path, list) and _is_path(path) for path in fork.values()):
                return False
        elif not isinstance(entry, str):
            return False
        before = entry
    return True


class Case(_Part):
    """One rehearsal. ``tasks`` is keyed by task id, or for one step alone by its id, which wins.

    ``config`` is the configuration that the run is pinned to.
    With an ``event`` that starts the definition, ``input`` is what its trigger makes of it.
    """

    name: _Name
    definition: dict[str, JsonValue]
    input: dict[str, JsonValue] = Field(default_factory=dict)
    config: dict[str, JsonValue] = Field(default_factory=dict)
    event: dict[str, JsonValue] | None = None
    tasks: dict[str, Annotated[list[Answer], Field(min_length=1)]] = Field(default_factory=dict)
    actions: list[Action] = Field(default_factory=list)
    expect: Expect = Field(default_factory=Expect)


_CASE = TypeAdapter(Case)


def load_cases(file: Path) -> list[Case]:
    """The cases of a file, in its order.

    Raises:
        InvalidDocumentError: With every problem of the file; pointers lead into the file.
        OSError: The file cannot be read.
    """
    value = _read(file, "")
    many = isinstance(value, list)
    cases: list[Case] = []
    problems: list[Problem] = []
    for index, given in enumerate(value if many else [value]):
        where = pointer(index) if many else ""
        try:
            cases.append(parse_case(given, where=where, folder=file.parent))
        except InvalidDocumentError as error:
            problems += error.problems
    if problems:
        raise InvalidDocumentError(problems)
    return cases


def parse_case(value: Any, *, where: str = "", folder: Path | None = None) -> Case:
    """One case from its JSON value.

    Args:
        value: The parsed JSON.
        where: The JSON Pointer of the case in its file.
        folder: Where a definition that is given as a path is looked for; None: it must be inline.

    Raises:
        InvalidDocumentError: With every problem of the case.
    """
    if isinstance(value, dict) and isinstance(value.get("definition"), str) and folder is not None:
        definition = _read(folder / value["definition"], f"{where}/definition")
        value = {**value, "definition": definition}
    problems: list[Problem] = []
    if isinstance(value, dict) and isinstance(value.get("definition"), dict):
        found = validate(value["definition"]).problems
        problems = [
            one.model_copy(update={"pointer": f"{where}/definition{one.pointer}"})
            for one in found
            if one.severity == "error"
        ]
    try:
        case = _CASE.validate_python(value)
    except ValidationError as error:
        problems = [_problem(where, one) for one in error.errors()] + problems
    else:
        if not problems and case.event is not None:
            try:
                return case.model_copy(update={"input": input_of_event(case)})
            except UntriggeredError as error:
                problems = [
                    Problem(pointer=f"{where}/event", code="case_event", message=str(error))
                ]
        if not problems:
            return case
    raise InvalidDocumentError(problems)


def _read(file: Path, where: str) -> Any:
    try:
        return loads(file.read_bytes())
    except JsonGateError as error:
        message = f"{file.name}: {error.message}"
        raise InvalidDocumentError(
            [Problem(pointer=f"{where}{error.pointer}", code=error.code, message=message)]
        ) from None
    except OSError as error:
        if not where:
            raise
        message = f"the definition cannot be read: {error.strerror}"
        problem = Problem(pointer=where, code="unreadable_definition", message=message)
        raise InvalidDocumentError([problem]) from None


def _problem(where: str, error: Any) -> Problem:
    # A missing member is named by its parent, as in definitions.
    parts = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
    message = f"{error['loc'][-1]} is missing" if error["type"] == "missing" else error["msg"]
    return Problem(pointer=where + pointer(*parts), code=f"case_{error['type']}", message=message)

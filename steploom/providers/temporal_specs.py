"""What a ``WorkflowSpec`` means to the provider ``temporal``.

Its ``definition`` is a document of ours, which the interpreter runs, or
``{"workflowType", "taskQueue"}``: any other workflow type, served by a worker of somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from definitions.durations import DurationError, format_duration, parse_duration
from definitions.names import WORKFLOW_TYPE
from definitions.providers.errors import SpecError, Violation
from definitions.providers.limits import json_type
from steploom.providers.registry import TEMPORAL

if TYPE_CHECKING:
    from definitions.providers.types import WorkflowSpec

_FOREIGN = frozenset({"workflowType", "taskQueue"})
#: What ``workflow_definitions`` holds, in characters.
_MAX_NAME = 255
#: Temporal's limit for the names of types and queues.
_MAX_TEMPORAL_NAME = 1000


@dataclass(frozen=True, slots=True)
class ForeignType:
    """A workflow type that is not ours, and the queue on which it is served."""

    workflow_type: str
    task_queue: str


def check_spec(spec: WorkflowSpec) -> None:
    """Returns where this provider can take a spec, its definition aside.

    Raises:
        SpecError: It is for another provider, or has a configuration that there is none of.
    """
    found = []
    if spec.provider_type != TEMPORAL:
        message = f"{spec.provider_type!r} is not this provider, which is {TEMPORAL!r}"
        found.append(Violation(pointer="/provider_type", code="provider", message=message))
    if spec.provider_config not in (None, {}):
        message = "this provider has nothing to configure"
        found.append(Violation(pointer="/provider_config", code="unknown", message=message))
    if not isinstance(spec.definition, dict):
        found.append(
            Violation(
                pointer="/definition",
                code="type",
                message="must be a JSON object: a document, or workflowType and taskQueue",
                size=json_type(spec.definition),
            )
        )
    if found:
        raise SpecError("an unusable WorkflowSpec", found)


def foreign_type(spec: WorkflowSpec) -> ForeignType | None:
    """The workflow type that a (checked) spec names, or None where it has a document.

    Raises:
        SpecError: It names one wrongly.
    """
    given: Any = spec.definition
    if "workflowType" not in given:
        return None
    found = [
        Violation(pointer=f"/definition/{name}", code="unknown", message="there is no such field")
        for name in given
        if name not in _FOREIGN
    ]
    for name in sorted(_FOREIGN):
        value = given.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEMPORAL_NAME:
            message = f"must be a text of 1 to {_MAX_TEMPORAL_NAME} characters"
            found.append(Violation(pointer=f"/definition/{name}", code="type", message=message))
    if not found and given["workflowType"] == WORKFLOW_TYPE:
        message = f"{WORKFLOW_TYPE} is ours: give the document that it is to run"
        found.append(Violation(pointer="/definition/workflowType", code="value", message=message))
    if found:
        raise SpecError("an unusable WorkflowSpec", found)
    return ForeignType(given["workflowType"], given["taskQueue"])


def document_of(spec: WorkflowSpec) -> dict[str, Any]:
    """The document that is registered for a spec: its own, with what the spec says beside it.

    The timeout of a spec whose executions are tried again is that of all tries together, and does
    not concern the document.

    Raises:
        SpecError: The spec and its document say different things.
    """
    given: dict[str, Any] = dict(spec.definition)
    found = []
    if given.setdefault("workflowId", spec.workflow_id) != spec.workflow_id:
        found.append(
            Violation(
                pointer="/definition/workflowId",
                code="value",
                message=f"must be the spec's workflow_id, {spec.workflow_id!r}, or left out",
            )
        )
    given.setdefault("name", spec.name[:_MAX_NAME])
    if spec.description:
        given.setdefault("description", spec.description)
    if spec.timeout is not None and spec.timeout.nanoseconds and spec.attempts == 1:
        wanted = spec.timeout.to_timedelta()
        own = given.setdefault("timeout", format_duration(wanted))
        if _differs(own, wanted):
            message = f"is another one than the spec's timeout, {spec.timeout}: give one of them"
            found.append(Violation(pointer="/definition/timeout", code="value", message=message))
    if found:
        raise SpecError("an unusable WorkflowSpec", found)
    return given


def _differs(own: object, wanted: object) -> bool:
    try:
        return parse_duration(own) != wanted if isinstance(own, str) else False
    except DurationError:
        # The document's own validation says that better.
        return False

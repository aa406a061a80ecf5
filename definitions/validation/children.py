"""The definitions that a definition runs by ``core.workflow``: are they there, do they lead back?

Only what is spelled out is looked at. A ``workflowId`` or ``version`` that an expression gives is
known when the step runs; there a bound on how deep runs start runs ends every cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import semver

from definitions.tasks import CHILD_TASK
from definitions.validation.outline import object_of, outline_of, text_of
from definitions.validation.task_inputs import misfits
from definitions.versions import highest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from definitions.jsontypes import Json, JsonObject
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.outline import Outline

#: The document of a workflowId and a version; without a version, the highest.
Registered: TypeAlias = Callable[[str, str | None], "JsonObject | None"]


class ChildCall(NamedTuple):
    """A step, or a compensation, that runs a definition. ``where``: its input.

    ``version``: the one that it names; without one a run takes the highest that there is then.
    """

    where: Parts
    workflow_id: str
    version: str | None
    input: Json


def registered_among(documents: Iterable[JsonObject]) -> Registered:
    """As if just these documents were registered. One without a usable version is passed over."""
    known: dict[str, dict[str, JsonObject]] = {}
    for document in documents:
        workflow_id, version = _identity(document)
        if workflow_id and version and semver.Version.is_valid(version):
            known.setdefault(workflow_id, {})[version] = document

    def find(workflow_id: str, version: str | None) -> JsonObject | None:
        versions = known.get(workflow_id, {})
        return versions.get(version or highest(versions) or "")

    return find


def child_calls(outline: Outline) -> Iterator[ChildCall]:
    """Each of a document, in order, whose ``workflowId`` and ``version`` are no expressions."""
    for step in outline.steps:
        compensation = object_of(step.value, "compensation")
        for work, where in (
            (step.value, step.where),
            (compensation, (*step.where, "compensation")),
        ):
            given = object_of(work, "input")
            workflow_id, version = text_of(given, "workflowId"), given.get("version")
            if text_of(work, "taskId") != CHILD_TASK or not workflow_id or "${" in workflow_id:
                continue
            if version is None or (isinstance(version, str) and "${" not in version):
                yield ChildCall((*where, "input"), workflow_id, version, given.get("input"))


def check_own_cycle(outline: Outline, findings: Findings) -> None:
    """A definition does not run itself. Another version of it, that it names, is another one."""
    own_id = text_of(outline.document, "workflowId")
    own_version = text_of(outline.document, "version")
    for call in child_calls(outline):
        if call.workflow_id == own_id and call.version in {None, own_version}:
            findings.add(
                (*call.where, "workflowId"),
                "workflow_cycle",
                f"{own_id} would run itself, and that run the next one, without an end",
            )


def check_children(outline: Outline, findings: Findings, registered: Registered) -> None:
    """What a document runs is registered, takes the input, and does not run the document."""
    own_id = text_of(outline.document, "workflowId")
    own_version = text_of(outline.document, "version")
    for call in child_calls(outline):
        if call.workflow_id == own_id and call.version in {None, own_version}:
            continue
        child = registered(call.workflow_id, call.version)
        if child is None:
            version = f" in version {call.version}" if call.version is not None else ""
            findings.add(
                (*call.where, "workflowId"),
                "unregistered_workflow",
                f"the definition {call.workflow_id}{version} is not registered (yet)",
            )
            continue
        chain = _way_back(child, (own_id, own_version), registered)
        if chain:
            findings.add(
                (*call.where, "workflowId"),
                "workflow_cycle",
                f"{' runs '.join([str(own_id), *chain])}: such runs would start one another "
                "without an end",
            )
        _check_input(call, child, findings)


def _way_back(
    child: JsonObject, wanted: tuple[str | None, str | None], registered: Registered
) -> list[str]:
    """The ids from a child to the wanted definition, which one of them runs; none: no such way."""
    first = _identity(child)
    before: dict[tuple[str | None, str | None], tuple[str | None, str | None] | None]
    before, stack = {first: None}, [child]
    while stack:
        document = stack.pop()
        at = _identity(document)
        for call in child_calls(outline_of(document)):
            following = registered(call.workflow_id, call.version)
            if following is None:
                continue
            name = _identity(following)
            if name == wanted:
                chain: list[str] = [str(wanted[0])]
                step: tuple[str | None, str | None] | None = at
                while step is not None:
                    chain.append(str(step[0]))
                    step = before[step]
                return chain[::-1]
            if name not in before:
                before[name] = at
                stack.append(following)
    return []


def _identity(document: JsonObject) -> tuple[str | None, str | None]:
    return text_of(document, "workflowId"), text_of(document, "version")


def _check_input(call: ChildCall, child: JsonObject, findings: Findings) -> None:
    schema = child.get("inputSchema")
    if not isinstance(schema, dict):
        return
    given = {} if call.input is None else call.input
    # What is missing is told at the place where it would stand.
    where = call.where if call.input is None else (*call.where, "input")
    for place, message in misfits(given, schema):
        findings.add(
            (*where, *place),
            "child_input_does_not_fit",
            f"{call.workflow_id} does not take this input: {message}",
        )

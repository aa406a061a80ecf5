"""Validation's way in: a document in, all of its problems out.

Each rule is a function that walks the raw document and adds what it finds, so that one broken part
never hides another. A new rule is a function of that kind and a line in ``_rules``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from definitions.document import MAX_DOCUMENT_BYTES
from definitions.errors import InvalidDocumentError
from definitions.jsongate import JsonGateError, check, loads
from definitions.problems import Problem, has_errors
from definitions.schemas import InvalidSchemaError, compile_schema
from definitions.validation.children import check_children, check_own_cycle
from definitions.validation.choices import check_choices
from definitions.validation.events import check_triggers
from definitions.validation.expressions import check_expressions
from definitions.validation.failures import check_failures, check_timeouts
from definitions.validation.fields import (
    check_continuing,
    check_errors,
    check_fields,
    check_order,
)
from definitions.validation.findings import Findings
from definitions.validation.flow import (
    check_falling_into_handlers,
    check_loops,
    check_reachability,
    check_shadowed_handlers,
)
from definitions.validation.graph import Flow
from definitions.validation.outline import Outline, outline_of
from definitions.validation.paths import check_paths
from definitions.validation.rollbacks import check_compensations, check_rollback
from definitions.validation.shapes import Scope
from definitions.validation.structure import check_structure
from definitions.validation.targets import check_ids, check_targets
from definitions.validation.task_inputs import check_task_inputs
from definitions.validation.tasks import check_tasks
from definitions.validation.types import check_types

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from definitions.document import Definition
    from definitions.jsontypes import Json
    from definitions.tasks import TaskSpec
    from definitions.validation.children import Registered

#: The longest text that is read. The limit of a document itself is that of its compact form, so
#: that white space does not count; this leaves room for it.
MAX_TEXT_BYTES = 4 * MAX_DOCUMENT_BYTES


@dataclass(frozen=True, slots=True)
class Report:
    """What validation found.

    ``problems`` are in the order of the document, warnings among them. ``definition`` is there
    exactly when none of them is an error. ``document`` is the JSON value that was read.
    """

    problems: list[Problem]
    definition: Definition | None
    document: Json

    @property
    def ok(self) -> bool:
        """Whether the document can be registered."""
        return self.definition is not None


def validate(
    document: Json,
    *,
    catalogue: Mapping[str, TaskSpec] | None = None,
    registered: Registered | None = None,
) -> Report:
    """Every problem of a document that is parsed already.

    Args:
        document: Any value at all; it is not changed.
        catalogue: The tasks that are registered. Without it, other tasks than the built-in ones are
            warnings (``unregistered_task``).
        registered: The definitions that are registered, this one among them; without it nothing is
            said of those that ``core.workflow`` names.

    Returns:
        A report. Nothing is raised, however damaged the document is.
    """
    try:
        check(document)
    except JsonGateError as error:
        return _refused(error, None)
    findings = Findings(document)
    _check_size(document, findings)
    definition = check_structure(document, findings)
    outline = outline_of(document)
    for rule in _rules(outline, catalogue):
        rule(findings)
    if registered is not None:
        check_children(outline, findings, registered)
    problems = findings.sorted()
    return Report(problems, None if has_errors(problems) else definition, document)


def validate_text(text: str | bytes, *, catalogue: Mapping[str, TaskSpec] | None = None) -> Report:
    """As ``validate``, of a JSON text. What the JSON gate refuses is the report's one problem."""
    try:
        document = loads(text, max_bytes=MAX_TEXT_BYTES)
    except JsonGateError as error:
        return _refused(error, None)
    return validate(document, catalogue=catalogue)


def parse_definition(document: Json, catalogue: Mapping[str, TaskSpec] | None = None) -> Definition:
    """The definition of a valid document.

    Raises:
        InvalidDocumentError: It has errors; ``problems`` holds all of them, and the warnings.
    """
    report = validate(document, catalogue=catalogue)
    if report.definition is None:
        raise InvalidDocumentError(report.problems)
    return report.definition


def _refused(error: JsonGateError, document: Json) -> Report:
    problem = Problem(pointer=error.pointer, code=error.code, message=error.message)
    return Report([problem], None, document)


def _rules(
    outline: Outline, catalogue: Mapping[str, TaskSpec] | None
) -> tuple[Callable[[Findings], None], ...]:
    flow = Flow(outline)
    scope = Scope(flow, catalogue)
    return (
        partial(check_ids, outline),
        partial(check_targets, outline),
        partial(check_paths, outline),
        partial(check_failures, outline),
        partial(check_timeouts, outline),
        partial(check_tasks, outline, catalogue=catalogue),
        partial(check_task_inputs, outline, catalogue=catalogue),
        partial(check_expressions, outline),
        partial(_check_input_schema, outline),
        partial(check_triggers, outline),
        partial(check_own_cycle, outline),
        partial(check_compensations, outline),
        partial(check_rollback, outline),
        partial(check_reachability, flow),
        partial(check_loops, flow, scope),
        partial(check_falling_into_handlers, flow),
        partial(check_shadowed_handlers, flow),
        partial(check_choices, flow, scope),
        partial(check_fields, flow, scope),
        partial(check_order, flow),
        partial(check_errors, flow),
        partial(check_continuing, flow),
        partial(check_types, flow, scope),
    )


def _check_size(document: Json, findings: Findings) -> None:
    compact = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    size = len(compact.encode())
    if size > MAX_DOCUMENT_BYTES:
        findings.add(
            (),
            "document_too_large",
            f"the document has {size} bytes as compact JSON, at most {MAX_DOCUMENT_BYTES} "
            "are allowed",
        )


def _check_input_schema(outline: Outline, findings: Findings) -> None:
    schema = outline.document.get("inputSchema")
    if not isinstance(schema, dict):
        return
    try:
        compile_schema(schema)
    except InvalidSchemaError as error:
        for problem in error.problems:
            findings.add(("inputSchema", *problem.where), problem.code, problem.message)

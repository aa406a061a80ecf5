"""What can be known of a built-in task's input before it runs: the members that are literals.

A member that holds an expression is passed over, and so is an input that is one expression as a
whole, or that is left out (it is ``data`` then).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import semver

from definitions.document import WORKFLOW_ID_PATTERN
from definitions.durations import DurationError, parse_duration
from definitions.schemas import InvalidSchemaError, compile_schema
from definitions.templates import TemplateError, parse_mapping, split_template

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject
    from definitions.problem_codes import Code
    from definitions.validation.findings import Findings, Parts

#: A sentence's second half where the value is wrong ("must be …"), else None.
Check: TypeAlias = Callable[[Any], str | None]
_METHOD = re.compile(r"[A-Za-z]{1,20}")
_WORKFLOW_ID = re.compile(WORKFLOW_ID_PATTERN)
_LONGEST_URL = 8192
_LONGEST_NAME = 255
_LONGEST_VERSION = 50


def check_builtin_input(task_id: str, value: Json, where: Parts, findings: Findings) -> None:
    """Reports what is wrong with the literals in the input of a built-in task."""
    task = _TASKS.get(task_id)
    if task is None:
        return
    if not isinstance(value, dict):
        if not _open(value):
            findings.add(where, "invalid_task_input", f"the input of {task_id} must be an object")
        return
    for key, member in value.items():
        here = (*where, key)
        if task.members is None:
            _check_variable(key, where, findings)
        elif key not in task.members:
            code: Code = "invalid_task_input" if task.closed else "unknown_task_input"
            hint = findings.meant(key, task.members)
            findings.add(here, code, f"{task_id} does not know {key!r:.80}{hint}")
        elif not _open(member) and not (member is None and key in task.nullable):
            _check_member(key, _plain(member), task.members[key], here, findings)
    if task.whole is not None:
        task.whole(value, where, findings)


def _check_member(key: str, value: Json, rule: Check, where: Parts, findings: Findings) -> None:
    if rule is _json_schema and isinstance(value, dict):
        try:
            compile_schema(value)
        except InvalidSchemaError as error:
            for problem in error.problems:
                findings.add((*where, *problem.where), problem.code, problem.message)
    elif (wrong := rule(value)) is not None:
        findings.add(where, "invalid_task_input", f"{key} {wrong}")


def _check_variable(key: str, where: Parts, findings: Findings) -> None:
    if not key:
        findings.add((*where, ""), "empty", "a variable needs a name")


def _open(value: Json) -> bool:
    """Whether the value is known only when the step runs (a broken one is reported elsewhere)."""
    if isinstance(value, str):
        try:
            return not parse_mapping(value, frozenset()).constant
        except TemplateError:
            return True
    if isinstance(value, list):
        return any(_open(item) for item in value)
    if isinstance(value, dict):
        return any(_open(item) for item in value.values())
    return False


def _plain(value: Json) -> Json:
    """A literal with ``$${`` as the ``${`` that it stands for."""
    return parse_mapping(value, frozenset()).evaluate({})


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be text"


def _text_or_number(value: Any) -> str | None:
    good = isinstance(value, str | int | float) and not isinstance(value, bool)
    return None if good else "must be text or a number"


def _name(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be text, and not empty"


def _short_name(value: Any) -> str | None:
    good = isinstance(value, str) and 1 <= len(value) <= _LONGEST_NAME
    return None if good else f"must be text of 1 to {_LONGEST_NAME} characters"


def _workflow_id(value: Any) -> str | None:
    good = isinstance(value, str) and _WORKFLOW_ID.fullmatch(value)
    return None if good else f"must match {WORKFLOW_ID_PATTERN}"


def _version(value: Any) -> str | None:
    good = isinstance(value, str) and len(value) <= _LONGEST_VERSION
    return (
        None
        if good and semver.Version.is_valid(value)
        else "must be a semantic version such as 1.0.0"
    )


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "must be an object"


def _json_schema(value: Any) -> str | None:
    """The value is a JSON Schema. Its problems have places of their own."""
    return _object(value)


def _anything(value: Any) -> str | None:
    return None


def _texts(value: Any) -> str | None:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return None
    return "must be a list of texts"


def _count(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return None if good else "must be a whole number of at least 1"


def _decision(value: Any) -> str | None:
    return None if value in ("fail", "continue") else "must be 'fail' or 'continue'"


def _duration(value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be an ISO 8601 duration such as PT5M"
    try:
        parse_duration(value)
    except DurationError as error:
        return f"is wrong: {error}"
    return None


def _instant(value: Any) -> str | None:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return "must be an ISO 8601 time such as 2030-01-31T09:00:00Z"
    return None


def _url(value: Any) -> str | None:
    if not isinstance(value, str) or not value.lower().startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    return None if len(value) <= _LONGEST_URL else f"has more than {_LONGEST_URL} characters"


def _method(value: Any) -> str | None:
    good = isinstance(value, str) and _METHOD.fullmatch(value)
    return None if good else "must be an HTTP method such as GET or POST"


def _headers(value: Any) -> str | None:
    good = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    return None if good else "must be an object of texts"


def _query(value: Any) -> str | None:
    good = isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values())
    return None if good else "must be an object of texts and numbers"


def _status_codes(value: Any) -> str | None:
    codes = value if isinstance(value, list) else []
    if codes and all(type(code) is int and 100 <= code <= 599 for code in codes):  # noqa: PLR2004 (HTTP)
        return None
    return "must be a list of HTTP status codes"


def _one_moment(value: JsonObject, where: Parts, findings: Findings) -> None:
    given = [key for key in value if key in {"duration", "until"} and value[key] is not None]
    if not given:
        findings.add(where, "missing_task_input", "core.wait needs a duration or an until")
    elif len(given) > 1:
        findings.add(
            (*where, given[1]),
            "conflicting_task_input",
            "core.wait takes either a duration or an until, not both",
        )


def _needs(task: str, member: str) -> Callable[[JsonObject, Parts, Findings], None]:
    article = "an" if member[0] in "aeio" else "a"

    def check(value: JsonObject, where: Parts, findings: Findings) -> None:
        if value.get(member) is None:
            findings.add(where, "missing_task_input", f"{task} needs {article} {member}")

    return check


def _startable(value: JsonObject, where: Parts, findings: Findings) -> None:
    _needs("core.workflow", "workflowId")(value, where, findings)
    given = value.get("input")
    # A list, or text around expressions, is never an object, whatever they give.
    if _open(given) and not isinstance(given, dict) and not _is_one_expression(given):
        findings.add((*where, "input"), "invalid_task_input", "input must be an object")


def _is_one_expression(value: Json) -> bool:
    try:
        return isinstance(value, str) and len(split_template(value)) == 1
    except ValueError:  # Reported elsewhere.
        return True


def _enough_approvers(value: JsonObject, where: Parts, findings: Findings) -> None:
    approvers, required = value.get("approvers"), value.get("approvalsRequired")
    if not approvers or _texts(approvers) or _open(approvers) or _count(required):
        return
    if required is not None and required > len(set(approvers)):
        findings.add(
            (*where, "approvalsRequired"),
            "approvals_unreachable",
            f"{required} approvals are required of {len(set(approvers))} approvers",
        )


class _Task(NamedTuple):
    """``members``: rules by name, or None where every name is free.

    ``nullable``: where null is as good as leaving the member out. ``closed``: a member that the
    task does not know is an error; the others may have one, and pass over it.
    """

    members: Mapping[str, Check] | None
    whole: Callable[[JsonObject, Parts, Findings], None] | None = None
    nullable: frozenset[str] = frozenset()
    closed: bool = False


_TASKS: dict[str, _Task] = {
    "core.set": _Task(None),
    "core.fail": _Task(
        {
            "errorType": _name,
            "errorCode": _text_or_number,
            "message": _text,
            "details": _anything,
        },
        nullable=frozenset({"errorType", "errorCode", "message"}),
    ),
    "core.wait": _Task(
        {"duration": _duration, "until": _instant},
        _one_moment,
        nullable=frozenset({"duration", "until"}),
    ),
    "core.approval": _Task(
        {
            "title": _text,
            "description": _text,
            "approvers": _texts,
            "approvalsRequired": _count,
            "form": _json_schema,
            "onRejected": _decision,
        },
        _enough_approvers,
        nullable=frozenset({"title", "description", "approvers", "form"}),
    ),
    "core.http": _Task(
        {
            "method": _method,
            "url": _url,
            "headers": _headers,
            "query": _query,
            "body": _anything,
            "expect": _status_codes,
        },
        _needs("core.http", "url"),
        nullable=frozenset({"url", "expect"}),
        closed=True,
    ),
    "core.event": _Task(
        {"name": _short_name},
        _needs("core.event", "name"),
        nullable=frozenset({"name"}),
        closed=True,
    ),
    "core.publish": _Task(
        {"type": _short_name, "subject": _short_name, "data": _anything},
        _needs("core.publish", "type"),
        nullable=frozenset({"type", "subject"}),
        closed=True,
    ),
    "core.workflow": _Task(
        {"workflowId": _workflow_id, "version": _version, "input": _object},
        _startable,
        nullable=frozenset({"workflowId", "version", "input"}),
        closed=True,
    ),
}

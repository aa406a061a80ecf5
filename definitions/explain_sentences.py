"""What ``explain`` says of single facts of a run's record, each in one sentence for an auditor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.decided import decision_of
from definitions.statuses import InstanceStatus, StepStatus
from definitions.texts import moment, one_line, short, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from definitions.jsontypes import JsonObject
    from definitions.records import Decision, ErrorInfo, Evaluated, Vote
    from definitions.views import InstanceView, StepView

_VALUE = 60
_TEXT = 300
#: The reasons that need no data.
_PLAIN = {
    "sequence": "because it is the following step",
    "end": "because nothing comes after it",
    "skip": "because an operator skipped it",
}


def error_sentence(error: ErrorInfo | Mapping[str, Any]) -> str:
    """``GatewayError 502: bad gateway``."""
    facts = error if not hasattr(error, "to_json") else error.to_json()
    code = f" {facts['code']}" if facts.get("code") else ""
    message = f": {facts['message']}" if facts.get("message") else ""
    return one_line(f"{facts.get('type')}{code}{message}", _TEXT)


def condition_sentence(one: Evaluated) -> str:
    """``data.amount > 1000 was true (data.amount = 1500)``."""
    values = ", ".join(f"{name} = {short(value, _VALUE)}" for name, value in one.values.items())
    read = f" ({one_line(values, _TEXT)})" if values else ""
    text = one_line(one.expression, _TEXT)
    if one.error is not None:
        return f"{text} could not be evaluated: {one_line(one.error, _TEXT)}{read}"
    return f"{text} was {'true' if one.result else 'false'}{read}"


def decision_sentence(step: StepView) -> str | None:
    """Why the run went on from a step as it did; nothing where that is not on record."""
    decision = decision_of(step)
    if decision is None:
        return None
    asked = "; ".join(condition_sentence(one) for one in decision.evaluated)
    error = _failed(step)
    if decision.kind == "raise":
        more = f" ({asked})" if asked else ""
        return f"{step.path}: nothing in it handled {error}{more}, so {_raised_to(step.path)}"
    why = _why(decision, asked, error)
    return f"{step.path} → {decision.target or _end_of(step.path)} {why}"


def _why(decision: Decision, asked: str, error: str) -> str:
    match decision.kind:
        case "condition":
            return f"because {_transition(decision, asked)}"
        case "handler":
            return f"because its error handler matched {error}: {asked}"
        case "continue":
            more = f", and {asked}" if asked else ""
            return f"although it failed with {error}: its onFailure says continue{more}"
        case "skip":
            more = f", and {_transition(decision, asked)}" if asked else ""
            return f"{_PLAIN['skip']}{more}"
        case "global":
            more = f": {asked}" if asked else ""
            return f"because the document's own onFailure handled {error}{more}"
        case _:
            return _PLAIN[decision.kind]


def _transition(decision: Decision, asked: str) -> str:
    if not asked:
        return "the first entry of its next has no condition"
    if decision.evaluated[-1].result:
        return asked
    return f"{asked}; the next entry has no condition"


def _end_of(path: str) -> str:
    return "the end of its branch" if "/" in path else "the end of the run"


def _raised_to(path: str) -> str:
    outer = enclosing(path)
    return "the run failed" if outer is None else f"{outer} failed"


def enclosing(path: str) -> str | None:
    """The step or item in whose branch a step stands: of ``ship/each#3/label`` it is ``ship#3``."""
    parts = path.split("/")
    if len(parts) == 1:
        return None
    _, mark, index = parts[-2].partition("#")
    return f"{'/'.join(parts[:-2])}{mark}{index}"


def vote_sentence(vote: Vote) -> str:
    """Who decided what, when and why."""
    comment = f", saying “{one_line(vote.comment, _TEXT)}”" if vote.comment else ""
    payload = f", with {short(vote.payload, _VALUE)}" if vote.payload is not None else ""
    approver = one_line(vote.approver, _VALUE)
    return f"{vote.decision} by {approver} at {moment(vote.decided_at)}{comment}{payload}"


def waiting_sentence(step: StepView) -> str | None:
    """What a step waits for, or waited for and how long."""
    wanted = step.waiting_for
    if not wanted:
        return None
    waits = "waited" if step.status.ended else "waits"
    long = ""
    if step.status.ended and step.started_at is not None and step.completed_at is not None:
        long = f" {span(step.completed_at - step.started_at)}"
    return f"{waits}{long} {_wanted(wanted)}"


def _wanted(wanted: JsonObject) -> str:
    if "approvalsRequired" in wanted:
        count = wanted["approvalsRequired"]
        who = ", ".join(str(one) for one in wanted.get("approvers") or ()) or "anyone"
        title = f" of “{wanted['title']}”" if wanted.get("title") else ""
        many = "an approval" if count == 1 else f"{count} approvals"
        return one_line(f"for {many}{title} by {who}", _TEXT)
    if "event" in wanted:
        return f"for the event {one_line(str(wanted['event']), _TEXT)}"
    if "until" in wanted:
        return f"until {one_line(str(wanted['until']), _VALUE)}"
    return f"for {short(wanted, _TEXT)}"


def cancelled_sentence(
    step: StepView, instance: InstanceView, earlier: Sequence[StepView]
) -> str | None:
    """Why a step was stopped: a failure around it, the run's time, or the run itself."""
    if step.status is not StepStatus.CANCELLED:
        return None
    outer = enclosing(step.path)
    if "#" in step.path.rpartition("/")[2]:
        outer = step.path.rpartition("#")[0]
    while outer is not None:
        found = [one for one in earlier if one.path == outer]
        if found and found[-1].error is not None:
            return f"{step.path} was cancelled because {outer} failed with {_failed(found[-1])}"
        inner = outer.rpartition("/")[2]
        outer = outer.rpartition("#")[0] if "#" in inner else enclosing(outer)
    if (instance.error or {}).get("type") == "WorkflowTimeout":
        return f"{step.path} was cancelled because the run's time was up"
    if instance.status is InstanceStatus.CANCELLED:
        return f"{step.path} was cancelled with the run"
    return f"{step.path} was under way when the run ended"


def _failed(step: StepView) -> str:
    if step.error is None:
        return "an error"
    inner = step.error.step_id
    at = f" (from {inner})" if inner not in {None, step.step_id} else ""
    return f"{error_sentence(step.error)}{at}"

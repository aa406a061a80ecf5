"""An explanation as plain text, for an auditor and for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.durations import parse_duration
from definitions.explain_sentences import error_sentence
from definitions.statuses import StepStatus
from definitions.texts import moment, one_line, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.explain import AttemptStory, Explanation, RelatedRun, StepStory

_STATUSES = {StepStatus.TIMEOUT: "timed out", StepStatus.PENDING: "on record in part"}


def as_text(explanation: Explanation) -> str:
    """The whole story, a paragraph for each iteration of a step."""
    return "\n".join(_lines(explanation)) + "\n"


def _lines(told: Explanation) -> Iterator[str]:
    yield f"{one_line(told.execution_id)}  {told.workflow_id} {told.version}  {told.status}"
    given = f", given {told.given}" if told.given is not None else ""
    yield f"began at {moment(told.started_at)}{given}"
    if told.origin is not None:
        yield told.origin
    for step in told.steps:
        yield ""
        yield from _step(step, alone=told.step is not None)
    if told.actions and told.step is None:
        yield ""
        yield "from outside:"
        yield from (f"    {one}" for one in told.actions)
    yield ""
    yield told.ending
    if told.compensated:
        yield f"rolled back, in this order: {', '.join(told.compensated)}"
    if told.not_compensated:
        yield f"could not be rolled back: {', '.join(told.not_compensated)}"
    for run in told.reruns:
        yield f"run again as {_run(run)}"


def _step(step: StepStory, *, alone: bool) -> Iterator[str]:
    yield _title(step)
    for line in _facts(step, alone=alone):
        yield f"    {line}"


def _title(step: StepStory) -> str:
    again = f", iteration {step.iteration}" if step.iteration > 1 else ""
    about = [one_line(one) for one in (step.name, step.task_id) if one and one != step.step_id]
    more = f"  ({', '.join(about)})" if about else ""
    long = f" after {_span(step.took)}" if step.took is not None else ""
    undone = {None: "", True: "; rolled back later", False: "; its rollback failed"}
    status = _STATUSES.get(step.status, str(step.status))
    return f"{step.path}{again}{more}: {status}{long}{undone[step.compensated]}"


def _facts(step: StepStory, *, alone: bool) -> Iterator[str]:
    if step.reached is not None and (alone or step.kind == "compensation"):
        yield f"reached: {step.reached}"
    if step.given is not None:
        yield f"given: {step.given}"
    if len(step.attempts) > 1 or any(one.error is not None for one in step.attempts):
        yield from (_attempt(one) for one in step.attempts)
    elif step.tries > 1:
        yield f"tried {step.tries} times; the last error is the one on record"
    if step.waited is not None:
        yield step.waited
    yield from step.voted
    for run in step.children:
        yield f"ran {_run(run)}"
    if step.skipped is not None:
        yield step.skipped
    told = [error_sentence(one.error) for one in step.attempts if one.error is not None]
    if step.error is not None and error_sentence(step.error) not in told[-1:]:
        yield f"failed: {error_sentence(step.error)}"
    if step.result is not None and (alone or step.status is StepStatus.COMPLETED):
        yield f"result: {step.result}"
    if step.because is not None:
        yield step.because


def _run(run: RelatedRun) -> str:
    name = one_line(run.execution_id)
    about = f"{run.workflow_id} {run.version}, {run.status}"
    return f"{name} ({about}); `steploom explain {name}` tells of it"


def _attempt(one: AttemptStory) -> str:
    long = f" after {_span(one.took)}" if one.took is not None else ""
    error = f" with {error_sentence(one.error)}" if one.error is not None else ""
    following = f"; the next one began {_span(one.next_after)} later" if one.next_after else ""
    status = _STATUSES.get(one.status, str(one.status))
    return f"attempt {one.attempt} {status}{long}{error}{following}"


def _span(duration: str) -> str:
    return span(parse_duration(duration))

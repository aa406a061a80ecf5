"""The record of a rehearsed run as it would be read back, without a database.

Does to the records of a journal what the recorder's statements do: of two records of one thing the
later one wins, field by field where it has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.identity import instance_id, org_id, step_record_id
from definitions.records import (
    ActionRecord,
    CompensationRecord,
    InstanceRecord,
    PublishedRecord,
    StepRecord,
    TransitionRecord,
)
from definitions.views import ActionView, AttemptView, InstanceView, OutboxView, StepView
from steploom.operations.reading import WholeRecord
from worker.rehearsal.case import Case
from worker.rehearsal.host import START
from worker.rehearsal.run import rehearse

if TYPE_CHECKING:
    from worker.rehearsal.journal import Journal

_RUN = instance_id("rehearsal")


def run_case(case: dict[str, Any]) -> tuple[InstanceView, list[StepView]]:
    """Rehearses a case and reads its record back."""
    # Not ``parse_case``: what validation thinks of the definition is not the question here.
    parsed = Case.model_validate({"name": "recorded", **case})
    return views_of(rehearse(parsed).journal, parsed.definition, parsed.input)


def whole_record(case: dict[str, Any]) -> WholeRecord:
    """Rehearses a case; its record with what was done to it and what it publishes."""
    parsed = Case.model_validate({"name": "recorded", **case})
    journal = rehearse(parsed).journal
    instance, steps = views_of(journal, parsed.definition, parsed.input)
    return WholeRecord(
        instance=instance,
        steps=steps,
        actions=[
            ActionView.model_validate(dict(one))
            for one in journal.records
            if isinstance(one, ActionRecord)
        ],
        published=[
            OutboxView.model_validate(
                {
                    **dict(one),
                    "id": number,
                    "instance_id": instance.id,
                    "execution_id": instance.execution_id,
                }
            )
            for number, one in enumerate(journal.records)
            if isinstance(one, PublishedRecord)
        ],
    )


def views_of(
    journal: Journal, document: dict[str, Any], given: dict[str, Any]
) -> tuple[InstanceView, list[StepView]]:
    """The views of a journal's run."""
    steps: dict[tuple[str, int], dict[str, Any]] = {}
    first: dict[tuple[str, int], int] = {}
    step_records = [one for one in journal.records if isinstance(one, StepRecord)]
    begun = [one.step for one in journal.attempts]
    for record in sorted([*step_records, *begun], key=lambda one: one.seq):
        key = (record.path, record.iteration)
        first.setdefault(key, record.seq)
        known = steps.setdefault(key, {"id": step_record_id(_RUN, *key)})
        known |= {name: value for name, value in record if name != "kind" and value is not None}
    for other in journal.records:
        if isinstance(other, TransitionRecord):
            steps[other.path, other.iteration]["decision"] = other.decision
        elif isinstance(other, CompensationRecord):
            steps[other.path, other.iteration]["compensated"] = other.compensated
    for attempt in journal.attempts:
        known = steps[attempt.step.path, attempt.step.iteration]
        view = AttemptView.model_validate(dict(attempt))
        known.setdefault("attempt_records", []).append(view)
    flushed = [one for one in journal.records if isinstance(one, InstanceRecord)][-1]
    instance = InstanceView(
        id=_RUN,
        org_id=org_id("default"),
        execution_id="rehearsal",
        first_run_id="rehearsal",
        workflow_id=document["workflowId"],
        version=document["version"],
        input=given,
        started_at=START,
        **{name: value for name, value in flushed if name not in {"kind", "seq"}},
    )
    ordered = sorted(steps, key=lambda key: (first[key], *key))
    return instance, [StepView.model_validate(steps[key]) for key in ordered]

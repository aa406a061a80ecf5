"""What is handed on to the recorder: no fact of a run carries a secret, wherever it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from activities.filtering import FilteringRecorder
from definitions.records import (
    ActionRecord,
    AuditEvent,
    Decision,
    ErrorInfo,
    Evaluated,
    InstanceRecord,
    PublishedRecord,
    RecordBatch,
    StepRecord,
    TransitionRecord,
    Vote,
    WebhookRecord,
)
from definitions.redaction import REDACTED, Redactor
from definitions.statuses import InstanceStatus, StepStatus
from tests.integration.facts import at, attempt, facts, flush, run_ref, started, step

SECRET = "pl4nted-secret-value"
REF = run_ref()


class _Kept:
    """A recorder that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[RecordBatch] = []

    async def write(self, batch: RecordBatch) -> None:
        self.batches.append(batch)


async def filtered(batch: RecordBatch) -> RecordBatch:
    redactor = Redactor()
    redactor.learn([SECRET])
    kept = _Kept()
    await FilteringRecorder(kept, redactor).write(batch)
    [one] = kept.batches
    return one


VALUE: dict[str, Any] = {"a": [f"<{SECRET}>"], SECRET: 1}
ERROR = ErrorInfo(type=SECRET, code=SECRET, message=f"refused: {SECRET}", details=VALUE)
DECISION = Decision(
    kind="condition",
    evaluated=[Evaluated(expression="data.a", values={"data.a": SECRET}, error=f"no {SECRET}")],
)
VOTE = Vote(
    decision="approved", approver=SECRET, comment=f"it is {SECRET}", payload=VALUE, decided_at=at(1)
)
STEP: StepRecord = step(
    1,
    StepStatus.FAILED,
    input=VALUE,
    output=VALUE,
    error=ERROR,
    decision=DECISION,
    votes=[VOTE],
    waiting_for={"title": SECRET},
)
BATCHES: dict[str, RecordBatch] = {
    "step": facts(REF, STEP),
    "transition": facts(
        REF, TransitionRecord(seq=1, path="a", iteration=1, decision=DECISION)
    ),
    "instance": facts(
        REF,
        flush(
            2,
            InstanceStatus.FAILED,
            state={"steps": {}, "variables": VALUE},
            output=VALUE,
            error={"type": SECRET, "message": SECRET},
        ),
    ),
    "action": facts(
        REF,
        ActionRecord(
            seq=1, event_id=REF.instance_id, action="event", actor=SECRET, reason=SECRET,
            occurred_at=at(1), data=VALUE,
        ),
    ),
    "audit": facts(
        REF,
        AuditEvent(
            seq=1, event_id=REF.instance_id, event_type="workflow.failed", occurred_at=at(1),
            data={"data": {"workflow": {"approver": SECRET, "error_message": SECRET}}},
        ),
    ),
    "published": facts(
        REF,
        PublishedRecord(
            seq=1, event_id=REF.instance_id, event_type="t", path="a", iteration=1,
            occurred_at=at(1), envelope={"subject": SECRET, "data": VALUE},
        ),
    ),
    "webhook": facts(
        REF, WebhookRecord(seq=1, outcome="failed", occurred_at=at(1), data=VALUE)
    ),
    "attempt": attempt(REF, 1, StepStatus.FAILED, STEP, input=VALUE, output=VALUE, error=ERROR),
    "started": started(
        REF,
        input=VALUE,
        config_snapshot=VALUE,
        metadata=VALUE,
        tags={"team": SECRET, SECRET: "x"},
        correlation_id=f"c-{SECRET}",
        external_id=SECRET,
        user_id=SECRET,
        channel="web",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BATCHES)
async def test_no_fact_of_a_run_carries_a_secret(kind: str) -> None:
    """Neither in a value nor in any text of its own: a comment, an actor, a code, a tag."""
    before, after = BATCHES[kind], await filtered(BATCHES[kind])
    assert SECRET in json.dumps(before.to_json())
    written = json.dumps(after.to_json())
    assert SECRET not in written
    assert REDACTED in written


async def test_what_is_looked_up_again_stays() -> None:
    """A start is found by its idempotency key, which is therefore no place for a secret."""
    batch = await filtered(started(REF, idempotency_key=SECRET))
    assert batch.started is not None
    assert batch.started.idempotency_key == SECRET


async def test_tags_are_redacted_by_their_names_too() -> None:
    """As everything that is stored."""
    batch = await filtered(started(REF, tags={"apiKey": "k-1", "team": "blue"}))
    assert batch.started is not None
    assert batch.started.tags == {"apiKey": REDACTED, "team": "blue"}


async def test_what_has_no_secret_is_handed_on_as_it_is() -> None:
    """Nothing is lost on the way."""
    record = InstanceRecord(seq=1, status=InstanceStatus.RUNNING, state={}, updated_at=at(1))
    for batch in (facts(REF, record), started(REF, tags={"a": "b"}, user_id="ann")):
        assert await filtered(batch) == batch

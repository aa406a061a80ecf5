"""Telling whoever wants to know that a run has ended: a POST with what is on record of it.

Sent at least once, under the guard of ``core.http``. Its id is the same on every attempt, so that
the other side can tell a repetition. What the record does not show, a webhook does not, either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from activities.attempt import Failure, failure_of
from activities.http import HttpRequest
from activities.recording import write_record
from definitions.errors import TaskError
from definitions.identity import event_id
from definitions.records import ErrorInfo, RecordBatch, WebhookRecord
from definitions.statuses import moment

if TYPE_CHECKING:
    from activities.http import HttpSender
    from activities.secrets import Secrets
    from definitions.calls import WebhookCall
    from definitions.jsontypes import JsonObject
    from definitions.ports import Recorder, RunReader
    from definitions.redaction import Redactor
    from definitions.views import InstanceView

#: Seconds that the other side has for its answer.
ANSWER = 15.0


class Webhooks:
    """Calls webhooks.

    Args:
        reader: Where the run is read.
        recorder: Where it is written that the webhook was told.
        sender: Sends the requests.
        secrets: Those that a webhook's URL refers to.
        redactor: Takes them out of what went wrong.
    """

    def __init__(
        self,
        reader: RunReader,
        recorder: Recorder,
        sender: HttpSender,
        secrets: Secrets,
        redactor: Redactor,
    ) -> None:
        self._reader = reader
        self._recorder = recorder
        self._sender = sender
        self._secrets = secrets
        self._redactor = redactor

    async def deliver(self, call: WebhookCall, attempt: int) -> None:
        """Sends the request once; when it was taken, that is on record.

        Raises:
            Failure: It was not. Nothing of that is on record yet.
        """
        run = await self._reader.find_instance(call.ref.org_id, str(call.ref.instance_id))
        message = webhook_message(run, call)
        try:
            url = self._secrets.resolve(call.url, call.ref.org_id)
            request = HttpRequest(
                method="POST",
                url=url,
                headers={"Idempotency-Key": message["id"], "User-Agent": "steploom"},
                body=message,
            )
            # A redirect would turn the POST into a GET, and an answer to that means nothing.
            response = await self._sender.send(request, redirects=False, seconds=ANSWER)
        except (TaskError, ValidationError) as error:
            raise self._failure(error) from None
        told: JsonObject = {
            "host": urlsplit(call.url).hostname,
            "status": response.status,
            "attempts": attempt,
        }
        record = WebhookRecord(
            seq=call.seq, outcome="delivered", occurred_at=datetime.now(UTC), data=told
        )
        await write_record(self._recorder, RecordBatch(ref=call.ref, records=[record]))

    def _failure(self, error: TaskError | ValidationError) -> Failure:
        failure = failure_of(error)
        info = failure.info
        # Without the details: what the other side has answered is no business of the record's.
        kept = ErrorInfo(type=info.type, code=info.code, message=self._redactor.text(info.message))
        return Failure(kept, failure.retryable)


def webhook_message(run: InstanceView, call: WebhookCall) -> dict[str, Any]:
    """What a webhook is told of a run that has ended. ``id`` is the same on every attempt."""
    timed_out = (run.error or {}).get("type") == "WorkflowTimeout"
    message: dict[str, Any] = {
        "id": str(event_id(call.ref.org_id, call.ref.first_run_id, "webhook")),
        "type": f"workflow.{run.status}",
        "executionId": run.execution_id,
        "instanceId": str(run.id),
        "workflowId": run.workflow_id,
        "version": run.version,
        "org": call.org,
        "channel": run.channel,
        "status": str(run.status),
        "outcome": moment(run.status, timed_out=timed_out).audit_outcome,
        "correlationId": run.correlation_id,
        "externalId": run.external_id,
        "startedAt": _text(run.started_at),
        "endedAt": _text(run.completed_at),
    }
    if run.error is not None:
        message["error"] = run.error
    else:
        message["output"] = run.output
    return message


def _text(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""The records of a run's beginning: its row, that it started, and where it came from.

A run that is refused has its end in the same batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from definitions.audit import workflow_event
from definitions.identity import event_id, instance_id
from definitions.records import (
    ActionRecord,
    AuditEvent,
    InstanceRecord,
    RecordBatch,
    RunRef,
    RunStarted,
)
from definitions.references import find_references, read_reference
from definitions.start import request_hash
from definitions.statuses import InstanceStatus
from definitions.walk import asks_people

if TYPE_CHECKING:
    from uuid import UUID

    from activities.configuration import PinnedConfig
    from activities.reruns import Rerun
    from definitions.calls import ResolveRequest
    from definitions.document import Definition
    from definitions.ports import StoredVersion
    from definitions.records import ErrorInfo, Record
    from definitions.references import PayloadReference
    from definitions.start import StartRequest

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run that begins, with as much as is known of it.

    ``named``: the workflow that an unusable start object names, as far as one can tell.
    """

    request: ResolveRequest
    org_id: UUID
    start: StartRequest | None
    version: StoredVersion | None
    definition: Definition | None
    rerun: Rerun | None = None
    named: str = UNKNOWN
    pinned: PinnedConfig | None = None

    @property
    def ref(self) -> RunRef:
        """Which run it is."""
        definition, version = self.definition, self.version
        return RunRef(
            org_id=self.org_id,
            instance_id=instance_id(self.request.first_run_id),
            execution_id=self.request.execution_id,
            first_run_id=self.request.first_run_id,
            workflow_id=version.workflow_id if version is not None else self.named,
            version=version.version if version is not None else UNKNOWN,
            log_level=definition.execution_log.level if definition is not None else None,
        )

    def batch(self) -> RecordBatch:
        """The first records of a run that goes on."""
        records: list[Record] = [self._event("workflow.started", 0, phase="executing")]
        if self.rerun is not None:
            records.append(self._rerun_action(self.rerun))
        return RecordBatch(ref=self.ref, started=self._started(), records=records)

    def refused(self, error: ErrorInfo) -> RecordBatch:
        """The only records of a run that cannot go on."""
        at = self.request.started_at
        given = self.start.input if self.start is not None else {}
        ended = InstanceRecord(
            seq=1,
            status=InstanceStatus.FAILED,
            state={"input": given, "steps": {}, "variables": {}},
            error=error.to_json(),
            updated_at=at,
            completed_at=at,
        )
        events = [
            self._event(kind, seq, phase="failed", error=error)
            for seq, kind in enumerate(("workflow.completed", "workflow.failed"), ended.seq + 1)
        ]
        first = self._event("workflow.started", 0, phase="executing")
        return RecordBatch(ref=self.ref, started=self._started(), records=[first, ended, *events])

    def _started(self) -> RunStarted:
        start, version, request = self.start, self.version, self.request
        pinned = self.pinned
        channel = start.channel if start else None
        return RunStarted(
            ref=self.ref,
            definition_id=version.definition_id if version else None,
            version_id=version.version_id if version else None,
            content_hash=version.content_hash if version else None,
            input=start.input if start is not None else {},
            started_at=request.started_at,
            correlation_id=start.correlation_id if start else None,
            trigger_event_id=start.trigger_event_id if start else None,
            channel=channel or (pinned.channel if pinned else None),
            # Not absent: what is active would be taken then, as it stands.
            config_snapshot=pinned.config if pinned else {},
            external_id=start.external_id if start else None,
            user_id=start.user_id if start else None,
            idempotency_key=start.idempotency_key if start else None,
            request_hash=request_hash(request.start),
            metadata=self._metadata(),
            tags=start.tags if start else {},
            origin=self.rerun.origin if self.rerun is not None else request.origin,
            payloads=self._payloads(),
            interpreter_version=request.interpreter_version,
        )

    def _metadata(self) -> dict[str, Any]:
        """The start object's own metadata, and what ``executionLog.metadata`` names beside it.

        Looked up in the metadata, then in the input, then among the start object's own fields; what
        is in none of them is null.
        """
        start, definition = self.start, self.definition
        if start is None:
            return {}
        names = definition.execution_log.metadata if definition is not None else []
        known = {**start.model_dump(mode="json", by_alias=True), **start.input, **start.metadata}
        named = {name: known.get(name) for name in names}
        if start.causation_depth is not None:
            # The next run that this one's events start is one further.
            return {**named, **start.metadata, "causationDepth": start.causation_depth}
        return {**named, **start.metadata}

    def _payloads(self) -> list[PayloadReference] | None:
        """The big values that a rerun takes over, so that they outlive the earlier run."""
        if self.rerun is None:
            return None
        found = (read_reference(one) for _, one in find_references(self.rerun.reused.to_json()))
        return [one for one in dict.fromkeys(found) if one is not None] or None

    def _rerun_action(self, rerun: Rerun) -> ActionRecord:
        asked = rerun.start.rerun
        return ActionRecord(
            seq=0,
            event_id=event_id(self.org_id, self.request.first_run_id, "rerun"),
            action="rerun",
            actor=rerun.start.user_id,
            reason=asked.reason if asked is not None else None,
            path=rerun.reused.step_id,
            occurred_at=self.request.started_at,
            data={"executionId": rerun.origin.execution_id},
        )

    def _event(
        self, kind: str, seq: int, *, phase: str, error: ErrorInfo | None = None
    ) -> AuditEvent:
        definition, ref = self.definition, self.ref
        return AuditEvent(
            seq=seq,
            event_id=event_id(ref.org_id, ref.first_run_id, kind),
            event_type=kind,
            occurred_at=self.request.started_at,
            data=workflow_event(
                kind,
                timestamp=self.request.started_at,
                workflow_id=ref.workflow_id,
                execution_id=ref.execution_id,
                phase=phase,
                total_steps=len(definition.steps) if definition is not None else None,
                duration=timedelta(0) if phase == "failed" else None,
                outcome="failed" if error is not None else None,
                approval_required=asks_people(definition) if definition is not None else False,
                error_message=error.message if error is not None else None,
            ),
        )

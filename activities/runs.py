"""The two activities that every run has: pin it to its definition, and write what it has kept.

Both are safe to repeat: every id is deterministic, so a second time finds what the first wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from activities.recording import write_record
from definitions.audit import workflow_event
from definitions.calls import ResolvedRun, ResolveRequest
from definitions.document import Definition
from definitions.errors import InvalidDocumentError, NotFoundError
from definitions.identity import event_id, instance_id
from definitions.inputs import check_input
from definitions.outputs import json_size
from definitions.records import (
    AuditEvent,
    ErrorInfo,
    InstanceRecord,
    RecordBatch,
    RunRef,
    RunStarted,
)
from definitions.start import DEFAULT_ORG, MAX_RUN_VALUE_BYTES, StartRequest, request_hash
from definitions.statuses import InstanceStatus
from definitions.validation.api import parse_definition
from definitions.walk import asks_people, task_ids

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from activities.registry import TaskRegistry
    from definitions.ports import DefinitionStore, Organization, Recorder, StoredVersion
    from definitions.tasks import TaskSpec

_UNKNOWN = "unknown"
#: Versions of which is remembered that their tasks are described.
_MAX_DESCRIBED = 10_000


class _StartRefusedError(Exception):
    """Why a run ends before its first step."""

    def __init__(self, kind: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.info = ErrorInfo(type=kind, message=message, details=details)


class RunActivities:
    """What they need. ``search_attributes``: whether Temporal knows ours."""

    def __init__(
        self,
        store: DefinitionStore,
        recorder: Recorder,
        registry: TaskRegistry,
        *,
        search_attributes: bool,
        liveness_timeout: float,
        history_limit: int,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._registry = registry
        self._search_attributes = search_attributes
        self._liveness_timeout = liveness_timeout
        self._history_limit = history_limit
        self._described: dict[UUID, None] = {}

    async def record(self, batch: RecordBatch) -> None:
        """Writes what a run has kept."""
        await write_record(self._recorder, batch)

    async def resolve(self, request: ResolveRequest) -> ResolvedRun:
        """Finds the definition that a run is to follow, and writes the run's first record.

        A run that cannot begin is on record too, and is answered with ``error``.
        """
        start: StartRequest | None = None
        org: Organization | None = None
        version: StoredVersion | None = None
        definition: Definition | None = None
        try:
            start = _parse_start(request)
            org = await self._find_org(start)
            version = await self._find_version(start, org)
            definition = _read_definition(version)
            _check_run_input(start, definition)
        except _StartRefusedError as refused:
            owner = org or await self._store.find_org(DEFAULT_ORG)
            pinned = (version, definition) if version and definition else None
            await self._write_refused(request, start, owner.id, refused.info, pinned)
            return ResolvedRun(
                error=refused.info,
                org=owner.slug,
                workflow_id=_named_workflow(request.start),
                search_attributes=self._search_attributes,
            )
        ref = _ref(request, org.id, version.workflow_id, version.version)
        await write_record(
            self._recorder,
            RecordBatch(
                ref=ref,
                started=_started(request, start, ref, version),
                records=[_started_event(request, ref, definition)],
            ),
        )
        catalogue = self._registry.specs()
        await self._describe(version, definition, catalogue)
        return ResolvedRun(
            org_id=org.id,
            org=org.slug,
            instance_id=ref.instance_id,
            workflow_id=version.workflow_id,
            version=version.version,
            content_hash=version.content_hash,
            document=version.document,
            tasks=[
                catalogue[name].model_copy(update={"input_schema": None, "output_schema": None})
                for name in task_ids(definition)
                if name in catalogue
            ],
            input=start.input,
            correlation_id=start.correlation_id,
            search_attributes=self._search_attributes,
            liveness_timeout=self._liveness_timeout,
            history_limit=self._history_limit,
        )

    async def _describe(
        self, version: StoredVersion, definition: Definition, catalogue: Mapping[str, TaskSpec]
    ) -> None:
        """Has it on record what the tasks take and give, once for each version and process."""
        if version.version_id in self._described:
            return
        served = {name: catalogue[name] for name in task_ids(definition) if name in catalogue}
        await self._store.describe_tasks(version, served)
        self._described[version.version_id] = None
        while len(self._described) > _MAX_DESCRIBED:
            del self._described[next(iter(self._described))]

    async def _find_org(self, start: StartRequest) -> Organization:
        try:
            return await self._store.find_org(start.org_id)
        except NotFoundError as error:
            raise _StartRefusedError("InputError", error.message) from None

    async def _find_version(self, start: StartRequest, org: Organization) -> StoredVersion:
        if start.definition is not None:
            try:
                definition = parse_definition(start.definition, catalogue=self._registry.specs())
            except InvalidDocumentError as error:
                details = [problem.model_dump(mode="json") for problem in error.problems]
                raise _StartRefusedError("ValidationError", error.message, details) from None
            return await self._store.register(
                org.id, definition, start.definition, listed=False, created_by=start.user_id
            )
        try:
            return await self._store.get(org.id, start.workflow_id or "", start.version)
        except NotFoundError as error:
            raise _StartRefusedError("DefinitionNotFound", error.message) from None

    async def _write_refused(
        self,
        request: ResolveRequest,
        start: StartRequest | None,
        org: UUID,
        error: ErrorInfo,
        pinned: tuple[StoredVersion, Definition] | None,
    ) -> None:
        version, definition = pinned or (None, None)
        named = _named_workflow(request.start)
        ref = _ref(
            request,
            org,
            version.workflow_id if version else named,
            version.version if version else _UNKNOWN,
        )
        given = start.input if start is not None else {}
        ended = InstanceRecord(
            seq=1,
            status=InstanceStatus.FAILED,
            state={"input": given, "steps": {}, "variables": {}},
            error=error.to_json(),
            updated_at=request.started_at,
            completed_at=request.started_at,
        )
        events = [
            _event(
                request, ref, definition, kind, seq, phase="failed", outcome="failed", error=error
            )
            for seq, kind in enumerate(("workflow.completed", "workflow.failed"), ended.seq + 1)
        ]
        await write_record(
            self._recorder,
            RecordBatch(
                ref=ref,
                started=_started(request, start, ref, version),
                records=[_started_event(request, ref, definition), ended, *events],
            ),
        )


def _read_definition(version: StoredVersion) -> Definition:
    """A stored document as it was accepted: rules that came later do not apply to it."""
    try:
        return Definition.model_validate(version.document)
    except ValidationError as error:
        message = (
            f"{version.workflow_id} {version.version} is stored in a shape that cannot be read"
        )
        raise _StartRefusedError("ValidationError", message, str(error)) from None


def _parse_start(request: ResolveRequest) -> StartRequest:
    if request.failed is not None:
        failed = request.failed
        raise _StartRefusedError(failed.type, failed.message, failed.details)
    if request.problem is not None:
        raise _StartRefusedError("InputError", f"the start object is unusable: {request.problem}")
    try:
        return StartRequest.model_validate(request.start, by_alias=True, by_name=False)
    except ValidationError as error:
        details = [
            {"pointer": "".join(f"/{part}" for part in one["loc"]), "message": one["msg"]}
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        sentences = "; ".join(f"{one['pointer'] or '/'}: {one['message']}" for one in details)
        message = f"the start object is unusable: {sentences}"
        raise _StartRefusedError("InputError", message, details) from None


def _check_run_input(start: StartRequest, definition: Definition) -> None:
    size = json_size(start.input)
    if size > MAX_RUN_VALUE_BYTES:
        message = f"the input has {size} bytes, at most {MAX_RUN_VALUE_BYTES} are allowed"
        raise _StartRefusedError("InputError", message)
    if definition.input_schema is None:
        return
    problems = check_input(definition.input_schema, start.input)
    if problems:
        sentences = "; ".join(f"{one.pointer or '/'}: {one.message}" for one in problems)
        details = [problem.model_dump(mode="json") for problem in problems]
        raise _StartRefusedError("InputError", f"the input does not fit: {sentences}", details)


def _named_workflow(start: Any) -> str:
    """The workflow that an unusable start object names, as far as one can tell."""
    given = start if isinstance(start, dict) else {}
    inline = given.get("definition")
    name = given.get("workflowId") or (inline.get("workflowId") if isinstance(inline, dict) else "")
    return name[:255] if isinstance(name, str) and name else _UNKNOWN


def _ref(request: ResolveRequest, org: UUID, workflow_id: str, version: str) -> RunRef:
    return RunRef(
        org_id=org,
        instance_id=instance_id(request.first_run_id),
        execution_id=request.execution_id,
        first_run_id=request.first_run_id,
        workflow_id=workflow_id,
        version=version,
    )


def _started(
    request: ResolveRequest, start: StartRequest | None, ref: RunRef, version: StoredVersion | None
) -> RunStarted:
    return RunStarted(
        ref=ref,
        definition_id=version.definition_id if version else None,
        version_id=version.version_id if version else None,
        content_hash=version.content_hash if version else None,
        input=start.input if start is not None else {},
        started_at=request.started_at,
        correlation_id=start.correlation_id if start else None,
        channel=start.channel if start else None,
        external_id=start.external_id if start else None,
        user_id=start.user_id if start else None,
        idempotency_key=start.idempotency_key if start else None,
        request_hash=request_hash(request.start),
        metadata=start.metadata if start else {},
        tags=start.tags if start else {},
        interpreter_version=request.interpreter_version,
    )


def _started_event(
    request: ResolveRequest, ref: RunRef, definition: Definition | None
) -> AuditEvent:
    return _event(request, ref, definition, "workflow.started", 0, phase="executing")


def _event(
    request: ResolveRequest,
    ref: RunRef,
    definition: Definition | None,
    kind: str,
    seq: int,
    *,
    phase: str,
    outcome: str | None = None,
    error: ErrorInfo | None = None,
) -> AuditEvent:
    return AuditEvent(
        seq=seq,
        event_id=event_id(ref.org_id, ref.first_run_id, kind),
        event_type=kind,
        occurred_at=request.started_at,
        data=workflow_event(
            kind,
            timestamp=request.started_at,
            workflow_id=ref.workflow_id,
            execution_id=ref.execution_id,
            phase=phase,
            total_steps=len(definition.steps) if definition is not None else None,
            outcome=outcome,
            approval_required=asks_people(definition) if definition is not None else False,
            error_message=error.message if error is not None else None,
        ),
    )

"""The two activities that every run has: pin it to its definition, and write what it has kept.

Both are safe to repeat: every id is deterministic, so a second time finds what the first wrote.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from activities.beginning import UNKNOWN, Beginning
from activities.configuration import PinnedConfig, pin_configuration
from activities.recording import write_record
from activities.reruns import prepare_rerun
from definitions.calls import RecordedEnd, ResolvedRun, ResolveRequest
from definitions.document import Definition
from definitions.errors import (
    ConflictError,
    InvalidDocumentError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
)
from definitions.identity import instance_id
from definitions.inputs import check_input
from definitions.outputs import json_size
from definitions.records import (
    ErrorInfo,
    RecordBatch,
)
from definitions.references import KEY, first_reference
from definitions.start import DEFAULT_ORG, MAX_RUN_VALUE_BYTES, StartRequest
from definitions.validation.api import parse_definition
from definitions.validation.misfits import misfit_text, misfits
from definitions.walk import task_ids

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from activities.registry import TaskRegistry
    from activities.reruns import Rerun
    from definitions.configuration import ConfigStore
    from definitions.ports import (
        DefinitionStore,
        Organization,
        Recorder,
        RunReader,
        StoredVersion,
    )
    from definitions.tasks import TaskSpec

#: Versions of which is remembered that their tasks are described.
_MAX_DESCRIBED = 10_000
#: Seconds for which an org is taken to be there that was, and how many of them are remembered.
_ORG_KNOWN = 60.0
_MAX_ORGS = 1_000


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
        reader: RunReader,
        configs: ConfigStore,
        recorder: Recorder,
        registry: TaskRegistry,
        *,
        search_attributes: bool,
        liveness_timeout: float,
        history_limit: int,
        segments: bool = True,
    ) -> None:
        self._store = store
        self._reader = reader
        self._configs = configs
        self._recorder = recorder
        self._registry = registry
        self._search_attributes = search_attributes
        self._liveness_timeout = liveness_timeout
        self._history_limit = history_limit
        self._segments = segments
        self._orgs: dict[str, tuple[Organization, float]] = {}
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
        rerun: Rerun | None = None
        try:
            start = _parse_start(request)
            org = await self._find_org(start)
            if start.rerun is not None:
                rerun = await self._find_rerun(start, org)
                start, version, definition = rerun.start, rerun.version, rerun.definition
            else:
                version = await self._find_version(start, org)
                definition = _read_definition(version)
            _check_run_input(start, definition)
            pinned = await self._pin_configuration(request, org, version, start, rerun)
        except _StartRefusedError as refused:
            owner = org or await self._store.find_org(DEFAULT_ORG)
            found = (version, definition) if version and definition else None
            await self._write_refused(request, start, owner.id, refused.info, found)
            return ResolvedRun(
                error=refused.info,
                org=owner.slug,
                workflow_id=_named_workflow(request.start),
                search_attributes=self._search_attributes,
            )
        begins = Beginning(request, org.id, start, version, definition, rerun, pinned=pinned)
        ref = begins.ref
        await write_record(self._recorder, begins.batch())
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
            config=pinned.config or None,
            webhook_url=pinned.webhook_url,
            requirements=pinned.requirements or None,
            reused=rerun.reused if rerun is not None else None,
            search_attributes=self._search_attributes,
            liveness_timeout=self._liveness_timeout,
            history_limit=self._history_limit,
            segments=self._segments,
            ended=await self._find_end(org, ref.instance_id) if request.repeated else None,
        )

    async def _find_end(self, org: Organization, instance: UUID) -> RecordedEnd | None:
        """How the run has ended on record.

        A run whose tasks are all local begins and ends in one workflow task. Where the server
        refuses its end, because something came in meanwhile, all of it is done again; but it has
        ended, whatever came, and everybody has been told.
        """
        found = await self._reader.find_instance(org.id, str(instance))
        if not found.status.ended or found.completed_at is None:
            return None
        return RecordedEnd(
            status=str(found.status),
            output=found.output,
            error=found.error,
            ended_at=found.completed_at,
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
        # One that is there stays: its slug and id never change. One that is not may come.
        known, since = self._orgs.get(start.org_id, (None, 0.0))
        if known is not None and time.monotonic() - since < _ORG_KNOWN:
            return known
        try:
            org = await self._store.find_org(start.org_id)
        except NotFoundError as error:
            raise _StartRefusedError("InputError", error.message) from None
        self._orgs[start.org_id] = org, time.monotonic()
        while len(self._orgs) > _MAX_ORGS:
            del self._orgs[next(iter(self._orgs))]
        return org

    async def _find_rerun(self, start: StartRequest, org: Organization) -> Rerun:
        try:
            return await prepare_rerun(self._store, self._reader, org.id, start)
        except (NotFoundError, ConflictError, RefusedError) as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise _StartRefusedError("InputError", f"{error.message}{hint}") from None

    async def _pin_configuration(
        self,
        request: ResolveRequest,
        org: Organization,
        version: StoredVersion,
        start: StartRequest,
        rerun: Rerun | None,
    ) -> PinnedConfig:
        try:
            return await pin_configuration(
                self._configs,
                org.id,
                version.definition_id,
                start.channel,
                version_id=version.version_id,
                instance_id=instance_id(request.first_run_id),
                rerun=rerun,
            )
        except (InvalidInputError, RefusedError) as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise _StartRefusedError("InputError", f"{error.message}{hint}") from None

    async def _find_version(self, start: StartRequest, org: Organization) -> StoredVersion:
        if start.definition is not None:
            try:
                definition = parse_definition(start.definition, catalogue=self._registry.specs())
            except InvalidDocumentError as error:
                details = [problem.model_dump(mode="json") for problem in error.problems]
                raise _StartRefusedError("ValidationError", str(error), details) from None
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
        found: tuple[StoredVersion, Definition] | None,
    ) -> None:
        version, definition = found or (None, None)
        named = _named_workflow(request.start)
        begins = Beginning(request, org, start, version, definition, named=named)
        await write_record(self._recorder, begins.refused(error))


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
        details = [one.model_dump(mode="json") for one in misfits(error)]
        message = f"the start object is unusable: {misfit_text(error)}"
        raise _StartRefusedError("InputError", message, details) from None


def _check_run_input(start: StartRequest, definition: Definition) -> None:
    size = json_size(start.input)
    if size > MAX_RUN_VALUE_BYTES:
        message = f"the input has {size} bytes, at most {MAX_RUN_VALUE_BYTES} are allowed"
        raise _StartRefusedError("InputError", message)
    if first_reference(start.input) is not None:
        message = f"the input has a member {KEY}, which is reserved"
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
    return name[:255] if isinstance(name, str) and name else UNKNOWN

"""Starting a run: everything that can be refused is refused before Temporal hears of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from pydantic import ValidationError
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.configuration import pin_configuration
from adapters.temporal.search_attributes import missing
from definitions.errors import ConflictError, InvalidDocumentError, InvalidInputError
from definitions.identity import MAX_EXECUTION_ID, NAMESPACE, definition_id
from definitions.inputs import check_input
from definitions.jsongate import JsonGateError, check
from definitions.names import (
    SEARCH_CORRELATION,
    SEARCH_DEFINITION,
    SEARCH_ORG,
    SEARCH_STATUS,
    SEARCH_VERSION,
    WORKFLOW_TYPE,
)
from definitions.outputs import json_size
from definitions.problems import Problem
from definitions.references import KEY, first_reference
from definitions.start import DEFAULT_ORG, MAX_RUN_VALUE_BYTES, StartRequest, request_hash
from definitions.statuses import InstanceStatus
from definitions.validation.api import validate
from definitions.validation.misfits import misfits
from steploom.operations.orgs import find_org
from steploom.operations.temporal import find_run, has_pollers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from definitions.ports import Organization
    from definitions.tasks import TaskSpec
    from steploom.services import Services

#: Without the letters and digits that are easily taken for one another.
_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
_RANDOM_LENGTH = 8
_MEMO_HASH = "steploomRequestHash"
#: How the refusal of an input ends.
NOTHING_STARTED = "nothing was started"


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that was started, or (``existing``) was there under the same idempotency key.

    ``version`` is absent where none was asked for and there is no database to tell the highest.
    ``served``: whether any worker serves the run's task queue at this moment.
    """

    execution_id: str
    run_id: str | None
    workflow_id: str
    version: str | None
    org: str
    url: str | None
    existing: bool = False
    served: bool = True

    def to_json(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "executionId": self.execution_id,
            "runId": self.run_id,
            "workflowId": self.workflow_id,
            "version": self.version,
            "org": self.org,
            "url": self.url,
            "existing": self.existing,
        }


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run will be, as far as one can know before it begins."""

    workflow_id: str
    version: str | None
    name: str
    correlation_id: str | None


def parse_start(values: Mapping[str, Any]) -> StartRequest:
    """A start object; absent (``None``) members are left out.

    Raises:
        InvalidInputError: It has a wrong shape; ``problems`` holds everything that is wrong.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        check(given)
        return StartRequest.model_validate(given)
    except JsonGateError as error:
        problems = [Problem(pointer=error.pointer, code=error.code, message=error.message)]
    except ValidationError as error:
        problems = misfits(error)
    raise InvalidInputError(
        "the start object is unusable",
        problems=problems,
        hint="`steploom schema start` prints its JSON Schema",
    )


async def start(
    services: Services,
    request: StartRequest,
    *,
    execution_id: str | None = None,
    catalogue: Mapping[str, TaskSpec] | None = None,
) -> StartedRun:
    """Starts a run.

    Args:
        services: Temporal, and Postgres where there is one; without it the worker alone checks the
            org, the definition and the input.
        request: What to run, with what.
        execution_id: Its name; one is made up if absent.
        catalogue: The tasks that an inline definition may name, where that is known.

    Raises:
        NotFoundError: No such org, definition or version.
        InvalidDocumentError: The inline definition has errors.
        InvalidInputError: The input does not fit, or is too large; the channel is disabled.
        ConflictError: The name, or the idempotency key with another request, was used before.
    """
    if execution_id is not None:
        check_execution_id(execution_id)
    org = await find_org(services, request.org_id)
    plan = await plan_start(services, org, request, catalogue)
    digest = request_hash(request.to_json())
    if request.idempotency_key is not None:
        if execution_id is not None:
            raise InvalidInputError(
                "a name and an idempotency key do not go together: the key makes the name",
                hint="give one of them",
            )
        execution_id = keyed_execution_id(org.id, request.idempotency_key)
        before = None
        if services.recorded:  # Temporal forgets; the record does not.
            key = request.idempotency_key
            before = await services.reader.find_by_idempotency_key(org.id, key)
        if before is not None:
            _check_same(before.request_hash, digest, request.idempotency_key)
            url = services.run_url(before.execution_id, before.first_run_id)
            return StartedRun(
                before.execution_id, before.first_run_id, before.workflow_id, before.version,
                org.slug, url, existing=True,
            )  # fmt: skip
    if services.recorded:
        workflow = definition_id(org.id, plan.workflow_id)
        await pin_configuration(services.configs, org.id, workflow, request.channel)
    execution_id = execution_id or new_execution_id(plan.workflow_id)
    return await begin(services, org, request, plan, execution_id=execution_id, digest=digest)


async def plan_start(
    services: Services,
    org: Organization,
    request: StartRequest,
    catalogue: Mapping[str, TaskSpec] | None,
    *,
    undone: str = NOTHING_STARTED,
) -> Planned:
    """What a start object will run, as far as that can be known and checked here.

    ``undone``: as of ``check_run_input``.

    Raises:
        NotFoundError: No such definition or version.
        InvalidDocumentError: The inline definition has errors.
        InvalidInputError: The input does not fit, or is too large, or has the reserved member.
    """
    document: Any = request.definition
    if document is None and not services.recorded:
        # What only the record knows is left to the worker, as for any client of Temporal's.
        check_run_input(None, request.input, undone=undone)
        name = request.workflow_id or ""
        return Planned(name, request.version, name, request.correlation_id)
    if document is None:
        stored = await services.store.get(org.id, request.workflow_id or "", request.version)
        document = stored.document
    else:
        report = validate(document, catalogue=catalogue)
        if report.definition is None:
            raise InvalidDocumentError(report.problems)
    check_run_input(document.get("inputSchema"), request.input, undone=undone)
    return Planned(
        document["workflowId"], document["version"], document["name"], request.correlation_id
    )


def check_run_input(schema: Any, given: dict[str, Any], *, undone: str = NOTHING_STARTED) -> None:
    """Returns where a run can begin with this input.

    Args:
        schema: The definition's ``inputSchema``, if there is one.
        given: The input.
        undone: What was not done for it, as the sentence of a refusal ends.

    Raises:
        InvalidInputError: It does not fit the schema, is too large, or has the reserved member.
    """
    size = json_size(given)
    if size > MAX_RUN_VALUE_BYTES:
        raise InvalidInputError(
            f"the input has {size} bytes, at most {MAX_RUN_VALUE_BYTES} are allowed",
            hint="pass a reference to what is large",
        )
    if (reserved := first_reference(given)) is not None:
        raise InvalidInputError(
            f"the input has the member {KEY} at {reserved[0] or '/'}, which is reserved; {undone}",
            hint="give the value itself, or one of your own that says where it is",
        )
    problems = check_input(schema, given)
    if problems:
        raise InvalidInputError(
            f"the input does not fit the definition's inputSchema; {undone}",
            problems=problems,
            hint="`steploom definitions show ID --output json` shows the schema",
        )


async def begin(
    services: Services,
    org: Organization,
    request: StartRequest,
    plan: Planned,
    *,
    execution_id: str,
    digest: str,
) -> StartedRun:
    """Has Temporal start a run, of which everything was checked.

    Raises:
        ConflictError: Its name was used before, or its idempotency key for another request.
    """
    client, queue = services.client, services.settings.task_queue
    try:
        handle = await client.start_workflow(
            WORKFLOW_TYPE,
            request.to_json(),
            id=execution_id,
            task_queue=queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=await search_attributes(services, org, plan),
            static_summary=plan.name,
            memo={_MEMO_HASH: digest} if request.idempotency_key is not None else None,
        )
    except WorkflowAlreadyStartedError as error:
        if request.idempotency_key is None:
            raise await _taken(services, org, execution_id) from None
        described = await client.get_workflow_handle(execution_id, run_id=error.run_id).describe()
        _check_same((await described.memo()).get(_MEMO_HASH), digest, request.idempotency_key)
        existing, run_id = True, error.run_id
    else:
        existing, run_id = False, handle.first_execution_run_id
    return StartedRun(
        execution_id=execution_id,
        run_id=run_id,
        workflow_id=plan.workflow_id,
        version=plan.version,
        org=org.slug,
        url=services.run_url(execution_id, run_id),
        existing=existing,
        served=await has_pollers(client, queue),
    )


async def search_attributes(
    services: Services, org: Organization, plan: Planned
) -> TypedSearchAttributes:
    """Those that the run would set by itself: set now, they cost it no event."""
    try:
        lacking = await missing(services.client)
    except RPCError:  # Temporal Cloud does not let everybody ask; the run sets them then.
        lacking = [SEARCH_DEFINITION]
    if lacking:
        return TypedSearchAttributes.empty
    values = {
        SEARCH_DEFINITION: plan.workflow_id,
        SEARCH_VERSION: plan.version,
        SEARCH_ORG: org.slug,
        SEARCH_STATUS: str(InstanceStatus.RUNNING),
        SEARCH_CORRELATION: plan.correlation_id,
    }
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in values.items()
            if value is not None
        ]
    )


async def _taken(services: Services, org: Organization, execution_id: str) -> ConflictError:
    """For an id that is used: by an execution that this org sees, or by what is none of it."""
    if await find_run(services.client, execution_id, org) is None:
        return ConflictError(
            f"the id {execution_id!r} is taken", hint="give another --id, or none to have one made"
        )
    also = "" if org.slug == DEFAULT_ORG else f" --org {org.slug}"
    return ConflictError(
        f"there is an execution {execution_id!r} already",
        hint=f"`steploom show {execution_id}{also}` shows it; give another --id, or none",
    )


def _check_same(before: object, now: str, key: str) -> None:
    if before != now:
        raise ConflictError(
            f"the idempotency key {key!r} was used for another request",
            hint="use a new key for a new request, or repeat the first one unchanged",
        )


def check_execution_id(name: str) -> None:
    """Returns where Temporal takes this for the name of a run.

    Raises:
        InvalidInputError: It is empty, too long, has characters that are no text, or a colon.
    """
    if ":" in name:
        raise InvalidInputError(
            "an execution id has no colon: such ids are those of schedules and providers, which "
            "keep the orgs apart by them",
            hint="choose another name, or leave it out to have one made",
        )
    size = len(name.encode("utf-8", "surrogatepass"))
    if not name.strip() or not name.isprintable() or size > MAX_EXECUTION_ID:
        what = "nothing but blanks" if not name.strip() else f"{size} bytes"
        if name.strip() and size <= MAX_EXECUTION_ID:
            what = "characters that cannot be printed"
        raise InvalidInputError(
            f"an execution id is a text of 1 to {MAX_EXECUTION_ID} bytes, and this one has {what}",
            hint="choose a name, or leave it out to have one made",
        )


def keyed_execution_id(org_id: UUID, key: str) -> str:
    """The name of the run that is started with an idempotency key."""
    return str(uuid5(NAMESPACE, f"start|{org_id}|{key}"))


def new_execution_id(workflow_id: str) -> str:
    """A name for a run that was given none."""
    return f"{workflow_id}-{''.join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))}"

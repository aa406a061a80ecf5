"""Running an execution again from one of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activities.configuration import pin_configuration
from activities.reruns import prepare_rerun
from definitions.start import request_hash
from steploom.operations.starting import (
    Planned,
    StartedRun,
    begin,
    check_execution_id,
    check_run_input,
    new_execution_id,
)

if TYPE_CHECKING:
    from definitions.start import StartRequest
    from steploom.services import Services


async def rerun(
    services: Services, request: StartRequest, *, execution_id: str | None = None
) -> StartedRun:
    """Starts a run that goes on from the record of an earlier one.

    Everything that can be refused is refused before Temporal hears of it, by the very check with
    which the run begins.

    Args:
        services: Temporal and Postgres.
        request: A start object with ``rerun``.
        execution_id: The new run's name; one is made up if absent.

    Raises:
        NotFoundError: No such org or run, or its version is no more.
        ConflictError: The name of the earlier run is the beginning of several, or the new one's was
            used before.
        RefusedError: It cannot be run again from there.
        InvalidInputError: The new input does not fit, or is too large.
    """
    if request.rerun is None:
        raise AssertionError("not a rerun")
    if execution_id is not None:
        check_execution_id(execution_id)
    org = await services.store.find_org(request.org_id)
    found = await prepare_rerun(services.store, services.reader, org.id, request)
    # By its id from here on: a name can come to mean another run.
    asked = request.rerun.model_copy(update={"execution_id": str(found.origin.instance_id)})
    request = request.model_copy(update={"rerun": asked})
    definition, whole = found.definition, found.start
    check_run_input(definition.input_schema, whole.input)
    workflow = found.version.definition_id
    await pin_configuration(services.configs, org.id, workflow, whole.channel, rerun=found)
    plan = Planned(
        definition.workflow_id, definition.version, definition.name, whole.correlation_id
    )
    name = execution_id or new_execution_id(definition.workflow_id)
    digest = request_hash(request.to_json())
    return await begin(services, org, request, plan, execution_id=name, digest=digest)

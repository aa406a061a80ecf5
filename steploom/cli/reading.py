"""``definitions list|show``, ``list`` and ``show``: the record, read back from Postgres."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from definitions.errors import InvalidInputError
from definitions.statuses import InstanceStatus
from steploom.cli.options import (
    AfterOption,
    ExecutionArgument,
    LimitOption,
    OfWorkflowOption,
    OrgOption,
    OutputOption,
)
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from definitions.ports import Organization, StoredVersion
    from definitions.views import DefinitionView, InstancePage, InstanceView
    from steploom.operations.reading import WholeRecord
    from steploom.services import Services

_AGO = re.compile(r"^(\d{1,6})\s*(s|m|min|h|d)$")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


def list_definitions(org: OrgOption = "default", output: OutputOption = Format.TABLE) -> None:
    """List the definitions of an org, each at its highest version."""
    from steploom.cli.session import in_session  # noqa: PLC0415 (heavy, as all of these)

    async def work(services: Services, owner: Organization) -> Sequence[DefinitionView]:
        return await services.store.list_definitions(owner.id)

    found = in_session(org, work, {"postgres"})
    if not found:
        notice("No definition yet. Next: steploom register FILE")
    Output(output).results(
        [one.to_json() for one in found], lambda: _definitions_table(found) if found else None
    )


def _definitions_table(found: Sequence[DefinitionView]) -> Table:
    from steploom.cli.tables import moment, table  # noqa: PLC0415

    shown = table("DEFINITION", "VERSION", "VERSIONS", "EXECUTIONS", "REGISTERED", "BY", "NAME")
    for one in found:
        runs = ", ".join(f"{count} {name}" for name, count in one.instances.items() if count)
        shown.add_row(
            one.workflow_id, one.version, str(one.versions), runs or "none",
            moment(one.updated_at), one.created_by or "", one.name,
        )  # fmt: skip
    return shown


def show_definition(
    workflow_id: Annotated[str, typer.Argument(metavar="ID", help="The workflowId.")],
    version: Annotated[
        str | None, typer.Option(help="A version; the highest if not given.")
    ] = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Show a definition: its versions and its document, exactly as it was registered."""
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(
        services: Services, owner: Organization
    ) -> tuple[StoredVersion, Sequence[StoredVersion]]:
        stored = await services.store.get(owner.id, workflow_id, version)
        return stored, await services.store.versions(owner.id, workflow_id)

    stored, versions = in_session(org, work, {"postgres"})
    facts = {
        "workflowId": stored.workflow_id,
        "version": stored.version,
        "contentHash": stored.content_hash,
        "createdBy": stored.created_by,
        "createdAt": stored.created_at.isoformat(),
        "versions": [one.version for one in versions],
        "document": stored.document,
    }
    Output(output).result(facts, lambda: _definition_text(stored, versions))


def _definition_text(stored: StoredVersion, versions: Sequence[StoredVersion]) -> str:
    import json  # noqa: PLC0415

    from steploom.cli.tables import moment  # noqa: PLC0415

    by = f" by {stored.created_by}" if stored.created_by else ""
    return "\n".join(
        [
            f"{stored.workflow_id} {stored.version}, registered {moment(stored.created_at)}{by}",
            f"hash {stored.content_hash}",
            f"versions {', '.join(one.version for one in versions)}",
            "",
            json.dumps(stored.document, indent=2, ensure_ascii=False),
        ]
    )


def list_executions(
    *,
    status: Annotated[InstanceStatus | None, typer.Option(help="Only these.")] = None,
    workflow: OfWorkflowOption = None,
    correlation_id: Annotated[str | None, typer.Option(help="Only these.")] = None,
    origin: Annotated[
        str | None,
        typer.Option(metavar="EXECUTION", help="Only the child executions and reruns of this one."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Started since: 30m, 2h, 7d, or 2026-01-31T08:00:00Z."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Started before: 30m, or a time, as --since.")
    ] = None,
    limit: LimitOption = 50,
    after: AfterOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """List executions, the newest first."""
    from steploom.cli.session import in_session  # noqa: PLC0415

    started, before = moment_of("--since", since), moment_of("--until", until)

    async def work(services: Services, owner: Organization) -> InstancePage:
        came_from = None
        if origin is not None:
            came_from = (await services.reader.find_instance(owner.id, origin)).id
        return await services.reader.list_instances(
            owner.id,
            status=status,
            workflow_id=workflow,
            correlation_id=correlation_id,
            came_from=came_from,
            since=started,
            until=before,
            limit=limit,
            after=after,
        )

    page = in_session(org, work, {"postgres"})
    out = Output(output)
    if page.next and output in {Format.TABLE, Format.JSONL}:
        notice(f"There are more: --after {page.next}")
    if not page.items:
        notice("No executions. Next: steploom start ID --input '{}'")
    out.results(
        [one.to_json() for one in page.items],
        lambda: executions_table(page.items) if page.items else None,
        whole=page.to_json(),
    )


def moment_of(option: str, text: str | None) -> datetime | None:
    """A time that an option was given: one of the calendar, or so long ago.

    Raises:
        InvalidInputError: It is neither.
    """
    if text is None:
        return None
    ago = _AGO.match(text.strip())
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(
            f"{option} {text!r} is no time",
            hint="give 30m, 2h, 7d, or a time such as 2026-01-31T08:00:00Z",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def executions_table(found: Sequence[InstanceView]) -> Table:
    """Executions, a line each."""
    from rich.text import Text  # noqa: PLC0415

    from steploom.cli.tables import moment, status, table, took  # noqa: PLC0415

    shown = table("EXECUTION", "DEFINITION", "STATUS", "AT STEP", "STARTED", "TOOK", "ERROR")
    for one in found:
        error = str(one.error.get("type")) if one.error else ""
        shown.add_row(
            Text(one.execution_id), f"{one.workflow_id} {one.version}", status(one.status),
            "" if one.status.ended else one.current_step_id or "", moment(one.started_at),
            took(one.started_at, one.completed_at), Text(error),
        )  # fmt: skip
    return shown


def show_execution(
    execution: ExecutionArgument,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Show one execution: every step, its attempts, errors and votes, and why it went on so.

    Also what was done to it from outside, the events that it took and published, the execution that
    it came from, and those that it started.
    """
    from steploom.cli.session import in_session  # noqa: PLC0415
    from steploom.operations.reading import read_whole  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> tuple[WholeRecord, str | None]:
        found = await read_whole(services, owner, execution)
        instance = found.instance
        return found, services.run_url(instance.execution_id, instance.first_run_id)

    found, url = in_session(org, work, {"postgres"})
    facts: dict[str, Any] = {**found.to_json(), "url": url}

    def show() -> Any:
        from steploom.cli.timeline import execution as rendered  # noqa: PLC0415

        return rendered(found, url)

    Output(output).result(facts, show)

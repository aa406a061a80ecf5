"""``audit list``, ``verify`` and ``seal``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from definitions.errors import InvalidInputError, NotFoundError
from steploom.cli.errors import FAILED
from steploom.cli.options import AfterOption, LimitOption, OfWorkflowOption, OrgOption, OutputOption
from steploom.cli.output import Format, Output, notice
from steploom.cli.reading import moment_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from definitions.ports import Organization
    from definitions.views import AuditPage
    from steploom.operations.archived_audit import ArchivedChain
    from steploom.operations.auditing import Head, Verdict
    from steploom.services import Services

#: ``--org`` for every org.
_ALL = "all"
#: Seconds between two words about how far a check has come.
_EVERY = 5.0

OrgsOption = Annotated[
    str, typer.Option("--org", metavar="ORG", help="The org, by its slug or id; all: every one.")
]


def list_events(
    *,
    type_: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Such as workflow.failed.")
    ] = None,
    execution: Annotated[
        str | None,
        typer.Option(metavar="EXECUTION", help="Only of this one; it may be cleaned away."),
    ] = None,
    workflow: OfWorkflowOption = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Since: 30m, 2h, 7d, or 2026-01-31T08:00:00Z."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before: 30m, or a time, as --since.")
    ] = None,
    limit: LimitOption = 50,
    after: AfterOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """List audit events, the newest first."""
    from steploom.cli.session import in_session  # noqa: PLC0415 (heavy, as all of these)

    start, end = moment_of("--since", since), moment_of("--until", until)

    async def work(services: Services, owner: Organization) -> AuditPage:
        return await services.audit.list_events(
            owner.id,
            event_type=type_,
            workflow_id=workflow,
            since=start,
            until=end,
            limit=limit,
            after=after,
            **await _run_of(services, owner, execution),
        )

    page = in_session(org, work, {"postgres"})
    if page.next and output in {Format.TABLE, Format.JSONL}:
        notice(f"There are more: --after {page.next}")
    if not page.items:
        notice("No such audit event.")
    Output(output).results(
        [one.to_json() for one in page.items], lambda: _events_table(page), whole=page.to_json()
    )


async def _run_of(services: Services, owner: Organization, name: str | None) -> dict[str, Any]:
    """The run by its id, which an index has; where it is cleaned away, by its execution id."""
    if name is None:
        return {}
    try:
        return {"instance_id": (await services.reader.find_instance(owner.id, name)).id}
    except NotFoundError:
        return {"execution_id": name}


def _events_table(page: AuditPage) -> Table:
    from rich.text import Text  # noqa: PLC0415

    from steploom.cli.tables import moment, short, table  # noqa: PLC0415

    shown = table("TIME", "TYPE", "DEFINITION", "EXECUTION", "OUTCOME", "DECISION", "BY", "ERROR")
    for one in page.items:
        data = one.event_data.get("data", {})
        facts = data.get("workflow") or {"approver": data.get("audit", {}).get("by")}
        names = (
            "workflow_id", "execution_id", "outcome", "approval_decision", "approver",
            "error_message",
        )  # fmt: skip
        cells = (Text(short(facts.get(name) or "")) for name in names)
        shown.add_row(moment(one.event_timestamp), one.event_type, *cells)
    return shown


def verify(
    *,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="HASH[@POSITION]", help="A head that was printed earlier; it must be there."
        ),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Check what `audit prune` has archived here, without a database."
        ),
    ] = None,
    org: OrgsOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Check the chain of audit events; exit 1 where one was changed or removed.

    Prints the head of the chain. Keep it where nobody who can write to the database can: with
    --expect it shows that the chain's end was not cut off.
    """
    from steploom.operations.auditing import Head as NotedHead  # noqa: PLC0415 (heavy, as all)
    from steploom.operations.auditing import verify as check  # noqa: PLC0415

    expected = NotedHead.parse(expect) if expect is not None else None
    if expected is not None and org == _ALL:
        raise InvalidInputError(
            "--expect is the head of one org's chain", hint="name that org with --org"
        )

    if archive is not None:
        _verify_archive(archive, org, expected, output)
        return

    async def work(services: Services, orgs: list[Organization]) -> list[Verdict]:
        return [await check(services.audit, one, expected, _progress(one)) for one in orgs]

    found = _for_orgs(org, work)
    lines = "\n".join(_told(one) for one in found)
    Output(output).results([one.to_json() for one in found], lambda: lines)
    if any(one.broken for one in found):
        raise typer.Exit(FAILED)


def _verify_archive(archive: Path, org: str, expected: Head | None, output: Format) -> None:
    from steploom.operations.archived_audit import verify_archive  # noqa: PLC0415

    found = verify_archive(archive, None if org == _ALL else org, expected)
    lines = [
        line
        for one in found
        for line in (*_outcome(one), f"  in the archive from link {one.first:,} on")
    ]
    Output(output).results([one.to_json() for one in found], lambda: "\n".join(lines))
    if any(one.broken for one in found):
        raise typer.Exit(FAILED)


def _progress(org: Organization) -> Callable[[int, int], None]:
    told = time.monotonic()

    def tell(checked: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            notice(f"{org.slug}: {checked:,} of {max(checked, total):,} checked")

    return tell


def _told(verdict: Verdict) -> str:
    from steploom.cli.tables import moment  # noqa: PLC0415

    lines = _outcome(verdict)
    if verdict.anchor is not None:
        lines.append(
            f"  the chain begins after link {verdict.anchor.position:,}, pruned on "
            f"{moment(verdict.anchor.pruned_at)} by {verdict.anchor.pruned_by}"
        )
        lines.append(f"  anchor {verdict.anchor.hash}@{verdict.anchor.position}")
    if verdict.waiting.events:
        since = moment(verdict.waiting.since)
        lines.append(f"  {verdict.waiting.events:,} not sealed yet, the oldest since {since}")
    return "\n".join(lines)


def _outcome(found: Verdict | ArchivedChain) -> list[str]:
    broken = found.broken
    if broken is None:
        lines = [f"{found.org}: whole, {found.sealed:,} sealed"]
    else:
        place = f" at position {broken.position:,}" if broken.position else ""
        event = f", event {broken.event_id}" if broken.event_id else ""
        lines = [f"{found.org}: broken{place}{event}: {broken.message}"]
        lines.append(f"  {found.sealed:,} before it hold")
    if found.sealed:
        lines.append(f"  head {found.head}")
    return lines


def seal(org: OrgsOption = _ALL, output: OutputOption = Format.TABLE) -> None:
    """Seal the audit events that are written by now, as workers do all the time."""

    async def work(services: Services, orgs: list[Organization]) -> list[dict[str, Any]]:
        return [
            {"org": one.slug, "sealed": await services.audit.sealer.seal_all(one.id)}
            for one in orgs
        ]

    found = _for_orgs(org, work)
    lines = "\n".join(f"{one['org']}: {one['sealed']:,} sealed now" for one in found)
    Output(output).results(found, lambda: lines)


def _for_orgs(org: str, work: Callable[[Services, list[Organization]], Any]) -> Any:
    from steploom.cli.session import with_services  # noqa: PLC0415

    async def run(services: Services) -> Any:
        if org == _ALL:
            return await work(services, list(await services.store.list_orgs()))
        return await work(services, [await services.store.find_org(org)])

    return with_services(run, {"postgres"})

"""``audit prune``: the retention of audit events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steploom.cli.cleanup import archive_directory, duration
from steploom.cli.errors import FAILED
from steploom.cli.options import ActorOption, OutputOption, actor
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from steploom.operations.pruning import Pruned

_KEPT = {
    "younger": "is younger",
    "on_record": "is of an execution that is on record",
    "last": "is the last of the chain, which always stays",
    "damaged": "does not hold: see `steploom audit verify`",
}


def prune(
    *,
    older_than: Annotated[
        str,
        typer.Option(
            metavar="DAYS",
            help="How long audit events are kept: days, or an ISO 8601 duration such as P7Y.",
        ),
    ],
    archive: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Write the events and their seals to files here first."),
    ] = None,
    org: Annotated[
        str | None,
        typer.Option("--org", metavar="ORG", help="Of this org alone, by its slug or id."),
    ] = None,
    as_: ActorOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing; say what would go.")
    ] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Remove the oldest audit events, as the owner of the tables; exit 1 where a chain is broken.

    From the first of a chain on, up to the first that is younger, or whose execution is on record.
    """
    kept_for = duration(older_than)
    directory = archive_directory(archive)

    async def run() -> list[Pruned]:
        from adapters.postgres.database import Database  # noqa: PLC0415 (heavy, as all here)
        from adapters.postgres.definitions import PostgresDefinitionStore  # noqa: PLC0415
        from adapters.postgres.schema import check_schema  # noqa: PLC0415
        from steploom.operations.archive import Archive  # noqa: PLC0415
        from steploom.operations.pruning import Pruning  # noqa: PLC0415
        from steploom.services import load_settings, resolve_settings  # noqa: PLC0415
        from worker.connections import database_url  # noqa: PLC0415

        settings = resolve_settings(load_settings(), Path.cwd())
        async with Database(database_url(settings), pool_size=2, as_owner=True) as database:
            await check_schema(database)
            store = PostgresDefinitionStore(database)
            pruning = Pruning(
                database=database,
                archive=Archive(directory.absolute()) if directory is not None else None,
                older_than=kept_for,
                by=actor(as_),
                dry_run=dry_run,
                say=notice,
            )
            return await pruning.run(
                [await store.find_org(org)] if org else await store.list_orgs()
            )

    done = asyncio.run(run())
    Output(output).results(
        [one.to_json() for one in done], lambda: "\n".join(_sentences(one) for one in done)
    )
    if any(one.kept == "damaged" for one in done):
        raise typer.Exit(FAILED)


def _sentences(done: Pruned) -> str:
    from definitions.references import told_size  # noqa: PLC0415

    verb = "would remove" if done.dry_run else "removed"
    lines = [f"{done.org}: {verb} {done.removed:,} audit events of before {done.before:%Y-%m-%d}."]
    if done.archived:
        lines.append(f"  Archived in {done.archived} files ({told_size(done.archived_bytes)}).")
    if done.kept is not None:
        place = f" at position {done.kept_at:,}" if done.kept_at else ""
        execution = f" ({done.execution})" if done.kept == "on_record" and done.execution else ""
        lines.append(f"  Kept from here on: the event{place} {_KEPT[done.kept]}{execution}.")
    if done.removed:
        lines.append(f"  The chain begins after {done.anchor}.")
    return "\n".join(lines)

"""``cleanup`` and ``payload get``: what old executions leave, and their big values."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from definitions.errors import InvalidInputError, NotFoundError
from steploom.cli.options import OrgOption, OutputOption
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from adapters.postgres.database import Database
    from steploom.operations.cleanup import Cleaned
    from worker.settings import Settings


def cleanup(
    *,
    archive: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Write each execution to a file here before it goes."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="DAYS",
            help="How long executions are kept whose definition says no retention: days, or an ISO "
            "8601 duration such as P1Y. Not given: for ever.",
        ),
    ] = None,
    org: Annotated[
        str | None,
        typer.Option("--org", metavar="ORG", help="Of this org alone, by its slug or id."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing; say what would go.")
    ] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Remove the executions whose retention is over, and values that nobody refers to any more.

    Executions that run are never removed, nor are audit events: see `steploom audit prune`.
    """
    kept_for = duration(older_than) if older_than is not None else None
    directory = archive_directory(archive)

    async def work(settings: Settings, database: Database) -> Cleaned:
        from adapters.payloads.opening import open_payloads  # noqa: PLC0415 (heavy, as all here)
        from adapters.postgres.definitions import PostgresDefinitionStore  # noqa: PLC0415
        from definitions.redaction import make_redactor  # noqa: PLC0415
        from steploom.operations.archive import Archive  # noqa: PLC0415
        from steploom.operations.cleanup import Cleanup  # noqa: PLC0415

        store = PostgresDefinitionStore(database)
        cleaning = Cleanup(
            database=database,
            payloads=open_payloads(settings.payloads),
            redactor=make_redactor(settings.redact_keys),
            archive=Archive(directory.absolute()) if directory is not None else None,
            older_than=kept_for,
            now=datetime.now(UTC),
            dry_run=dry_run,
            say=notice,
        )
        return await cleaning.run([await store.find_org(org)] if org else await store.list_orgs())

    done: Cleaned = _with_database(work)
    Output(output).result(done.to_json(), lambda: _sentences(done, directory))


def get_payload(
    sha256: Annotated[
        str, typer.Argument(metavar="SHA256", help="Its hash, as `steploom show` prints it.")
    ],
    org: OrgOption = "default",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Write it to a file.")
    ] = None,
    output: OutputOption = Format.JSON,
) -> None:
    """Print a value of the payload store: JSON, less the members that are never shown."""

    async def work(settings: Settings, database: Database) -> Any:
        from adapters.payloads.opening import open_payloads  # noqa: PLC0415
        from adapters.postgres.definitions import PostgresDefinitionStore  # noqa: PLC0415
        from definitions.redaction import make_redactor  # noqa: PLC0415
        from steploom.operations.payloads import read_payload  # noqa: PLC0415

        owner = await PostgresDefinitionStore(database).find_org(org)
        store = open_payloads(settings.payloads)
        if store is None:
            raise NotFoundError(
                "payload", sha256, hint="set STEPLOOM_PAYLOADS as it is for the workers"
            )
        redactor = make_redactor(settings.redact_keys)
        return await read_payload(database, store, redactor, owner.id, sha256)

    value = _with_database(work)
    if file is None:
        Output(output).result(value, lambda: json.dumps(value, indent=2, ensure_ascii=False))
        return
    try:
        file.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(
            f"{file} cannot be written: {error.strerror}", hint="choose another --file"
        ) from None
    notice(f"Wrote it to {file}.")


def archive_directory(text: str | None) -> Path | None:
    """What ``--archive`` says.

    Raises:
        InvalidInputError: It names nothing.
    """
    if text is None:
        return None
    # As a path an empty text is the current folder: most likely a variable that was not set.
    if not text.strip():
        raise InvalidInputError(
            "--archive is empty: it names no directory",
            hint="name one, such as --archive archive; the current folder is .",
        )
    return Path(text)


def duration(text: str) -> str:
    """What ``--older-than`` says, as an ISO 8601 duration.

    Raises:
        InvalidInputError: It is neither days nor a duration.
    """
    from definitions.durations import DurationError, check_calendar_duration  # noqa: PLC0415

    given = text.strip()
    try:
        return check_calendar_duration(f"P{int(given)}D" if given.isdecimal() else given)
    except DurationError as error:
        raise InvalidInputError(
            f"--older-than: {error}", hint="give days, such as 90, or a duration such as P1Y"
        ) from None


def _sentences(done: Cleaned, archive: Path | None) -> str:
    from definitions.references import told_size  # noqa: PLC0415

    verb = "Would remove" if done.dry_run else "Removed"
    rows = f"{done.executions} executions ({done.rows} rows)"
    values = f"{done.payloads} values ({told_size(done.payload_bytes)}) of the payload store"
    lines = [f"{verb} {rows} and {values}."]
    if archive is not None and not done.dry_run:
        size = told_size(done.archived_bytes)
        lines.append(f"Archived {done.archived} executions ({size}) in {archive}.")
    if done.kept:
        lines.append(f"Kept {done.kept} that changed meanwhile or could not be archived.")
    return "\n".join(lines)


def _with_database(work: Callable[[Settings, Database], Awaitable[Any]]) -> Any:
    from adapters.postgres.database import Database  # noqa: PLC0415
    from adapters.postgres.schema import check_schema  # noqa: PLC0415
    from steploom.services import load_settings, resolve_settings  # noqa: PLC0415
    from worker.connections import database_url  # noqa: PLC0415

    async def run() -> Any:
        settings = resolve_settings(load_settings(), Path.cwd())
        async with Database(database_url(settings), pool_size=2) as database:
            await check_schema(database)
            return await work(settings, database)

    return asyncio.run(run())

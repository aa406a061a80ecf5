"""``validate``, ``register``, ``schema`` and ``tasks list``: documents, and what they may say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steploom.cli.options import (
    ActorOption,
    CatalogueOption,
    OrgOption,
    OutputOption,
    TasksOption,
    actor,
    task_sources,
)
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from rich.table import Table

    from definitions.ports import StoredVersion
    from definitions.tasks import TaskSpec
    from steploom.operations.documents import Checked

FilesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Documents; a folder stands for all below it (*.json), - for standard input.",
    ),
]
_INVALID = 2


class SchemaName(StrEnum):
    """What there is a JSON Schema of."""

    DEFINITION = "definition"
    START = "start"
    CATALOGUE = "catalogue"


def validate(
    files: FilesArgument,
    tasks: TasksOption = None,
    catalogue: CatalogueOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail, too.")] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Check definitions, offline: every problem at once, each with its place.

    With --tasks or --catalogue, each taskId is checked against the tasks that these name.
    """
    from steploom.operations.documents import check_documents  # noqa: PLC0415 (not for --help)

    documents = check_documents(files, _known(tasks, catalogue))
    Output(output).results([_facts(one) for one in documents], lambda: _lines(documents))
    if not all(one.ok(strict=strict) for one in documents):
        raise typer.Exit(_INVALID)


def register(
    files: FilesArgument,
    *,
    tasks: TasksOption = None,
    catalogue: CatalogueOption = None,
    org: OrgOption = "default",
    as_: ActorOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Store definitions: all of them, or none if one has an error.

    A version never changes: the same content again is fine, other content is refused.
    """
    from steploom.operations.children import check_children  # noqa: PLC0415
    from steploom.operations.documents import (  # noqa: PLC0415
        RejectedDocumentsError,
        check_documents,
        register,
    )
    from steploom.services import load_settings, open_services, resolve_settings  # noqa: PLC0415

    documents = check_documents(files, _known(tasks, catalogue))
    out = Output(output)

    async def store() -> list[StoredVersion]:
        settings = resolve_settings(load_settings(), Path.cwd())
        async with open_services(settings, {"postgres"}) as services:
            owner = await services.store.find_org(org)
            for one in await check_children(services, owner, documents):
                _warn(one)
            return await register(services, owner, documents, actor=actor(as_))

    if not all(one.ok() for one in documents):
        raise RejectedDocumentsError(documents)  # before anything is asked of any service
    stored = asyncio.run(store())
    out.results([_stored_facts(one) for one in stored], lambda: _stored_lines(stored))


def _warn(one: Checked) -> None:
    """Tells the warnings of a document that is stored in spite of them."""
    if not one.ok():
        return  # It is refused, and the error tells everything.
    for problem in one.report.problems:
        notice(f"{one.source}:{problem.pointer or '/'} {problem.code} warning: {problem.message}")


def schema(
    name: Annotated[
        SchemaName,
        typer.Argument(
            help="Of a definition, of the object that starts a run, or of a task catalogue."
        ),
    ] = SchemaName.DEFINITION,
    output: OutputOption = Format.JSON,
) -> None:
    """Print a JSON Schema, for editors and for programs that write definitions."""
    from definitions.schema import (  # noqa: PLC0415
        catalogue_schema,
        definition_schema,
        start_schema,
    )

    makers = {
        SchemaName.DEFINITION: definition_schema,
        SchemaName.START: start_schema,
        SchemaName.CATALOGUE: catalogue_schema,
    }
    made = makers[name]()
    chosen = Format.JSON if output is Format.TABLE else output
    Output(chosen).result(made, lambda: None)


def list_tasks(
    tasks: TasksOption = None,
    catalogue: CatalogueOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """List the tasks that steps can name: built-in ones, those of --tasks and of --catalogue."""
    from steploom.catalogue import load_registry  # noqa: PLC0415

    registry = load_registry(task_sources(tasks, catalogue))
    specs = [spec for _, spec in sorted(registry.specs().items())]
    facts = [spec.model_dump(mode="json", by_alias=True, exclude_none=True) for spec in specs]
    Output(output).results(facts, lambda: _tasks_table(specs))


def _known(tasks: list[str] | None, catalogue: list[str] | None) -> Any:
    from activities.registry import TaskRegistrationError  # noqa: PLC0415
    from definitions.errors import InvalidInputError  # noqa: PLC0415
    from steploom.catalogue import TaskSources, known_tasks  # noqa: PLC0415
    from steploom.devinfo import served_tasks  # noqa: PLC0415

    named = task_sources(tasks, catalogue)
    if named:
        return known_tasks(named)
    try:
        # Those of the worker that `steploom dev` runs here.
        return known_tasks(TaskSources(*served_tasks(Path.cwd())))
    except (TaskRegistrationError, InvalidInputError):
        return None


def _facts(one: Checked) -> dict[str, Any]:
    return {
        "file": one.source,
        "ok": one.ok(),
        "problems": [problem.model_dump(mode="json") for problem in one.report.problems],
    }


def _lines(documents: Sequence[Checked]) -> str:
    lines = []
    for one in documents:
        for problem in one.report.problems:
            warning = "warning: " if problem.severity == "warning" else ""
            lines.append(
                f"{one.source}:{problem.pointer or '/'} {problem.code} {warning}{problem.message}"
            )
        if one.ok():
            count = len(one.report.problems)
            also = f", {count} warning{'s' if count > 1 else ''}" if count else ""
            lines.append(f"{one.source}: valid, {one.name}{also}")
        else:
            errors = sum(problem.severity == "error" for problem in one.report.problems)
            lines.append(f"{one.source}: invalid, {errors} error{'s' if errors > 1 else ''}")
    return "\n".join(lines)


def _stored_facts(one: StoredVersion) -> dict[str, Any]:
    return {
        "workflowId": one.workflow_id,
        "version": one.version,
        "contentHash": one.content_hash,
        "definitionId": str(one.definition_id),
        "versionId": str(one.version_id),
        "created": one.created,
    }


def _stored_lines(stored: Sequence[StoredVersion]) -> str:
    lines = [
        f"{'Registered' if one.created else 'Unchanged'}  {one.workflow_id} {one.version}"
        f"  ({one.content_hash[:12]})"
        for one in stored
    ]
    return "\n".join([*lines, "", f"Next: steploom start {stored[-1].workflow_id} --input '{{…}}'"])


def _served_by(spec: TaskSpec) -> str:
    """Where a task runs that the worker itself does not serve."""
    return "" if spec.activity is None else f"{spec.activity} on {spec.task_queue}"


def _tasks_table(specs: Sequence[TaskSpec]) -> Table:
    from rich.markup import escape  # noqa: PLC0415

    from steploom.cli.tables import table  # noqa: PLC0415

    shown = table("TASK", "MODE", "SERVED BY", "INPUT", "DESCRIPTION")
    for spec in specs:
        inside = spec.task_id.startswith("core.") and spec.task_id != "core.http"
        members = (spec.input_schema or {}).get("properties")
        names = ", ".join(members) if isinstance(members, dict) else ""
        shown.add_row(
            spec.task_id,
            "inline" if inside else spec.mode,
            escape(_served_by(spec)),
            names,
            escape(spec.description or ""),
        )
    return shown

"""Options that many commands share, so that they are called and explained alike everywhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from steploom.cli.output import Format

if TYPE_CHECKING:
    from steploom.catalogue import TaskSources

OutputOption: TypeAlias = Annotated[
    Format,
    typer.Option("--output", "-o", help="How the result is printed on stdout."),
]
OrgOption: TypeAlias = Annotated[
    str, typer.Option("--org", metavar="ORG", help="The org, by its slug or id.")
]
ActorOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--as", metavar="USER", help="Who does this; kept on record. Default: $USER."),
]
TasksOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--tasks",
        metavar="MODULE",
        help="A Python module with tasks; may be given several times. Also: STEPLOOM_TASKS.",
    ),
]
CatalogueOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--catalogue",
        metavar="FILE",
        help="A task catalogue: JSON with the tasks that workers of other languages serve; may be "
        "given several times. Also: STEPLOOM_CATALOGUE.",
    ),
]

ExecutionArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="EXECUTION",
        help="Its execution id, its UUID, or the first 8 or more digits of that.",
    ),
]
ExecutionsArgument: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="EXECUTION...",
        help="Execution ids, UUIDs, or the first 8 or more digits of those.",
    ),
]
ReasonOption: TypeAlias = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept on record.")
]
OfWorkflowOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="ID", help="Only of this definition.")
]
LimitOption: TypeAlias = Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")]
AfterOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NEXT", help="Go on behind a page: its `next`.")
]

#: The title of each group of commands in ``steploom --help``.
BEGIN = "Begin"
DEFINE = "Definitions"
RUN = "Executions"
PEOPLE = "People"
OPERATE = "Operation"


def task_sources(tasks: list[str] | None, catalogue: list[str] | None) -> TaskSources:
    """Where tasks are, by the settings and by --tasks and --catalogue."""
    from steploom.catalogue import TaskSources  # noqa: PLC0415 (not for --help)
    from steploom.services import load_settings  # noqa: PLC0415

    settings = load_settings()
    return TaskSources(
        modules=[*settings.tasks, *(tasks or ())],
        catalogues=[*settings.catalogue, *(catalogue or ())],
    )


def actor(given: str | None) -> str:
    """Who acts: who was named, else the user of this machine, else ``cli``."""
    return given or os.environ.get("USER") or "cli"


def example(*lines: str) -> str:
    """The end of a command's help: what one might type."""
    # In rich's markup a bracket begins a style.
    escaped = [line.replace("[", "\\[") for line in lines]
    return "\n".join(["Examples:" if len(lines) > 1 else "Example:", *escaped])

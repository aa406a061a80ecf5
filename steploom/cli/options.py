"""Options that many commands share, so that they are called and explained alike everywhere."""

from __future__ import annotations

import getpass
import os
from typing import Annotated, TypeAlias

import typer

from steploom.cli.output import Format, Output

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

ExecutionArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="EXECUTION",
        help="Its execution id, its UUID, or the first 8 or more digits of that.",
    ),
]

#: The title of each group of commands in ``steploom --help``.
BEGIN = "Begin"
DEFINE = "Definitions"
RUN = "Executions"
PEOPLE = "People"
OPERATE = "Operation"


def actor(given: str | None) -> str:
    """Who acts: who was named, else the user of this machine, else ``cli``."""
    if given:
        return given
    if os.environ.get("USER"):
        return os.environ["USER"]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"


def output(chosen: Format) -> Output:
    """The output of a command that was asked for this format."""
    return Output(chosen)


def example(*lines: str) -> str:
    """The end of a command's help: what one might type."""
    from rich.markup import escape  # noqa: PLC0415

    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *map(escape, lines)])

"""``steploom dev``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steploom.cli.options import CatalogueOption, OutputOption, TasksOption
from steploom.cli.output import Format, Output, notice


def dev(
    *,
    tasks: TasksOption = None,
    catalogue: CatalogueOption = None,
    temporal_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Temporal's port; a free one if not given.")
    ] = None,
    ui_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The port of Temporal's UI.")
    ] = None,
    database_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Postgres's port.")
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Run Temporal, Postgres and a worker here, until Ctrl-C.

    Data is kept in .steploom/ between runs, and .steploom/dev.json has the addresses while all is
    ready. What STEPLOOM_TEMPORAL_ADDRESS or STEPLOOM_DATABASE_URL name is used instead of started.
    """
    from steploom.dev import DevStack, run_dev, summary  # noqa: PLC0415 (heavy)
    from steploom.devoptions import DevOptions  # noqa: PLC0415

    out = Output(output)

    def ready(stack: DevStack, seconds: float) -> None:
        facts = stack.info.model_dump(mode="json", by_alias=True)
        out.result(facts, lambda: summary(stack, seconds))

    options = DevOptions(
        folder=Path.cwd(),
        temporal_port=temporal_port,
        ui_port=ui_port,
        database_port=database_port,
        tasks=tasks or (),
        catalogues=catalogue or (),
    )
    raise typer.Exit(run_dev(options, say=notice, ready=ready))

"""``definitions graph``: a definition, or what a run did to it, as a picture."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from definitions.errors import ConflictError, RefusedError
from steploom.cli.options import OrgOption, OutputOption
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.graph import Graph, Ran
    from definitions.ports import Organization
    from definitions.views import InstanceView, StepView
    from steploom.services import Services


class Picture(StrEnum):
    """How a graph is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"


def graph_definition(
    workflow_id: Annotated[str, typer.Argument(metavar="ID", help="The workflowId.")],
    *,
    version: Annotated[
        str | None, typer.Option(help="A version; the highest, or the execution's, if not given.")
    ] = None,
    execution: Annotated[
        str | None,
        typer.Option(metavar="EXECUTION", help="Show what this execution did: any name of it."),
    ] = None,
    picture: Annotated[
        Picture, typer.Option("--format", help="Text for a terminal, or Mermaid for a page.")
    ] = Picture.TEXT,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """Draw a definition: its steps, branches, conditions and error handlers.

    With --execution, steps carry their statuses (in Mermaid their colours), and the ways that it
    took are thick. Machine formats print the graph's nodes and edges.
    """
    from definitions.document import Definition  # noqa: PLC0415 (heavy, as all of these)
    from definitions.graph import graph_of, ran  # noqa: PLC0415
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(
        services: Services, owner: Organization
    ) -> tuple[dict[str, Any], InstanceView | None, Sequence[StepView]]:
        if execution is None:
            return (await services.store.get(owner.id, workflow_id, version)).document, None, ()
        async with services.reader.moment(owner.id) as reader:
            run = await reader.find_instance(owner.id, execution)
            steps = await reader.steps(owner.id, run.id)
        _check_asked(run, workflow_id, version)
        if run.definition_version_id is None:
            raise RefusedError(
                f"{run.execution_id} never began, so it has no definition",
                hint=f"`steploom show {run.execution_id}` tells why",
            )
        # By its id: a document that was given inline is not listed.
        stored = await services.store.get_version(owner.id, run.definition_version_id)
        return stored.document, run, steps

    document, run, steps = in_session(org, work, {"postgres"})
    graph = graph_of(Definition.model_validate(document))
    done = ran(graph, steps) if run is not None else None
    Output(output).result(_facts(graph, run, done), lambda: _drawn(graph, done, picture))


def _check_asked(run: InstanceView, workflow_id: str, version: str | None) -> None:
    """Sees that the run is one of what was named beside it."""
    if run.workflow_id != workflow_id:
        raise ConflictError(
            f"{run.execution_id} is a run of {run.workflow_id!r}, not of {workflow_id!r}",
            hint=f"`steploom definitions graph {run.workflow_id} --execution {run.execution_id}`",
        )
    if version not in {None, run.version}:
        raise ConflictError(
            f"{run.execution_id} is a run of version {run.version}, not of {version}",
            hint="leave out --version",
        )


def _facts(graph: Graph, run: InstanceView | None, done: Ran | None) -> dict[str, Any]:
    facts: dict[str, Any] = graph.to_json()
    if run is not None and done is not None:
        facts["execution"] = run.execution_id
        facts["statuses"] = {name: str(status) for name, status in done.statuses.items()}
        facts["taken"] = sorted((edge.to_json() for edge in done.taken), key=str)
    return facts


def _drawn(graph: Graph, done: Ran | None, picture: Picture) -> str:
    from definitions.graph_mermaid import mermaid  # noqa: PLC0415
    from definitions.graph_text import WIDTH, as_text  # noqa: PLC0415

    statuses, taken = (done.statuses, done.taken) if done is not None else (None, frozenset())
    if picture is Picture.MERMAID:
        return mermaid(graph, statuses, taken)
    width = shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH
    return as_text(graph, statuses, taken, width=width)

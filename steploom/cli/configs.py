"""``configs``: what runs are configured with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from steploom.cli.options import ActorOption, OrgOption, OutputOption, actor
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.ports import Organization
    from definitions.views import ConfigView
    from steploom.services import Services

WorkflowOption = Annotated[
    str | None,
    typer.Option("--workflow", metavar="ID", help="The workflowId of a stored definition."),
]


def create_config(
    *,
    data: Annotated[
        str,
        typer.Argument(metavar="JSON", help="An object: JSON, @FILE, or @- for standard input."),
    ],
    workflow: WorkflowOption = None,
    channel: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNEL",
            help="web, voice or efax; with --workflow, for the workflow on this channel alone.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What people call it.")] = None,
    activate: Annotated[
        bool, typer.Option("--activate", help="Have it count for runs from now on.")
    ] = False,
    org: OrgOption = "default",
    as_: ActorOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Store a new version of a configuration.

    It is for a workflow, for a channel, or, where neither is named, for all. A run takes what is
    active when it begins: what is said of its workflow goes before what is said of its channel, and
    that before what is said of all. Expressions see it as `config`, as in `${config.limit}`.
    """
    from steploom.cli.inputs import read_object  # noqa: PLC0415 (heavy, as all of these)
    from steploom.cli.session import in_session  # noqa: PLC0415

    given = read_object(data, "the configuration")

    async def work(services: Services, owner: Organization) -> ConfigView:
        from steploom.operations.configs import create  # noqa: PLC0415

        return await create(
            services,
            owner,
            given,
            workflow=workflow,
            channel=channel,
            name=name,
            activate=activate,
            actor=actor(as_),
        )

    made = in_session(org, work, {"postgres"})

    def show() -> str:
        text = f"Stored version {made.version} of the configuration of {_target(made)} ({made.id})"
        if made.active:
            return f"{text}; it is active."
        return f"{text}. `steploom configs activate {made.id}` makes it count."

    Output(output).result(made.to_json(), show)


def activate_config(
    config: Annotated[int, typer.Argument(metavar="CONFIG", help="Its id.", min=1)],
    org: OrgOption = "default",
    as_: ActorOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make a version of a configuration the one that counts.

    For runs that begin from now on; those that run stay with what they began with.
    """
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> ConfigView:
        from steploom.operations.configs import activate_config  # noqa: PLC0415

        return await activate_config(services, owner, config, actor=actor(as_))

    done = in_session(org, work, {"postgres"})
    Output(output).result(
        done.to_json(),
        lambda: f"Version {done.version} of the configuration of {_target(done)} is active.",
    )


def list_configs(
    workflow: WorkflowOption = None,
    active: Annotated[bool, typer.Option("--active", help="Those that count, alone.")] = False,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """List the versions of configurations, the latest of each first."""
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> Sequence[ConfigView]:
        from steploom.operations.configs import list_configs  # noqa: PLC0415

        return await list_configs(services, owner, workflow=workflow, active=active)

    found = in_session(org, work, {"postgres"})

    def show() -> Any:
        from steploom.cli.tables import moment, short, table  # noqa: PLC0415

        shown = table("ID", "OF", "VERSION", "ACTIVE SINCE", "BY", "NAME", "CONFIGURATION")
        for one in found:
            shown.add_row(
                str(one.id),
                _target(one),
                str(one.version),
                moment(one.activated_at) if one.active else "",
                one.activated_by or "",
                short(one.name or ""),
                short(one.data),
            )
        return shown

    Output(output).results([one.to_json() for one in found], show)


def _target(config: ConfigView) -> str:
    named = [part for part in (config.workflow_name, config.channel) if part]
    return " on ".join(named) or "all"

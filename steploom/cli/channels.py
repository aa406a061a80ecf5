"""``channels``: on which channels workflows are offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from steploom.cli.configs import WorkflowOption
from steploom.cli.options import ActorOption, OrgOption, OutputOption, actor
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.ports import Organization
    from definitions.views import ChannelView
    from steploom.services import Services


def set_channel(
    *,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="web, voice or efax.")],
    workflow: WorkflowOption = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether runs may begin on it."),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(help="The highest enabled one is taken where a start names no channel."),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Is sent a POST at the end of each run on the channel."),
    ] = None,
    no_webhook: Annotated[
        bool, typer.Option("--no-webhook", help="Tell nobody of the end any more.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="What is configured on it: JSON, @FILE or @-."),
    ] = None,
    org: OrgOption = "default",
    as_: ActorOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Say how a workflow uses a channel, or without --workflow how the whole org does.

    What is not given stays as it is. A start that names a disabled channel is refused.
    """
    from steploom.cli.inputs import read_object  # noqa: PLC0415 (heavy, as all of these)
    from steploom.cli.session import in_session  # noqa: PLC0415

    if webhook is not None and no_webhook:
        raise typer.BadParameter("--webhook and --no-webhook exclude each other")
    given = None if data is None else read_object(data, "--data")

    async def work(services: Services, owner: Organization) -> ChannelView:
        from steploom.operations.configs import set_channel  # noqa: PLC0415

        return await set_channel(
            services,
            owner,
            channel,
            workflow=workflow,
            enabled=enabled,
            priority=priority,
            webhook_url=webhook,
            no_webhook=no_webhook,
            data=given,
            actor=actor(as_),
        )

    done = in_session(org, work, {"postgres"})

    def show() -> str:
        whose = done.workflow_name or "all workflows"
        return f"The channel {done.channel} of {whose} is {_state(done)}."

    Output(output).result(done.to_json(), show)


def list_channels(
    workflow: WorkflowOption = None,
    org: OrgOption = "default",
    output: OutputOption = Format.TABLE,
) -> None:
    """List what is said of channels, the highest priority of each workflow first."""
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> Sequence[ChannelView]:
        from steploom.operations.configs import list_channels  # noqa: PLC0415

        return await list_channels(services, owner, workflow=workflow)

    found = in_session(org, work, {"postgres"})

    def show() -> Any:
        from steploom.cli.tables import short, table  # noqa: PLC0415

        shown = table("CHANNEL", "OF", "STATE", "PRIORITY", "WEBHOOK", "CONFIGURATION")
        for one in found:
            shown.add_row(
                one.channel,
                one.workflow_name or "all",
                _state(one),
                str(one.priority) if one.workflow_name else "",
                one.webhook_url or "",
                short(one.data) if one.data else "",
            )
        return shown

    Output(output).results([one.to_json() for one in found], show)


def _state(channel: ChannelView) -> str:
    return "enabled" if channel.enabled else "disabled"
